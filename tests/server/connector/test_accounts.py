"""Several accounts behind one connector, where it matters which one fails and what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import pytest
from google.protobuf.message import Message

from smartconnectors.common.v1 import bid_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Call, MethodSpec, Plan, Priced
from smartconnectors_server.connector import (
    AccountCampaigns,
    Accounts,
    CampaignFacts,
    OneByOne,
    Placed,
    QuotaSignal,
    Traffic,
    account_named,
)
from smartconnectors_server.errors import InvalidBid, PlatformUnavailable, RateLimited
from smartconnectors_server.platforms import PLATFORMS

SPEC = MethodSpec.of(PLATFORMS["google_ads"].service.methods_by_name["PlaceBid"])


class Account(OneByOne):
    """Takes batches, each for one call of the quota."""

    max_batch = 10

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.fails = False
        self.closed = False
        self.told: AccountCampaigns | None = None
        self.prefetched: list[str] = []
        self.runs: dict[str, bool] = {}
        self.paused: list[str] = []
        self.gate: Gate | None = None
        self.sharers: frozenset[str] | None = None

    async def moved_by(self, request: Message, plan: Plan) -> frozenset[str] | None:
        del request, plan
        return self.sharers

    async def plan(self, request: Message, priced: Priced) -> Plan:
        del request, priced
        return Plan("campaigns/1", 0)

    async def prefetch(self, requests: Sequence[Message]) -> None:
        if self.fails:
            raise RateLimited("not now")
        self.prefetched += [cast(Any, request).bid.campaign_id for request in requests]

    async def running(self, campaign_ids: Sequence[str]) -> dict[str, bool]:
        if self.gate is not None and self.gate.is_urgent:
            self.gate.urgent_reads += 1
        if self.fails:
            raise RateLimited("not now")
        return {one: self.runs[one] for one in campaign_ids if one in self.runs}

    async def PauseCampaign(self, request: Any, call: Call) -> None:  # noqa: N802
        del call
        self.paused.append(request.update.campaign_id)

    async def campaigns(self) -> AccountCampaigns | None:
        return self.told

    def batch_calls(self, count: int) -> int:
        return 1

    async def place_many(self, planned: Sequence[tuple[Message, Call]]) -> Sequence[Placed]:
        self.batches.append([cast(Any, request).bid.request_id for request, _ in planned])
        if self.fails:
            raise PlatformUnavailable("not now")
        return [pb.PlaceBidResponse() for _ in planned]

    async def close(self) -> None:
        self.closed = True
        if self.fails:
            raise RuntimeError("it cannot be closed")


class Gate:
    """Counts; refuses when it is shut."""

    def __init__(self) -> None:
        self.taken = 0
        self.shut = False
        self.is_urgent = False
        self.urgent_reads = 0

    @contextmanager
    def urgent(self) -> Iterator[None]:
        self.is_urgent = True
        yield
        self.is_urgent = False

    @asynccontextmanager
    async def read(self, what: str, traffic: Traffic = Traffic.READS) -> AsyncIterator[None]:
        del traffic
        if self.shut:
            raise RateLimited("no more")
        self.taken += 1
        yield

    @asynccontextmanager
    async def report(self, what: str) -> AsyncIterator[None]:
        async with self.read(what):
            yield

    def tighten(self, signal: QuotaSignal) -> None:
        raise AssertionError("nothing is said of the quota here")


class Two:
    """Two accounts."""

    def __init__(self) -> None:
        self.eu, self.us, self.gate = Account(), Account(), Gate()
        connectors: Any = {"eu": self.eu, "us": self.us}
        self.eu.gate = self.us.gate = self.gate
        self.accounts = Accounts(connectors, self.gate)

    async def plan(self, account: str, campaign_id: str) -> None:
        bid = bid_pb2.BidRequest(campaign_id=campaign_id, account=account)
        await self.accounts.plan(pb.PlaceBidRequest(bid=bid), Priced("r", 1, 1, "USD"))

    async def place(self, *names: str) -> list[str]:
        """What became of a bid for each of these accounts."""
        planned = [
            (
                pb.PlaceBidRequest(bid=bid_pb2.BidRequest(request_id=f"r{n}", account=name)),
                Call(SPEC, 0),
            )
            for n, name in enumerate(names)
        ]
        return [type(one).__name__ for one in await self.accounts.place_many(planned)]


@pytest.fixture
def two() -> Two:
    return Two()


async def test_answers_come_in_the_order_of_the_bids(two: Two) -> None:
    two.us.fails = True
    found = await two.place("eu", "us", "eu", "us")
    assert found == ["PlaceBidResponse", "PlatformUnavailable"] * 2
    assert (two.eu.batches, two.us.batches) == ([["r0", "r2"]], [["r1", "r3"]])


async def test_a_further_account_takes_its_own_share_of_the_quota(two: Two) -> None:
    await two.place("eu", "eu")
    assert two.gate.taken == 0, "the chain has taken the first"
    await two.place("eu", "us")
    assert two.gate.taken == 1


async def test_without_quota_for_a_further_account_nothing_is_sent_to_it(two: Two) -> None:
    two.gate.shut = True
    assert await two.place("eu", "us") == ["PlaceBidResponse", "RateLimited"]
    assert two.us.batches == []


async def test_what_fails_for_the_only_account_of_a_batch_fails_for_all_of_it(two: Two) -> None:
    two.eu.fails = True
    with pytest.raises(PlatformUnavailable):
        await two.place("eu", "eu")


async def test_campaigns_are_told_account_by_account(two: Two) -> None:
    shoes, shirts = (CampaignFacts(one, "", "", "") for one in ("1", "2"))
    two.eu.told = AccountCampaigns((shoes, shirts))
    two.us.told = AccountCampaigns((shoes,), has_more=True)
    found = await two.accounts.campaigns()
    assert found is not None
    assert [(one.account, one.campaign_id) for one in found.campaigns] == [
        ("eu", "1"),
        ("eu", "2"),
        ("us", "1"),
    ]
    assert found.has_more


async def test_an_account_that_tells_no_campaigns_takes_nothing_from_the_other(two: Two) -> None:
    assert await two.accounts.campaigns() is None
    two.us.told = AccountCampaigns(())
    assert await two.accounts.campaigns() == AccountCampaigns(())


async def test_every_account_is_closed_also_when_one_cannot_be(two: Two) -> None:
    two.us.fails = True
    with pytest.raises(RuntimeError):
        await two.accounts.close()
    assert two.eu.closed


@pytest.mark.parametrize(
    ("asked", "names", "meant"),
    [
        ("", (), ""),
        ("", ("eu",), "eu"),
        ("", ("eu", "default"), "default"),
        ("eu", ("eu", "default"), "eu"),
    ],
)
def test_which_account_is_meant(asked: str, names: tuple[str, ...], meant: str) -> None:
    assert account_named(asked, names) == meant


@pytest.mark.parametrize(("asked", "names"), [("", ("a", "b")), ("c", ("a", "b")), ("c", ())])
def test_an_account_that_there_is_not_is_never_guessed(asked: str, names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidBid) as caught:
        account_named(asked, names)
    assert all(name in caught.value.message for name in names)


async def test_an_account_that_cannot_be_read_ahead_keeps_no_other_from_it(two: Two) -> None:
    two.eu.fails = True
    bids = [
        pb.PlaceBidRequest(bid=bid_pb2.BidRequest(campaign_id=name, account=name))
        for name in ("eu", "us")
    ]
    with pytest.raises(RateLimited):
        await two.accounts.prefetch(bids)
    assert two.us.prefetched == ["us"]


async def test_an_account_that_cannot_be_asked_leaves_its_campaigns_out(two: Two) -> None:
    two.us.runs = {"2": True}
    two.eu.fails = True
    assert await two.accounts.running(["1", "2"]) == {"2": True}


async def test_when_no_account_can_be_asked_that_is_said(two: Two) -> None:
    two.eu.fails = two.us.fails = True
    with pytest.raises(RateLimited):
        await two.accounts.running(["1"])


async def pause(two: Two, campaign_id: str) -> None:
    spec = MethodSpec.of(PLATFORMS["google_ads"].service.methods_by_name["PauseCampaign"])
    request = pb.PauseCampaignRequest()
    request.update.campaign_id = campaign_id
    await two.accounts.PauseCampaign(request, Call(spec, 0))


async def test_a_pause_that_names_no_account_is_sent_to_the_campaigns_own(two: Two) -> None:
    two.us.runs = {"2": True}
    await pause(two, "2")
    assert (two.eu.paused, two.us.paused) == ([], ["2"])
    assert two.gate.urgent_reads == 2, "which account it is in, past what stands before reads"


async def test_a_pause_of_what_was_bid_on_needs_no_look_at_its_account(two: Two) -> None:
    await two.plan("us", "2")
    two.eu.fails = two.us.fails = True
    await pause(two, "2")
    assert two.us.paused == ["2"]
    assert two.gate.urgent_reads == 0


async def test_one_throttled_account_keeps_no_campaign_of_another_from_being_paused(
    two: Two,
) -> None:
    two.us.runs = {"2": True}
    two.eu.fails = True
    await pause(two, "2")
    assert two.us.paused == ["2"]


async def test_a_pause_of_a_campaign_that_no_account_knows_asks_for_the_account(two: Two) -> None:
    with pytest.raises(InvalidBid, match="names no account"):
        await pause(two, "9")


async def test_what_a_plan_moves_is_asked_of_its_account(two: Two) -> None:
    two.eu.sharers, two.us.sharers = frozenset({"1"}), frozenset({"2"})
    request = pb.PlaceBidRequest(bid=bid_pb2.BidRequest(campaign_id="2", account="us"))
    assert await two.accounts.moved_by(request, Plan("campaigns/2", 0)) == {"2"}
