"""A caller moves no campaigns but its own by what they share with others."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.security.bidding import USD, bidding

from smartconnectors_server.clock import ManualClock

# 1009 and 1010 share the portfolio strategy 1901.
MANY = {"max_shared_campaigns": 10_000}


@pytest.mark.parametrize("who", ["on-1009", "operator-1009"])
async def test_a_restricted_caller_moves_no_portfolio_that_other_campaigns_share(
    who: str, tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding("google_ads", tmp_path, clock) as stage:
        for knob in (MANY, {}):
            bid = stage.request("1009", USD, ltv=2 * USD, target_roas=knob)
            assert "PERMISSION_DENIED" in await stage.status(who, bid)
        assert stage.changes() == []
        assert stage.committed() == 0


async def test_the_refusal_names_no_campaign_of_others(tmp_path: Path, clock: ManualClock) -> None:
    async with bidding("google_ads", tmp_path, clock) as stage:
        refusal = await stage.status("on-1009", stage.request("1009", USD, ltv=2 * USD))
        assert "portfolios/1901" in refusal
        assert "1010" not in refusal


async def test_a_caller_who_is_let_at_every_sharer_moves_the_portfolio(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding("google_ads", tmp_path, clock) as stage:
        for who in ("on-both", "bidder"):
            bid = stage.request("1009", USD, ltv=(2 if who == "bidder" else 3) * USD)
            assert await stage.status(who, bid) == "PLACED"
        assert len(stage.changes()) == 2


async def test_a_portfolio_that_nothing_else_bids_by_is_the_campaigns_own(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding("google_ads", tmp_path, clock) as stage:
        assert "DENIED" in await stage.status("on-1009", stage.request("1009", USD, ltv=2 * USD))
        stage.sandbox.remove_campaign("1010")
        assert await stage.status("on-1009", stage.request("1009", USD, ltv=2 * USD)) == "PLACED"


async def test_who_shares_a_portfolio_is_asked_for_each_bid(
    tmp_path: Path, clock: ManualClock
) -> None:
    """What was read of the campaign a moment ago says nothing of who has joined since."""
    async with bidding("google_ads", tmp_path, clock) as stage:
        first = stage.request("1009", USD, ltv=2 * USD)
        assert await stage.status("on-both", first) == "PLACED"
        second = stage.request("1009", USD, ltv=3 * USD)
        assert "DENIED" in await stage.status("on-1009", second)


async def test_a_batch_holds_each_bid_to_the_restriction(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding("google_ads", tmp_path, clock) as stage:
        bid = stage.request("1009", USD, ltv=2 * USD, target_roas=MANY)
        answer = await stage.ask_many("on-1009", [bid])
        assert "not let at" in answer.answers[0].error.message
        assert stage.changes() == []


async def test_a_dry_run_tells_a_restricted_caller_the_same(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding("google_ads", tmp_path, clock) as stage:
        bid = stage.request("1009", USD, ltv=2 * USD, target_roas=MANY)
        bid.bid.validate_only = True
        assert "PERMISSION_DENIED" in await stage.status("on-1009", bid)


@pytest.mark.parametrize("who", ["on-both", "bidder", "operator"])
async def test_the_option_is_a_ceiling_whatever_the_request_says(
    who: str, tmp_path: Path, clock: ManualClock
) -> None:
    options = {"max_shared_campaigns": 1}
    async with bidding("google_ads", tmp_path, clock, options=options) as stage:
        for knob in (MANY, {}):
            bid = stage.request("1009", USD, ltv=2 * USD, target_roas=knob)
            refusal = await stage.status(who, bid)
            assert "max_shared_campaigns" in refusal
            assert "allowed: 1" in refusal
        assert stage.changes() == []


async def test_a_request_may_allow_fewer_than_the_option(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding("google_ads", tmp_path, clock) as stage:
        bid = stage.request("1009", USD, ltv=2 * USD, target_roas={"max_shared_campaigns": 1})
        assert "allowed: 1" in await stage.status("bidder", bid)


@pytest.mark.parametrize("who", ["on-1009", "on-both"])
async def test_a_deferred_bid_of_a_restricted_caller_moves_its_campaign_alone(
    who: str, tmp_path: Path, clock: ManualClock
) -> None:
    """Who shares the portfolio cannot be asked while the breaker is open."""
    async with bidding("google_ads", tmp_path, clock) as stage:
        stage.open_breaker()
        bid = stage.request("1009", USD, ltv=2 * USD, target_roas=MANY)
        assert await stage.status(who, bid) == "DEFERRED"
        clock.advance(60)
        await stage.app.core.deferred.look()
        assert stage.changes() == []
        assert "max_shared_campaigns" in await stage.status(who, bid)


async def test_a_deferred_bid_of_an_unrestricted_caller_moves_the_portfolio(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding("google_ads", tmp_path, clock) as stage:
        stage.open_breaker()
        bid = stage.request("1009", USD, ltv=2 * USD)
        assert await stage.status("bidder", bid) == "DEFERRED"
        clock.advance(60)
        await stage.app.core.deferred.look()
        assert len(stage.changes()) == 1
