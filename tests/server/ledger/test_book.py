"""What the book itself promises, whether or not a store would make up for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, budget, daily

from smartconnectors_server.ledger import ALL, DuplicateRequest, Hold, HoldNotOpen, HoldState
from smartconnectors_server.ledger.book import Book

NOW = 1_700_000_000 * 10**9
LATER = NOW + 1


@pytest.fixture
def book() -> Book:
    book = Book()
    book.configure(budget())
    return book


def held(book: Book, request_id: str = "a", **changed: Any) -> Hold:
    return book.reserve(ask(request_id, USD, **changed), NOW).hold


def waiting(book: Book, request_id: str = "a", amount_micros: int = USD, **changed: Any) -> Hold:
    asked = ask(request_id, amount_micros, defer_until_ns=NOW + 10**9, **changed)
    return book.reserve(asked, NOW).hold


def test_lines_are_counted_from_one_or_from_where_the_last_book_ended() -> None:
    for book, first in ((Book(), 1), (Book(first_sequence=7), 7)):
        book.configure(budget())
        assert book.state(PLATFORM, NOW).sequence == first - 1
        assert [entry.sequence for entry in book.reserve(ask("a", USD), NOW).entries] == [first]


def test_open_holds_are_shown_all_or_by_state(book: Book) -> None:
    first, second = held(book), waiting(book, "b")
    assert book.open_holds() == (first, second)
    assert book.open_holds(HoldState.DEFERRED) == (second,)


def test_a_pause_is_a_change_of_every_budget_that_it_stops_and_of_no_other(book: Book) -> None:
    book.configure(budget("meta"))

    def sequences() -> tuple[int, int]:
        return book.state(PLATFORM, NOW).sequence, book.state("meta", NOW).sequence

    (line,) = book.set_paused("meta", True, "why", NOW).entries
    assert (line.sequence, line.currency_code, line.amount_micros) == (1, "USD", 0)
    assert sequences() == (0, 1)
    (line,) = book.set_paused(ALL, True, "why", NOW).entries
    assert (line.sequence, line.currency_code) == (2, "")
    assert sequences() == (2, 2)


def test_an_erasure_is_a_line_about_no_money(book: Book) -> None:
    (line,) = book.record_erasure("hash", "why", NOW, actor="somebody").entries
    assert (line.verb, line.customer, line.actor) == ("erase", "hash", "somebody")
    assert (line.amount_micros, line.budget_ids, line.hold_id) == (0, (), "")


def test_of_closed_holds_the_ten_thousand_that_changed_last_are_remembered(book: Book) -> None:
    def closed(number: int, state: HoldState = HoldState.REJECTED) -> str:
        hold_id = held(book, f"r{number}").hold_id
        book.release(hold_id, state, NOW)
        return hold_id

    changing, released, rejected, next_one = (
        closed(0),
        closed(1, HoldState.RELEASED),
        closed(2),
        closed(3),
    )
    for number in range(4, 10_000):
        closed(number)
    book.settle(changing, NOW, late=True)
    assert book.get(released) is not None
    closed(10_000)
    assert book.get(released) is None
    assert book.find(PLATFORM, "r2") is book.get(rejected) is not None
    closed(10_001)
    assert book.get(rejected) is book.find(PLATFORM, "r2") is None
    assert len(book._by_request) == 10_000, "what is forgotten leaves nothing behind"
    assert book.find(PLATFORM, "r3") is book.get(next_one) is not None
    assert book.get(changing) is not None, "it was settled later than the others were closed"


def test_a_request_id_is_bound_until_its_hold_is_released(book: Book) -> None:
    hold = held(book)
    with pytest.raises(DuplicateRequest):
        held(book)
    rejected = book.release(hold.hold_id, HoldState.REJECTED, NOW).hold
    assert book.find(PLATFORM, "a") == rejected
    book.release(held(book, "b").hold_id, HoldState.RELEASED, NOW)
    assert book.find(PLATFORM, "b") is None


def test_late_truth_binds_the_request_id_again(book: Book) -> None:
    hold = held(book)
    book.release(hold.hold_id, HoldState.RELEASED, NOW)
    with pytest.raises(HoldNotOpen):
        book.settle(hold.hold_id, NOW)
    step = book.settle(hold.hold_id, NOW, late=True)
    assert [entry.verb for entry in step.entries] == ["settle_late"]
    assert book.find(PLATFORM, "a") == step.hold


def test_a_hold_that_is_restored_binds_its_request_id(book: Book) -> None:
    hold = held(book)
    another = Book()
    another.configure(budget())
    another.replay_hold(hold)
    assert another.find(PLATFORM, "a") == hold


def test_only_what_was_settled_is_restored_as_a_price(book: Book) -> None:
    hold = held(book, ltv_micros=5)
    settled = dataclasses.replace(hold, state=HoldState.SETTLED)
    book.replay_hold(dataclasses.replace(hold, state=HoldState.RELEASED))
    assert book.recent_settled(PLATFORM) == ()
    book.replay_hold(settled)
    assert book.recent_settled(PLATFORM) == (settled,)


def test_what_an_operator_changes_is_on_record_with_its_amount() -> None:
    book = Book()
    book.configure(budget(PLATFORM, 500 * USD, daily(900 * USD)))
    (line,) = book.set_paused(PLATFORM, True, "stop", NOW).entries
    assert (line.verb, line.amount_micros) == ("pause", 0)
    (line,) = book.record_configuration(PLATFORM, NOW).entries
    assert line.amount_micros == 500 * USD
    with pytest.raises(KeyError):
        book.set_limit("nothing", USD, "x", NOW)


def test_a_hold_that_is_superseded_says_so_and_by_which(book: Book) -> None:
    hold = held(book)
    step = book.release(hold.hold_id, HoldState.SUPERSEDED, NOW, answer=b"x")
    assert [entry.verb for entry in step.entries] == ["supersede"]
    assert step.hold.answer == b"x"
    older = waiting(book, "b", target="t")
    waiting(book, "c", target="t")
    superseded = book.get(older.hold_id)
    assert superseded is not None
    assert superseded.note == "a newer bid took its place: c"


def test_a_hold_that_is_deferred_is_as_if_it_had_never_been_sent(book: Book) -> None:
    put: dict[str, Any] = {"source": "fallback", "uncapped_micros": 7, "note": "why"}
    hold = held(book)
    deferred = book.defer(hold.hold_id, LATER, amount_micros=0, until_ns=9, **put).hold
    assert deferred == dataclasses.replace(
        hold,
        state=HoldState.DEFERRED,
        amount_micros=0,
        expires_ns=9,
        dispatched_ns=0,
        updated_ns=LATER,
        **put,
    )


def test_a_pause_does_not_stop_what_costs_nothing(book: Book) -> None:
    hold = waiting(book, amount_micros=0)
    book.set_paused(PLATFORM, True, "stop", NOW)
    dispatched = book.dispatch(hold.hold_id, LATER, target="t", before="b").hold
    assert dispatched == dataclasses.replace(
        hold,
        state=HoldState.HELD,
        target="t",
        before="b",
        updated_ns=LATER,
        dispatched_ns=LATER,
    )


def test_a_doubt_says_why_and_since_when(book: Book) -> None:
    hold = held(book)
    doubted = book.doubt(hold.hold_id, LATER, error="{}", note="lost").hold
    assert doubted == dataclasses.replace(
        hold, state=HoldState.IN_DOUBT, error="{}", note="lost", updated_ns=LATER
    )
    settled = book.settle(hold.hold_id, LATER).hold
    assert settled.note == "lost", "nothing newer was said"


def test_that_more_is_reported_than_was_committed_is_a_line_of_the_budget_and_platform(
    book: Book,
) -> None:
    (line,) = book.tell_over(PLATFORM, "meta", 7 * USD, "more", NOW).entries
    assert (line.verb, line.budget_ids, line.platform) == ("alert", (PLATFORM,), "meta")
    assert (line.amount_micros, line.note, line.at_ns) == (7 * USD, "more", NOW)
