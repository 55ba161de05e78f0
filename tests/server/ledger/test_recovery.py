"""What a store holds becomes the book as it was, and what is said then is said once."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, budget, daily, sums
from tests.server.ledger.test_store import hold, of_holds, of_lines

from smartconnectors_server.ledger import (
    AlertLevel,
    Budget,
    CalendarWindow,
    Entry,
    HoldState,
    Limit,
    SlidingWindow,
)
from smartconnectors_server.ledger.configured import described
from smartconnectors_server.ledger.records import Pause
from smartconnectors_server.ledger.recovery import Recovered, recover
from smartconnectors_server.ledger.store import Batch, Store

SECOND = 10**9
NOW = 1_700_000_000 * SECOND
HOUR = 3_600


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def about(sequence: int, verb: str, **changed: Any) -> Entry:
    """A line about the budget."""
    fields: dict[str, Any] = {"at_ns": NOW, "budget_ids": (PLATFORM,), "hold_id": ""}
    fields |= {"platform": "", "request_id": "", "amount_micros": 0, "currency_code": "USD"}
    return Entry(verb=verb, sequence=sequence, **{**fields, **changed})


def verbs(recovered: Recovered) -> list[str]:
    """What is still to be made durable."""
    return [entry.verb for step in recovered.steps for entry in step.entries]


def on_record(store: Store, *budgets: Budget) -> None:
    """Writes what a first start writes."""
    for step in recover(store, budgets, NOW).steps:
        store.write(Batch([step]))


def test_the_lines_go_on_after_the_last_one(store: Store) -> None:
    store.write(of_lines(*(about(number, "veto") for number in range(1, 8))))
    first, *_ = recover(store, (budget(),), NOW).steps
    assert [entry.sequence for entry in first.entries] == [8]


@pytest.mark.parametrize(
    ("window", "length_s"),
    [
        (SlidingWindow(600.0), 600),
        (CalendarWindow("hour"), HOUR),
        # With the hour that a day of winter time is longer.
        (CalendarWindow("day", "Europe/Berlin"), 25 * HOUR),
        (CalendarWindow("month"), 32 * 24 * HOUR),
    ],
)
def test_commitments_are_read_back_over_the_whole_of_a_window(
    window: SlidingWindow | CalendarWindow, length_s: int, store: Store
) -> None:
    of_window = Budget(PLATFORM, "USD", (Limit(USD, SlidingWindow(1.0)), Limit(USD, window)))
    short = budget("short", USD)
    assert recover(store, (short, of_window), NOW).longest_window_s == max(600, length_s)
    assert recover(store, (of_window, short), NOW).longest_window_s == max(600, length_s)


def test_without_budgets_there_is_no_window(store: Store) -> None:
    recovered = recover(store, (), NOW)
    assert (recovered.longest_window_s, recovered.budgets) == (0.0, ())


def test_what_was_committed_in_the_window_counts_in_the_budgets_of_its_line(store: Store) -> None:
    length_ns = 600 * SECOND
    store.write(
        of_lines(
            about(1, "settle", amount_micros=USD, hold_id="h1", at_ns=NOW - length_ns),
            about(2, "settle", amount_micros=2 * USD, hold_id="h2", at_ns=NOW - length_ns + 1),
            about(3, "settle_late", amount_micros=4 * USD, hold_id="h3", budget_ids=("total",)),
        )
    )
    book = recover(store, (budget(), budget("total")), NOW).book
    assert sums(book.state(PLATFORM, NOW)) == (2, 0, 0, 0)
    assert sums(book.state("total", NOW)) == (4, 0, 0, 0)


def test_what_was_committed_in_another_currency_counts_number_for_number_and_is_said(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    in_euros = about(1, "settle", amount_micros=7 * USD, hold_id="h1", platform=PLATFORM)
    store.write(of_lines(dataclasses.replace(in_euros, currency_code="EUR")))
    with caplog.at_level(logging.WARNING):
        book = recover(store, (budget("total"), budget("meta")), NOW + 1).book
    assert sums(book.state("total", NOW + 1)) == (7, 0, 0, 0)
    said = (
        "total is in USD, but was committed to in EUR inside its window; these amounts count "
        "number for number until they leave it"
    )
    assert [record.getMessage() for record in caplog.records] == [said]


def test_what_was_held_is_in_doubt_and_whatever_else_is_open_stays_what_it_was(
    store: Store,
) -> None:
    priced = hold("h4", ltv_micros=1)
    store.write(
        of_holds(
            hold("h1", HoldState.HELD, note="sent"),
            hold("h2", HoldState.DEFERRED),
            hold("h3", HoldState.IN_DOUBT, note="timed out"),
            priced,
        )
    )
    recovered = recover(store, (budget(),), NOW)
    book = recovered.book
    assert sums(book.state(PLATFORM, NOW)) == (0, 0, 1, 2)
    assert verbs(recovered) == ["configure", "doubt"]
    notes = {found.hold_id: found.note for found in book.open_holds()}
    assert notes == {
        "h1": "found held at start: it may have been sent",
        "h2": "",
        "h3": "timed out",
    }
    assert book.recent_settled(PLATFORM) == (priced,)


def test_an_alert_that_stands_is_not_told_again_and_one_that_was_missed_is_told(
    store: Store,
) -> None:
    ours = budget(PLATFORM, 100 * USD)
    store.write(of_holds(hold("h1", HoldState.DEFERRED, amount_micros=84 * USD)))
    recovered = recover(store, (ours,), NOW)
    assert verbs(recovered) == ["configure", "alert"]
    assert recovered.book.standing(PLATFORM) is AlertLevel.WARNING
    told = ("alert", "WARNING: x"), ("alert_end", "NONE: x"), ("alert", "CRITICAL: x")
    for number, (verb, note) in enumerate(told, start=1):
        store.write(of_lines(about(number, verb, note=note)))
        recovered = recover(store, (ours,), NOW + 60 * 10**9)
        expected = {"WARNING": [], "NONE": ["alert"], "CRITICAL": ["alert_end"]}
        assert verbs(recovered)[1:] == expected[note.partition(":")[0]]
        assert recovered.book.standing(PLATFORM) is AlertLevel.WARNING


# What operators changed


def test_a_budget_that_nobody_changed_is_as_configured_and_put_on_record_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    ours, total = budget(PLATFORM, 5 * USD, daily(9 * USD)), budget("total")
    assert verbs(recover(store, (ours, total), NOW)) == ["configure", "configure"]
    on_record(store, ours, total)
    with caplog.at_level(logging.WARNING):
        recovered = recover(store, (ours, total), NOW)
    assert verbs(recovered) == []
    assert recovered.budgets == (ours, total)
    assert caplog.text == ""
    changed = budget(PLATFORM, 5 * USD, daily(8 * USD))
    assert verbs(recover(store, (changed, total), NOW)) == ["configure"]


def test_the_limit_and_the_pause_of_an_operator_win_over_the_settings(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    ours = budget(PLATFORM, 5 * USD, daily(9 * USD), daily(7 * USD, "Europe/Berlin"))
    store.write(Batch(limits=[(PLATFORM, 3 * USD, 1)]))
    with caplog.at_level(logging.WARNING):
        recovered = recover(store, (ours,), NOW)
    first = dataclasses.replace(ours.limits[0], limit_micros=3 * USD)
    expected = dataclasses.replace(ours, limits=(first, *ours.limits[1:]), paused=True)
    assert recovered.budgets == (expected,)
    assert recovered.book.budget(PLATFORM) == expected
    assert "google_ads: the ledger says 3000000 micros, the configuration 5000000" in caplog.text


@pytest.mark.parametrize("limit_micros", [None, 5 * USD])
def test_an_operator_who_only_paused_leaves_the_limit_to_the_settings(
    limit_micros: int | None, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    ours = budget(PLATFORM, 5 * USD, daily(9 * USD))
    store.write(Batch(limits=[(PLATFORM, limit_micros, 1)]))
    with caplog.at_level(logging.WARNING):
        recovered = recover(store, (ours,), NOW)
    assert recovered.budgets == (dataclasses.replace(ours, paused=True),)
    assert caplog.text == "", "there is nothing to wonder at"


def test_what_operators_changed_since_is_on_record_by_their_own_lines(store: Store) -> None:
    ours = budget(PLATFORM, 5 * USD)
    store.write(
        of_lines(
            # Of an earlier life: what was configured after it stands.
            about(1, "pause"),
            about(2, "limit", amount_micros=1),
            about(3, "configure", note=described(ours)),
            about(4, "limit", amount_micros=3 * USD),
            about(5, "pause"),
        )
    )
    store.write(Batch(limits=[(PLATFORM, 3 * USD, 1)]))
    assert verbs(recover(store, (ours,), NOW)) == []
    store.write(of_lines(about(6, "resume")))
    assert verbs(recover(store, (ours,), NOW)) == ["configure"], "the file says paused"


def test_a_change_before_the_first_configuration_says_nothing(store: Store) -> None:
    store.write(of_lines(about(1, "limit", amount_micros=1), about(2, "pause")))
    assert verbs(recover(store, (budget(),), NOW)) == ["configure"]


def test_a_request_id_that_was_open_is_still_bound(store: Store) -> None:
    waiting = hold("h1", HoldState.DEFERRED)
    store.write(of_holds(waiting))
    book = recover(store, (budget(),), NOW).book
    assert book.find(PLATFORM, waiting.request_id) == waiting


def test_a_pause_is_restored_with_the_words_of_its_last_line_also_without_a_budget(
    store: Store,
) -> None:
    campaign = f"{PLATFORM}/campaigns/7"
    store.write(
        of_lines(
            about(1, "pause", budget_ids=(campaign,), note="first"),
            about(2, "resume", budget_ids=(campaign,)),
            about(3, "pause", budget_ids=(campaign,), note="again", at_ns=NOW + 1),
            about(4, "pause", budget_ids=("total",), note="over"),
            about(5, "resume", budget_ids=("total",)),
        )
    )
    store.write(Batch(limits=[(campaign, None, 1), ("total", None, 0), ("unwritten", None, 1)]))
    book = recover(store, (budget(), budget("total")), NOW).book
    assert book.pause_of((campaign,)) == Pause(campaign, "again", NOW + 1)
    assert book.pause_of((PLATFORM, "total")) is None
    assert book.pause_of(("unwritten",)) == Pause("unwritten", "", 0)
