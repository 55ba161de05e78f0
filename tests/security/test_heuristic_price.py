"""What one caller bids does not move the price that the service makes for another."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.security.neighbours import USD, Neighbours, bid, neighbours, reason_of


async def ordinary(street: Neighbours, who: str, campaign: str) -> None:
    """Six bids of about $5 with LTVs of $20 to $24."""
    for number, ltv_usd in enumerate((20, 21, 22, 22, 23, 24)):
        micros = 5 * USD + number * 10_000
        await street.place(who, bid(f"{who}-{number}", campaign, micros, ltv_micros=ltv_usd * USD))


async def poison(street: Neighbours, who: str, campaign: str, micros: int, ratio: int) -> None:
    """Twelve bids of this amount, with LTVs of about `ratio` times as much."""
    for number in range(12):
        request = bid(f"p-{number}", campaign, micros, ltv_micros=(ratio + number) * micros)
        assert await street.status(who, request) == "PLACED"


async def price(street: Neighbours, who: str, campaign: str, request_id: str) -> tuple[int, int]:
    """What the service bids without an AI bid: (bid, uncapped)."""
    answer = await street.place(who, bid(request_id, campaign, None, ltv_micros=10 * USD))
    return (answer.bid_micros, answer.uncapped_fallback_micros)


@pytest.mark.parametrize(("micros", "ratio"), [(1, 1), (USD, 900)])
async def test_twelve_bids_of_one_caller_leave_the_price_of_others(
    tmp_path: Path, micros: int, ratio: int
) -> None:
    async with neighbours(tmp_path) as street:
        await ordinary(street, "bob", "1002")
        await poison(street, "alice", "1001", micros, ratio)
        assert await price(street, "bob", "1002", "live") == (5_050_000, 22 * USD)
        await street.restart()
        street.open_breaker()
        assert await price(street, "bob", "1002", "deferred") == (5_050_000, 22 * USD)


async def test_callers_on_one_campaign_do_not_move_each_others_price(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        await ordinary(street, "alice", "1001")
        await poison(street, "alice-too", "1001", 1, 1)
        assert await price(street, "alice", "1001", "live") == (5_050_000, 22 * USD)


async def test_a_caller_without_a_history_is_priced_by_its_own_ltv_and_not_by_others(
    tmp_path: Path,
) -> None:
    async with neighbours(tmp_path) as street:
        await ordinary(street, "alice", "1001")
        assert await price(street, "bob", "1002", "first") == (10 * USD, 10 * USD)


async def test_a_caller_without_a_history_or_an_ltv_is_told_nothing_of_others_prices(
    tmp_path: Path,
) -> None:
    async with neighbours(tmp_path) as street:
        await ordinary(street, "alice", "1001")
        street.open_breaker()
        request = bid("first", "1002", None)
        assert await reason_of(street.asked("bob", request)) == "CIRCUIT_OPEN_NO_FALLBACK"


async def test_without_access_control_the_history_is_the_platforms(tmp_path: Path) -> None:
    async with neighbours(tmp_path, access=False) as street:
        await ordinary(street, "alice", "1001")
        assert await price(street, "bob", "1002", "r") == (5_050_000, 22 * USD)


async def test_a_callers_history_spans_its_campaigns(tmp_path: Path) -> None:
    """The specification: the median of the last LTVs on that platform, whatever the campaign."""
    async with neighbours(tmp_path) as street:
        await ordinary(street, "carol", "1003")
        assert await price(street, "carol", "1003", "r") == (5_050_000, 22 * USD)


async def test_fewer_ltvs_than_asked_for_are_no_history(tmp_path: Path) -> None:
    async with neighbours(tmp_path, fallback={"min_samples": 7}) as street:
        await ordinary(street, "bob", "1002")
        assert await price(street, "bob", "1002", "six") == (5_050_000, 10 * USD)
        assert await price(street, "bob", "1002", "seven") == (5_050_000, 22 * USD)
