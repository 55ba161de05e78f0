"""A daily budget is changed where it is a daily budget of that campaign alone, in units that Google
bills, as Google says which they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Priced
from smartconnectors_server.errors import CurrencyMismatch, InvalidBid
from smartconnectors_server.platforms.google_ads.sandbox import TWD_CUSTOMER

if TYPE_CHECKING:
    from tests.server.platforms.google_ads.conftest import MakeRig, Rig

    from smartconnectors_server.call import Plan


async def plan(rig: Rig, campaign_id: str, daily_budget_micros: int = 130_000_000) -> Plan:
    request = pb.UpdateCampaignBudgetRequest()
    request.update.campaign_id = campaign_id
    request.update.daily_budget_micros = daily_budget_micros
    return await rig.connector.plan(request, Priced("b", 0, 0, rig.currency_code))


async def test_a_budget_for_a_period_is_refused_by_its_id_and_total(rig: Rig) -> None:
    with pytest.raises(
        InvalidBid,
        match=r"campaign 1014 has budget 6014 for CUSTOM_PERIOD with a total of \$3,000\.00",
    ):
        await plan(rig, "1014")
    assert rig.mutates() == []


@pytest.mark.parametrize("campaign_id", ["1015", "1016"])
async def test_a_shared_budget_is_refused_by_its_id(rig: Rig, campaign_id: str) -> None:
    with pytest.raises(InvalidBid, match=r"shared budget 6015 \(campaigns on it now: 2\)"):
        await plan(rig, campaign_id)


async def test_the_unit_of_a_budget_is_what_google_says_and_not_iso_s(make_rig: MakeRig) -> None:
    rig = await make_rig("TWD", customer_id=TWD_CUSTOMER)
    with pytest.raises(InvalidBid, match=r"a multiple of .*\(1000000 micros\)"):
        await plan(rig, "4001", 130_500_000)
    assert (await plan(rig, "4001", 131_000_000)).amount_micros == 31_000_000


async def test_the_unit_of_a_bid_is_what_google_says_and_not_iso_s(make_rig: MakeRig) -> None:
    rig = await make_rig("TWD", customer_id=TWD_CUSTOMER)
    request = rig.request("4011", bid_micros=15_500_000)
    request.target_cpa.SetInParent()
    with pytest.raises(InvalidBid, match=r"a multiple of .*\(1000000 micros\)"):
        await rig.plan(request)
    request.bid.bid_micros = 16_000_000
    await rig.bid(request)
    assert rig.mutates()[-1].facts["target_cpa_micros"] == 16_000_000


async def test_the_unit_of_a_ceiling_is_what_google_says(make_rig: MakeRig) -> None:
    rig = await make_rig("TWD", customer_id=TWD_CUSTOMER)
    request = rig.request("4009")
    request.target_roas.cpc_bid_ceiling_micros = 2_500_000
    with pytest.raises(InvalidBid, match=r"cpc_bid_ceiling_micros: a multiple of"):
        await rig.plan(request)


async def test_a_unit_is_read_once(rig: Rig) -> None:
    for micros in (110_000_000, 120_000_000):
        await plan(rig, "1001", micros)
    rig.clock.advance(3600)
    await plan(rig, "1002")
    assert rig.gate.reads.count("currency") == 1


async def test_a_bid_by_roas_reads_no_unit(rig: Rig) -> None:
    await rig.bid(rig.request("1001"))
    assert "currency" not in rig.gate.reads


@pytest.mark.parametrize("currency_code", ["CHF", "US", "x' OR 1"])
async def test_a_currency_that_google_does_not_bill_in_is_refused(
    make_rig: MakeRig, currency_code: str
) -> None:
    rig = await make_rig(currency_code)
    request: Any = rig.request("1011")
    request.target_cpa.SetInParent()
    with pytest.raises(CurrencyMismatch, match="does not bill in"):
        await rig.plan(request)


@pytest.mark.parametrize("unit", [None, "0", "-1", "x"])
def test_a_unit_that_is_none_is_unreadable(unit: str | None) -> None:
    from smartconnectors_server.platforms.google_ads.currencies import unit_of
    from smartconnectors_server.platforms.google_ads.state import UnreadableRow

    with pytest.raises(UnreadableRow):
        unit_of({"currencyConstant": {"code": "USD", "billableUnitMicros": unit}})
