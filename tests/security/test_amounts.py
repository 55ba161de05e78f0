"""What is committed is what is set: a caller cannot set much and have little counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from tests.security.bidding import MODULES, USD, bidding

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.platforms import PLATFORMS, google_ads, meta, trade_desk

EXEMPLARY = sorted(
    document
    for platform in (google_ads, meta, trade_desk)
    for document in Path(str(platform.__file__)).parent.glob("wiretests/exemplary/*.json")
    if json.loads(document.read_text())["method"] == "PlaceBid"
)
TENTH = {"multiplier": 0.1}
CPM = {"base_bid_cpm_micros": 500 * USD, "max_bid_cpm_micros": 900 * USD}
ATTACKS: list[tuple[str, dict[str, Any]]] = [
    ("google_ads", {"target_roas": {"roas": 0.01}}),
    ("google_ads", {"ltv": 10 * USD, "target_roas": {"roas": 0.01}}),
    ("google_ads", {"ltv": 10 * USD, "target_roas": {"roas": 0.01, "max_shared_campaigns": 5}}),
    ("meta", {"min_roas": {"roas": 0.01}}),
    ("meta", {"ltv": 10 * USD, "min_roas": {"roas": 0.01}}),
    ("trade_desk", {"ad_group": CPM}),
    ("trade_desk", {"ad_group": {"base_bid_cpm_micros": 500 * USD}}),
    ("trade_desk", {"ad_group": {"max_bid_cpm_micros": 500 * USD}}),
    ("trade_desk", {"ad_group": {"base_bid_cpm_micros": 1, "max_bid_cpm_micros": 900 * USD}}),
]
IDS = [f"{name}-{number}" for number, (name, _) in enumerate(ATTACKS)]


@pytest.mark.parametrize(("name", "fields"), ATTACKS, ids=IDS)
async def test_one_micro_buys_no_setting_of_any_size(
    name: str, fields: dict[str, Any], tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding(name, tmp_path, clock) as stage:
        refusal = await stage.status("on-1001", stage.request("1001", 1, **fields))
        assert refusal.startswith("INVALID_ARGUMENT: ")
        assert stage.changes() == []
        assert stage.committed() == 0


@pytest.mark.parametrize(("name", "fields"), ATTACKS, ids=IDS)
async def test_without_access_control_both_have_to_agree_too(
    name: str, fields: dict[str, Any], tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding(name, tmp_path, clock, open_to_all=True) as stage:
        refusal = await stage.status("", stage.request("1001", 1, **fields))
        assert refusal.startswith("INVALID_ARGUMENT: ")
        assert stage.changes() == []


@pytest.mark.parametrize(("name", "fields"), ATTACKS, ids=IDS)
async def test_one_micro_buys_nothing_while_the_breaker_is_open(
    name: str, fields: dict[str, Any], tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding(name, tmp_path, clock) as stage:
        stage.open_breaker()
        refusal = await stage.status("on-1001", stage.request("1001", 1, **fields))
        assert refusal.startswith("INVALID_ARGUMENT: ")


@pytest.mark.parametrize("who", ["on-1001", "operator"])
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("trade_desk", {"micros": 900 * USD, "ad_group": CPM}),
        ("trade_desk", {"micros": None, "ad_group": CPM}),
        ("trade_desk", {"micros": 1, "ad_group": {"max_bid_cpm_micros": 11 * USD}}),
        ("google_ads", {"micros": None, "ltv": 20 * USD, "target_roas": {"roas": 1.5}}),
        ("google_ads", {"micros": USD, "ltv": 20 * USD, "target_roas": {"roas": 0.01}}),
        ("google_ads", {"ltv": USD, "target_roas": {"cpc_bid_ceiling_micros": 11 * USD}}),
        ("google_ads", {"micros": 11 * USD, "target_cpa": {}}),
        ("google_ads", {"micros": 11 * USD, "manual_cpc": {"ad_group_id": "10131"}}),
        ("meta", {"micros": None, "ltv": 20 * USD, "min_roas": {"roas": 1.5}}),
        ("meta", {"micros": 11 * USD, "bid_cap": {}}),
        ("meta", {"micros": 11 * USD, "cost_cap": {}}),
    ],
)
async def test_the_largest_bid_binds_every_knob_whoever_calls(
    name: str, fields: dict[str, Any], who: str, tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding(name, tmp_path, clock, max_bid="10.00") as stage:
        bid = stage.request("1001", **{"micros": USD, **fields})
        refusal = await stage.status(who, bid)
        assert "is above the largest" in refusal
        assert "$10.00" in refusal
        assert stage.changes() == []


async def test_the_largest_bid_binds_the_price_of_an_auction(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding("trade_desk", tmp_path, clock, max_bid="10.00") as stage:
        auction = {"bid_request_json": "{}", "price_cpm_micros": 500 * USD}
        refusal = await stage.status("bidder", stage.request("1001", USD, open_rtb=auction))
        assert "open_rtb.price_cpm_micros of $500.00 is above the largest" in refusal


@pytest.mark.parametrize(
    ("name", "fields", "micros"),
    [
        ("google_ads", {"ltv": 30 * USD, "target_roas": {"roas": 2.5}}, 12 * USD),
        ("meta", {"ltv": 30 * USD, "min_roas": {"roas": 2.5}}, 12 * USD),
        ("trade_desk", {"ad_group": {"base_bid_cpm_micros": 3 * USD}}, 3 * USD),
        ("trade_desk", {"ad_group": {**CPM, "base_bid_cpm_micros": 2 * USD}}, 900 * USD),
    ],
)
async def test_what_a_setting_is_worth_is_what_is_committed(
    name: str, fields: dict[str, Any], micros: int, tmp_path: Path, clock: ManualClock
) -> None:
    """With the amount that it is worth, and without one."""
    budget = {"limit": "5000.00"}
    async with bidding(name, tmp_path, clock, budget=budget) as stage:
        answer = await stage.ask("on-1001", stage.request("1001", None, **fields))
        assert answer.result.bid_micros == micros == stage.committed()
        assert answer.result.source == 1  # the caller's, not the heuristic's
        agreed = await stage.status("on-1001", stage.request("1001", micros, **fields))
        assert agreed in ("PLACED", "UNCHANGED")


@pytest.mark.parametrize(
    ("name", "fields"), [ATTACKS[0], ATTACKS[3], ATTACKS[5]], ids=["google_ads", "meta", "desk"]
)
async def test_an_operator_may_give_both(
    name: str, fields: dict[str, Any], tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding(name, tmp_path, clock) as stage:
        assert await stage.status("operator", stage.request("1001", 1, **fields)) == "PLACED"


@pytest.mark.parametrize(
    ("name", "fields"), [ATTACKS[0], ATTACKS[3], ATTACKS[5]], ids=["google_ads", "meta", "desk"]
)
@pytest.mark.parametrize("open_to_all", [True, False])
async def test_the_configuration_may_let_every_bidder_give_both(
    name: str, fields: dict[str, Any], open_to_all: bool, tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding(
        name, tmp_path, clock, open_to_all=open_to_all, amount_may_differ=True
    ) as stage:
        who = "" if open_to_all else "on-1001"
        assert await stage.status(who, stage.request("1001", 1, **fields)) == "PLACED"


@pytest.mark.parametrize(
    ("name", "campaign"), [("google_ads", "1001"), ("google_ads", "1009"), ("meta", "1001")]
)
async def test_the_lowest_roas_binds_what_a_false_ltv_would_set(
    name: str, campaign: str, tmp_path: Path, clock: ManualClock
) -> None:
    """A hundred micros for an LTV of one make a ROAS of 0.01, and agree."""
    async with bidding(name, tmp_path, clock, min_roas=1.5) as stage:
        refusal = await stage.status("bidder", stage.request(campaign, 100, ltv=1))
        assert "a ROAS of 0.01 is below the lowest that may be set, 1.5" in refusal
        assert stage.changes() == []
        allowed = stage.request(campaign, 2 * USD, ltv=3 * USD)
        assert await stage.status("bidder", allowed) == "PLACED"


@pytest.mark.parametrize("name", ["google_ads", "meta"])
async def test_the_lowest_roas_binds_a_deferred_bid(
    name: str, tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding(name, tmp_path, clock, min_roas=1.5) as stage:
        stage.open_breaker()
        bid = stage.request("1001", 10 * USD, ltv=10 * USD)
        assert await stage.status("bidder", bid) == "DEFERRED"
        clock.advance(60)
        await stage.app.core.deferred.look()
        assert stage.changes() == []
        assert "below the lowest" in await stage.status("bidder", bid)


@pytest.mark.parametrize("document", EXEMPLARY, ids=lambda path: f"{path.parts[-4]}-{path.stem}")
def test_the_exemplary_documents_name_amounts_that_agree(document: Path) -> None:
    platform = PLATFORMS[document.parts[-4]]
    written = json.loads(document.read_text())
    request: Any = MODULES[platform.name].PlaceBidRequest()
    json_format.ParseDict(written["request"], request)
    stated = platform.stated(request)
    if stated.field and request.bid.HasField("bid_micros"):
        assert stated.agrees(request.bid.bid_micros, 10_000)
    assert all(one.micros <= request.bid.bid_micros for one in stated.ceilings)


async def test_a_price_of_the_services_own_decides_the_setting_of_a_deferred_bid(
    tmp_path: Path, clock: ManualClock
) -> None:
    """The heuristic holds less than the caller's setting is worth, so less is set."""
    async with bidding("trade_desk", tmp_path, clock, fallback=TENTH) as stage:
        stage.open_breaker()
        knob = {**CPM, "base_bid_cpm_micros": 400 * USD}
        bid = stage.request("1001", 900 * USD, ltv=50 * USD, ad_group=knob)
        answer = await stage.ask("on-1001", bid)
        assert answer.result.bid_micros == 5 * USD
        clock.advance(60)
        await stage.app.core.deferred.look()
        (change,) = stage.changes()
        assert (change.facts["base_bid_cpm"], change.facts["max_bid_cpm"]) == (5, 5)
        assert stage.committed() == 5 * USD


