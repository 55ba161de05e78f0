"""The comparison after a crash sees what it is there to see."""

from __future__ import annotations

import dataclasses
import random

import pytest
from tests.crash.compare import NANOS, Evidence, Findings, compare
from tests.crash.sent import Applied, Table

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2

PLATFORM = "google_ads"
TABLE = Table(random.Random(1), lambda _: ("1001",))
FIRST, SECOND = TABLE.new(PLATFORM), TABLE.new(PLATFORM)


def settled(request_id: str, verb: str = "settle", note: str = "") -> budgets_pb2.LedgerEntry:
    amount_micros = TABLE.bids[request_id].amount_micros
    return budgets_pb2.LedgerEntry(
        verb=verb, request_id=request_id, amount_micros=amount_micros, note=note
    )


GOOD = Evidence(
    bids=TABLE.bids,
    applied=[Applied(PLATFORM, 1 * NANOS, FIRST), Applied(PLATFORM, 2 * NANOS, SECOND)],
    entries=[settled(FIRST.request_id), settled(SECOND.request_id)],
    told={FIRST.request_id: ["unheard", "PLACED"], SECOND.request_id: ["PLACED"]},
    most_micros={PLATFORM: FIRST.amount_micros + SECOND.amount_micros},
    window_s=600.0,
)


def counts(found: Findings) -> tuple[int, int, int]:
    return len(found.lost), len(found.doubled), len(found.overshot)


def test_a_day_on_which_nothing_went_wrong_is_found_to_be_so() -> None:
    assert not compare(GOOD)


def test_a_bid_that_was_applied_and_is_not_committed_is_lost() -> None:
    seen = dataclasses.replace(GOOD, entries=GOOD.entries[1:])
    assert counts(compare(seen)) == (2, 0, 0)  # and its caller was told PLACED


def test_a_bid_that_was_told_placed_and_never_applied_is_lost() -> None:
    seen = dataclasses.replace(GOOD, applied=GOOD.applied[1:])
    assert counts(compare(seen)) == (1, 0, 0)


@pytest.mark.parametrize(
    "note", ["operator: seen", "assumed: looked up 2.0 s after the call ended"]
)
def test_what_was_committed_by_assumption_need_not_have_been_applied(note: str) -> None:
    entries = [settled(FIRST.request_id, note=note), GOOD.entries[1]]
    assert not compare(dataclasses.replace(GOOD, applied=GOOD.applied[1:], entries=entries))


def test_a_bid_that_was_applied_and_whose_caller_was_refused_is_lost() -> None:
    told = {**GOOD.told, FIRST.request_id: ["unheard", "BUDGET_EXCEEDED"]}
    assert counts(compare(dataclasses.replace(GOOD, told=told))) == (1, 0, 0)


def test_a_bid_that_is_committed_as_another_amount_is_lost() -> None:
    wrong = settled(FIRST.request_id)
    wrong.amount_micros -= 1
    seen = dataclasses.replace(GOOD, entries=[wrong, GOOD.entries[1]])
    assert counts(compare(seen)) == (1, 0, 0)


def test_a_change_that_nobody_sent_is_noticed() -> None:
    seen = dataclasses.replace(GOOD, applied=[*GOOD.applied, Applied(PLATFORM, 3 * NANOS, None)])
    assert counts(compare(seen)) == (1, 0, 0)


def test_a_bid_that_was_applied_twice_is_doubled() -> None:
    limits = {PLATFORM: 10 * GOOD.most_micros[PLATFORM]}
    applied = [*GOOD.applied, Applied(PLATFORM, 3 * NANOS, FIRST)]
    seen = dataclasses.replace(GOOD, applied=applied, most_micros=limits)
    assert counts(compare(seen)) == (0, 1, 0)


def test_a_bid_that_was_committed_twice_is_doubled() -> None:
    seen = dataclasses.replace(GOOD, entries=[*GOOD.entries, settled(FIRST.request_id)])
    assert counts(compare(seen)) == (0, 1, 0)


def test_an_operators_word_on_an_attempt_that_was_given_back_doubles_nothing() -> None:
    by_word = settled(FIRST.request_id, "settle_late", note="operator: seen at the platform")
    assert not compare(dataclasses.replace(GOOD, entries=[*GOOD.entries, by_word]))
    late = settled(FIRST.request_id, "settle_late", note="accepted after it was given back")
    assert counts(compare(dataclasses.replace(GOOD, entries=[*GOOD.entries, late]))) == (0, 1, 0)


@pytest.mark.parametrize("budget_id", [PLATFORM, f"{PLATFORM}/campaigns/1001", "total"])
def test_a_micro_more_than_the_limit_inside_one_window_is_overshot(budget_id: str) -> None:
    limits = {budget_id: GOOD.most_micros[PLATFORM] - 1}
    assert counts(compare(dataclasses.replace(GOOD, most_micros=limits))) == (0, 0, 1)


@pytest.mark.parametrize(("window_s", "overshot"), [(1.0, 0), (1.001, 1)])
def test_a_window_is_as_long_as_it_says(window_s: float, overshot: int) -> None:
    limits = {PLATFORM: GOOD.most_micros[PLATFORM] - 1}
    seen = dataclasses.replace(GOOD, most_micros=limits, window_s=window_s)
    assert counts(compare(seen)) == (0, 0, overshot)
