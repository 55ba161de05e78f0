"""A state directory belongs to a mode, an endpoint and accounts; nothing in it goes elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.connector import Finding
from smartconnectors_server.errors import (
    InvalidBid,
    NotFound,
    OutcomeUnknown,
    RequestIdReused,
)
from smartconnectors_server.ledger import HoldState, Reservation
from smartconnectors_server.ledger.audit import Audit
from smartconnectors_server.startup import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

    MakeBid = Callable[..., Any]

USD = 1_000_000
NAME = "google_ads"
FIRST = {"options": {"customer_id": "111-111-1111"}}
SECOND = {"options": {"customer_id": "222-222-2222"}}
HERE, ELSEWHERE = {"endpoint": "127.0.0.1:1"}, {"endpoint": "127.0.0.1:2"}
NAMED = {"accounts": {"eu": {"customer_id": "1111111111"}, "us": {"customer_id": "2222222222"}}}
SWAPPED = {"accounts": {"eu": {"customer_id": "2222222222"}, "us": {"customer_id": "1111111111"}}}
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "live": ({"mode": "sandbox"}, {"mode": "live"}, "mode sandbox, now live"),
    "sandbox": ({"mode": "live"}, {"mode": "sandbox"}, "mode live, now sandbox"),
    "shadow": ({"mode": "live"}, {"mode": "shadow"}, "mode live, now shadow"),
    "from shadow": ({"mode": "shadow"}, {"mode": "live"}, "mode shadow, now live"),
    "endpoint": (HERE, ELSEWHERE, "endpoint 127.0.0.1:1, now 127.0.0.1:2"),
    "account": (
        FIRST,
        SECOND,
        "account 'default' customer_id 1111111111, now customer_id 2222222222",
    ),
    "account given": ({}, FIRST, "account 'default' no id, now customer_id 1111111111"),
    "account gone": (
        NAMED,
        {"accounts": {"us": {"customer_id": "2222222222"}}},
        "account 'eu' (customer_id 1111111111), now absent",
    ),
    "accounts swapped": (
        NAMED,
        SWAPPED,
        (
            "account 'eu' customer_id 1111111111, now customer_id 2222222222; "
            "account 'us' customer_id 2222222222, now customer_id 1111111111"
        ),
    ),
}
EVERY_CHANGE = pytest.mark.parametrize("change", CHANGES)
CARELESS: dict[str, Any] = {"min_interval_s": 0, "min_change_percent": 0}


def settings_of(change: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Those that the ledger belongs to, those of the next start, and how they differ."""
    before, after, differs = CHANGES[change]
    return {**before, **CARELESS}, {**after, **CARELESS}, differs


def bid_in(make_bid: MakeBid, settings: dict[str, Any], request_id: str, **fields: Any) -> Any:
    """A bid on an account that there is."""
    return make_bid(request_id, account="eu" if "accounts" in settings else "", **fields)


async def refusal(build: Build, **settings: Any) -> str:
    with pytest.raises(StartupError) as caught:
        await build(**settings)
    return str(caught.value)


@EVERY_CHANGE
async def test_a_bid_that_waits_is_never_sent_anywhere_else(
    build: Build, make_bid: MakeBid, change: str
) -> None:
    before, after, differs = settings_of(change)
    house = await build(**before)
    house.open_breaker()
    assert await house.status(bid_in(make_bid, before, "r")) == "DEFERRED"
    await house.app.stop()
    for adopt in (False, True):
        said = await refusal(build, adopt=adopt, **after)
        assert f"belongs to other settings: {differs}." in said
        assert "cannot be adopted while bids are open (1 deferred: request r)" in said
        assert "Start once more with the former settings" in said
    house = await build(**before)
    assert house.holds(HoldState.DEFERRED) == 1, "a refused start has changed nothing"
    await house.until(lambda: not house.holds(), passing_s=1)
    assert house.script.sent or before.get("mode") == "shadow"


@EVERY_CHANGE
async def test_what_is_in_doubt_is_never_looked_up_anywhere_else(
    build: Build, make_bid: MakeBid, change: str
) -> None:
    before, after, _ = settings_of(change)
    house = await build(**before)
    hold = await house.core.keeper.reserve(
        Reservation(
            platform=house.runtime.book,
            request_id="r",
            fingerprint="",
            method="/smartconnectors.google_ads.v1.GoogleAdsService/PlaceBid",
            target="campaigns/1",
            budget_ids=(house.runtime.book,),
            amount_micros=15 * USD,
            currency_code="USD",
            source="ai",
            request=bid_in(make_bid, before, "r").SerializeToString(),
            place=house.runtime.place_of(bid_in(make_bid, before, "r")),
        )
    )
    await house.core.ledger.doubt(hold.hold_id)
    await house.app.stop()
    said = await refusal(build, adopt=True, **after)
    assert "while bids are open (1 in doubt: request r)" in said
    assert "`holds resolve` ends one by hand" in said
    house = await build(**before)
    await house.core.keeper.end_by_operator(hold.hold_id, settled=True, reason="seen there")
    await house.app.stop()
    house = await build(adopt=True, **after)
    assert house.core.keeper.state(NAME).in_doubt_micros == 0