@pytest.mark.parametrize(
    ("name", "fields", "facts"),
    [
        (
            "google_ads",
            {"target_roas": {"roas": 2.5, "cpc_bid_ceiling_micros": 9_999_999}},
            {"target_roas": 10.0, "cpc_bid_ceiling_micros": 5 * USD},
        ),
        ("meta", {"min_roas": {"roas": 2.5}}, {"roas_average_floor": 100_000}),
    ],
)
async def test_a_price_of_the_services_own_has_a_roas_of_its_own(
    name: str,
    fields: dict[str, Any],
    facts: dict[str, Any],
    tmp_path: Path,
    clock: ManualClock,
) -> None:
    async with bidding(name, tmp_path, clock, fallback=TENTH) as stage:
        stage.open_breaker()
        bid = stage.request("1009", 20 * USD, ltv=50 * USD, **fields)
        assert (await stage.ask("bidder", bid)).result.bid_micros == 5 * USD
        clock.advance(60)
        await stage.app.core.deferred.look()
        (change,) = stage.changes()
        assert {key: change.facts[key] for key in facts} == facts
        assert stage.committed() == 5 * USD


async def test_a_reduction_commits_nothing_and_may_name_what_it_lowers(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding("trade_desk", tmp_path, clock) as stage:
        lower = {"base_bid_cpm_micros": 2 * USD, "max_bid_cpm_micros": 900 * USD}
        bid = stage.request("1001", 1, ad_group=lower, reduce_only=True)
        assert await stage.status("on-1001", bid) == "PLACED"
        assert stage.committed() == 0
