"""The soak's own account: what it forgives, and what it never does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.soak.table import (
    FORGET_AFTER_S,
    LOST_AFTER_S,
    Bid,
    Table,
    Told,
    WindowAtThePlatform,
    key_of,
)

USD = 1_000_000
SECOND_NS = 1_000_000_000
LTV_MICROS = 30 * USD


@pytest.fixture
def table() -> Table:
    return Table({"google_ads": 100 * USD}, 60.0)


def sent(table: Table, number: int = 0, usd: int = 10) -> Bid:
    key = key_of("google_ads", "1001", usd * USD, LTV_MICROS + number * USD)
    return table.send(Bid("google_ads", f"r{number}", key, usd * USD, sent_s=0.0))


def entry(bid: Bid, at_s: float = 0.0, *, applied: bool = True) -> Mapping[str, Any]:
    """As the sandbox writes a change of this bid down."""
    operation = {"campaign_id": bid.key[1], "target_roas": bid.key[2] / 10_000, "applied": applied}
    return {
        "at_ns": round(at_s * SECOND_NS),
        "changes": True,
        "applied": applied,
        "facts": {"operations": [operation]},
    }


def test_what_was_placed_and_applied_once_is_forgotten_in_time(table: Table) -> None:
    bid = sent(table)
    table.tell(bid, Told.PLACED, at_s=1.0)
    table.applied("google_ads", [entry(bid)])
    table.settle(FORGET_AFTER_S)
    assert len(table) == 1
    table.settle(FORGET_AFTER_S + 2)
    assert len(table) == 0
    assert table.counts == {"sent": 1, "applied": 1}
    assert [table.told(told) for told in (None, *Told)] == [0, 0, 0, 1]
    assert not table.wrong


def test_what_was_refused_and_never_applied_is_right(table: Table) -> None:
    table.tell(sent(table), Told.NOT_SENT, at_s=0.0)
    table.close(1.0)
    assert not table.wrong


def test_what_was_refused_and_applied_all_the_same_is_wrong(table: Table) -> None:
    bid = sent(table)
    table.tell(bid, Told.NOT_SENT, at_s=0.0)
    table.applied("google_ads", [entry(bid)])
    table.settle(1.0)
    assert table.wrong == {"applied though refused": 1}


def test_what_was_applied_twice_is_doubled(table: Table) -> None:
    bid = sent(table)
    table.tell(bid, Told.PLACED, at_s=0.0)
    table.applied("google_ads", [entry(bid), entry(bid, 1.0)])
    assert table.wrong == {"doubled": 1}
    assert table.examples == ["doubled: r0 was applied 2 times"]


def test_what_is_applied_after_it_was_forgotten_is_stray(table: Table) -> None:
    bid = sent(table)
    table.tell(bid, Told.NOT_SENT, at_s=0.0)
    table.settle(FORGET_AFTER_S + 1)
    table.applied("google_ads", [entry(bid, 200.0)])
    assert table.wrong == {"stray": 1}


def test_what_the_platform_refused_is_not_applied(table: Table) -> None:
    bid = sent(table)
    table.tell(bid, Told.NOT_SENT, at_s=0.0)
    table.applied("google_ads", [entry(bid, applied=False)])
    table.close(1.0)
    assert not table.wrong


def test_what_was_placed_and_is_in_no_journal_is_lost_unless_the_ledger_only_assumes_it(
    table: Table,
) -> None:
    lost, assumed = sent(table, 0), sent(table, 1)
    for bid in (lost, assumed):
        table.tell(bid, Told.PLACED, at_s=0.0)
    assert table.missing(LOST_AFTER_S) == []
    assert table.missing(LOST_AFTER_S + 1) == [lost, assumed]
    table.give_up(lost, assumed=False)
    table.give_up(assumed, assumed=True)
    assert table.wrong == {"lost": 1}
    assert table.counts["assumed"] == 1


def test_one_delivery_that_was_placed_outweighs_another_that_was_refused(table: Table) -> None:
    bid = sent(table)
    for told in (Told.NOT_SENT, Told.PLACED, Told.NOT_SENT):
        table.tell(bid, told, at_s=0.0)
    assert bid.told is Told.PLACED
    assert [table.told(told) for told in (None, *Told)] == [0, 0, 0, 1]


def test_what_nobody_knows_is_asked_for_once_no_call_carries_it_any_more(table: Table) -> None:
    bid = sent(table)
    bid.under_way = 1
    assert table.unknown(asked_before_s=10.0) == []
    bid.under_way = 0
    table.tell(bid, Told.UNKNOWN, at_s=5.0)
    assert table.unknown(asked_before_s=5.0) == []
    assert table.unknown(asked_before_s=10.0) == [bid]
    table.found_out(bid, Told.NOT_SENT, at_s=10.0)
    assert bid.told is Told.NOT_SENT


def test_what_is_unknown_at_the_end_is_wrong(table: Table) -> None:
    table.tell(sent(table), Told.UNKNOWN, at_s=0.0)
    table.close(1.0)
    assert table.wrong == {"unknown": 1}


def test_more_than_the_limit_inside_one_window_is_overshot(table: Table) -> None:
    first, second = sent(table, 0, usd=60), sent(table, 1, usd=50)
    table.applied("google_ads", [entry(first, 0.0), entry(second, 59.9)])
    assert table.wrong == {"overshot": 1}


def test_an_amount_leaves_the_window_when_its_whole_length_has_passed() -> None:
    window = WindowAtThePlatform(limit_micros=100, window_s=60.0)
    assert window.add(0, 60)
    assert window.add(60 * SECOND_NS, 50)
    assert window.add(90 * SECOND_NS, 50)
    assert not window.add(100 * SECOND_NS, 1)
    assert window.most_micros == 101