@EVERY_CHANGE
async def test_with_nothing_open_it_is_adopted_once_and_what_was_committed_still_counts(
    build: Build, make_bid: MakeBid, change: str
) -> None:
    before, after, differs = settings_of(change)
    house = await build(**before)
    await house.call(bid_in(make_bid, before, "r"))
    counted = {book: house.money(book) for book in house.core.keeper.budget_ids()}
    await house.app.stop()
    said = await refusal(build, **after)
    assert f"{differs}. Use another --state-dir or the former settings." in said
    assert "start once with `serve --adopt google_ads`" in said
    house = await build(adopt=True, **after)
    for book in counted.keys() & set(house.core.keeper.budget_ids()):
        assert house.money(book) == counted[book]
    await house.app.stop()
    await build(**after)


@pytest.mark.parametrize(
    "change", ["live", "sandbox", "endpoint", "account", "account given", "accounts swapped"]
)
async def test_an_id_that_was_used_elsewhere_is_refused_and_answered_again_where_it_was_used(
    build: Build, make_bid: MakeBid, change: str
) -> None:
    before, after, _ = settings_of(change)
    house = await build(**before)
    request = bid_in(make_bid, before, "r")
    assert await house.status(request) == "PLACED"
    await house.app.stop()
    house = await build(adopt=True, **after)
    error = await house.refused(request)
    assert isinstance(error, RequestIdReused)
    assert f"(mode {before.get('mode', 'sandbox')}) before the state directory" in error.message
    assert error.metadata == {"request_id": "r", "mode": before.get("mode", "sandbox")}
    if after != {**SWAPPED, **CARELESS}:
        assert isinstance(await house.refused(ads_pb2.GetBidRequest(request_id="r")), NotFound)
    assert house.script.sent == []
    assert await house.status(bid_in(make_bid, after, "another", usd=5)) == "PLACED"
    await house.app.stop()
    house = await build(adopt=True, **before)
    assert (await house.call(request)).result.replayed
    answered = await house.call(ads_pb2.GetBidRequest(request_id="r"))
    assert answered.answer.request_id == "r"


async def test_an_account_is_added_and_the_only_one_named_without_a_word(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(**FIRST, **CARELESS)
    assert await house.status(make_bid("r")) == "PLACED"
    await house.app.stop()
    added = {"default": {"customer_id": "1111111111"}, "us": {"customer_id": "2222222222"}}
    house = await build(accounts=added, **CARELESS)
    assert (await house.call(make_bid("r"))).result.replayed
    await house.app.stop()
    assert "account 'us' (customer_id 2222222222), now absent" in await refusal(build, **FIRST)


@pytest.mark.parametrize(
    "changed",
    [
        {"options": {"customer_id": "1111111111", "login_customer_id": "3333333333"}},
        {"options": {"customer_id": "1111111111", "api_version": "v25"}},
        {**FIRST, "timeout_ms": 900, "budget": {"limit": "50"}},
    ],
    ids=["manager", "version", "limits"],
)
async def test_what_moves_no_money_elsewhere_needs_no_adoption(
    build: Build, changed: dict[str, Any]
) -> None:
    house = await build(**FIRST)
    await house.app.stop()
    await build(**changed)


async def test_what_expired_while_the_server_was_away_is_ended_by_the_adoption(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(mode="sandbox", **CARELESS)
    house.open_breaker()
    assert await house.status(make_bid("r")) == "DEFERRED"
    await house.app.stop()
    house.clock.advance(601)
    house = await build(mode="live", adopt=True, **CARELESS)
    assert house.holds() == 0
    lines = (await house.core.ledger.entries()).rows
    assert [line.verb for line in lines if line.hold_id] == ["defer", "expire"]
    assert isinstance(await house.refused(make_bid("r")), RequestIdReused)


async def test_binding_and_adoption_are_on_record_and_the_audit_follows_them(
    build: Build, make_bid: MakeBid, caplog: pytest.LogCaptureFixture
) -> None:
    house = await build(mode="sandbox", **FIRST, **CARELESS)
    await house.call(make_bid("r"))
    await house.app.stop()
    house = await build(mode="live", adopt=True, **FIRST, **CARELESS)
    await house.app.stop()
    assert "nothing to adopt" not in caplog.text
    house = await build(mode="live", adopt=True, **FIRST, **CARELESS)
    assert "there is nothing to adopt; take --adopt out of the command" in caplog.text
    lines = (await house.core.ledger.entries()).rows
    about = [line for line in lines if line.verb in ("bind", "adopt")]
    assert [(line.verb, line.platform, line.actor) for line in about] == [
        ("bind", NAME, ""),
        ("adopt", NAME, "a test"),
    ]
    first, second = (json.loads(line.note) for line in about)
    account = {"accounts": {"default": "customer_id 1111111111"}, "endpoint": "127.0.0.1:1"}
    assert (first, second) == ({"mode": "sandbox", **account}, {"mode": "live", **account})
    audit = Audit()
    for line in lines:
        audit.take(line)


# Belt and braces: holds carry where they go


async def foreign(house: House, make_bid: MakeBid, request_id: str, **changed: Any) -> Any:
    """A hold that was meant for another place than the house is bound to, as no start admits."""
    return await house.core.ledger.reserve(
        Reservation(
            platform=NAME,
            request_id=request_id,
            fingerprint="",
            method="/smartconnectors.google_ads.v1.GoogleAdsService/PlaceBid",
            target="campaigns/1",
            budget_ids=(NAME,),
            amount_micros=15 * USD,
            currency_code="USD",
            source="ai",
            request=make_bid(request_id).SerializeToString(),
            place='["live", "", "customer_id 9"]',
            **changed,
        )
    )


async def test_a_deferred_hold_of_another_place_is_not_placed_and_expires(
    house: House, make_bid: MakeBid
) -> None:
    until_ns = house.core.keeper.now_ns() + 60 * 10**9
    await foreign(house, make_bid, "r", defer_until_ns=until_ns)
    await house.pass_time(50)
    assert house.holds(HoldState.DEFERRED) == 1
    await house.pass_time(20)
    await house.until(lambda: not house.holds())
    assert house.script.log == ["connect"]


async def test_a_doubt_of_another_place_is_not_looked_up_and_keeps_no_other_from_it(
    house: House, make_bid: MakeBid
) -> None:
    hold = await foreign(house, make_bid, "a")
    await house.core.ledger.doubt(hold.hold_id)

    async def lost(*_: Any) -> None:
        raise OutcomeUnknown("no answer")

    house.script.sends = lost
    house.script.target = "campaigns/2"
    house.script.finding = Finding.APPLIED
    assert isinstance(await house.refused(make_bid("b", campaign="2")), OutcomeUnknown)
    await house.until(lambda: house.money().get("committed") == 15 * USD, passing_s=1)
    assert house.money() == {"committed": 15 * USD, "in_doubt": 15 * USD}
    assert house.script.log.count("lookup") == 1
    await house.core.keeper.end_by_operator(hold.hold_id, settled=False, reason="not there")
    assert house.holds() == 0


async def test_bids_of_a_sandbox_teach_the_live_price_nothing(
    build: Build, make_bid: MakeBid
) -> None:
    unpriced = {"usd": None, "predicted_ltv_micros": 0}
    house = await build(mode="sandbox", **CARELESS)
    await house.call(make_bid("a", 15, predicted_ltv_micros=20 * USD))
    assert await house.status(make_bid("b", **unpriced)) == "PLACED"
    await house.app.stop()
    house = await build(mode="live", adopt=True, **CARELESS)
    assert isinstance(await house.refused(make_bid("c", **unpriced)), InvalidBid)


async def test_campaigns_of_a_sandbox_are_neither_paused_nor_resumed_live_and_back_again(
    build: Build, make_bid: MakeBid
) -> None:
    async def paused(house: House) -> list[str]:
        found = await house.core.campaigns.pause(NAME, None, "stop")
        return [one.campaign_id for one in found]

    async def resumed(house: House) -> list[str]:
        found = await house.core.campaigns.resume(NAME, None, "go on")
        return [one.campaign_id for one in found]

    house = await build(mode="sandbox", **CARELESS)
    await house.call(make_bid("a", campaign="1"))
    assert await paused(house) == ["1"]
    await house.app.stop()
    house = await build(mode="live", adopt=True, **CARELESS)
    assert await paused(house) == await resumed(house) == []
    await house.call(make_bid("b", campaign="2"))
    assert await paused(house) == ["2"]
    await house.app.stop()
    house = await build(mode="sandbox", adopt=True, **CARELESS)
    assert await paused(house) == ["1"], "what runs there is stopped there"
