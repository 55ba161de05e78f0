"""A bid that Google would take and not go by is refused, by the name of what overrides it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.platforms.google_ads.knobs import Intent
from smartconnectors_server.platforms.google_ads.overrides import (
    Below,
    Overrides,
    ad_group_below,
    check,
    criterion_below,
)
from smartconnectors_server.platforms.google_ads.state import Campaign, UnreadableRow

if TYPE_CHECKING:
    from tests.server.platforms.google_ads.conftest import MakeRig, Rig

    from smartconnectors_server.platforms.google_ads.transport import Transport

CUSTOMER = "1000000001"
CAMPAIGN = Campaign("customers/1/campaigns/7", "7", "USD", "SEARCH", "TARGET_ROAS")


async def change(transport: Transport, kind: str, resource: str, **values: Any) -> None:
    """Somebody changes a field by hand."""
    named = {"resourceName": f"customers/{CUSTOMER}/{resource}", **values}
    operation = {kind: {"update": named, "updateMask": ",".join(values)}}
    document = {"customerId": CUSTOMER, "mutateOperations": [operation]}
    await transport.mutate(document, validate_only=False, dispatched=lambda: None)


def cpa(rig: Rig, campaign_id: str) -> Any:
    request = rig.request(campaign_id)
    request.target_cpa.SetInParent()
    return request


def cpc(rig: Rig, campaign_id: str) -> Any:
    request = rig.request(campaign_id, bid_micros=1_230_000)
    request.manual_cpc.ad_group_id = f"{campaign_id}1"
    return request


async def test_a_bid_by_roas_that_the_ad_groups_override_is_refused_by_their_ids(rig: Rig) -> None:
    with pytest.raises(
        InvalidBid, match=r"target_roas: campaign 1017 has ad groups .*override the bid: 10171"
    ) as caught:
        await rig.plan(rig.request("1017"))
    assert caught.value.metadata["overridden_by"] == "10171"
    assert rig.mutates() == []


@pytest.mark.parametrize("campaign_id", ["1001", "1002"])
async def test_a_target_roas_that_an_ad_group_is_given_later_is_seen(
    rig: Rig, transport: Transport, campaign_id: str
) -> None:
    await rig.plan(rig.request(campaign_id))
    await change(transport, "adGroupOperation", f"adGroups/{campaign_id}1", targetRoas=3.0)
    rig.clock.advance(60.1)
    with pytest.raises(InvalidBid, match=f"override the bid: {campaign_id}1"):
        await rig.plan(rig.request(campaign_id))
    await change(transport, "adGroupOperation", f"adGroups/{campaign_id}1", targetRoas=None)
    rig.clock.advance(60.1)
    await rig.plan(rig.request(campaign_id))


@pytest.mark.parametrize("campaign_id", ["1011", "1012"])
async def test_a_bid_by_cpa_that_the_ad_groups_override_is_refused(
    rig: Rig, transport: Transport, campaign_id: str
) -> None:
    name = f"adGroups/{campaign_id}1"
    await change(transport, "adGroupOperation", name, targetCpaMicros="7000000")
    with pytest.raises(InvalidBid, match=f"target CPA of their own.*: {campaign_id}1"):
        await rig.plan(cpa(rig, campaign_id))


async def test_a_bid_by_cpc_that_a_keyword_overrides_is_refused_by_its_id(rig: Rig) -> None:
    with pytest.raises(
        InvalidBid, match=r"manual_cpc.ad_group_id: ad group 10181 has criteria .*: 601"
    ):
        await rig.plan(cpc(rig, "1018"))


async def test_a_target_of_the_other_kind_overrides_nothing(rig: Rig, transport: Transport) -> None:
    await change(transport, "adGroupOperation", "adGroups/10011", targetCpaMicros="7000000")
    await rig.bid(rig.request("1001"))
    assert rig.mutates()[-1].facts["target_roas"] == 2.0


@pytest.mark.parametrize(
    ("kind", "resource", "campaign_id"),
    [
        ("adGroupOperation", "adGroups/10171", "1017"),
        ("adGroupCriterionOperation", "adGroupCriteria/10181~601", "1018"),
    ],
)
async def test_what_does_not_run_overrides_nothing(
    rig: Rig, transport: Transport, kind: str, resource: str, campaign_id: str
) -> None:
    await change(transport, kind, resource, status="PAUSED")
    request = cpc(rig, campaign_id) if campaign_id == "1018" else rig.request(campaign_id)
    await rig.bid(request)


async def test_ad_groups_are_not_read_where_a_portfolio_decides(rig: Rig) -> None:
    await rig.plan(rig.request("1009"))
    assert rig.gate.reads == ["campaign"]


async def test_what_may_override_is_read_once_while_it_is_fresh(rig: Rig) -> None:
    for number in range(3):
        await rig.bid(rig.request("1001", f"bid-{number}", bid_micros=10_000_000 + number))
    assert rig.gate.reads == ["campaign", "overrides"]


async def test_all_of_them_are_refused_even_where_a_part_is_allowed(make_rig: MakeRig) -> None:
    rig = await make_rig(allow_partial_overrides=True)
    for request in (rig.request("1017"), cpc(rig, "1018")):
        with pytest.raises(InvalidBid, match="override the bid"):
            await rig.plan(request)


async def test_what_is_told_of_the_campaigns_names_what_overrides_them(rig: Rig) -> None:
    told = {one.campaign_id: one for one in (await rig.connector.campaigns()).campaigns}
    assert told["1017"].knobs == ()
    assert "override the bid: 10171" in told["1017"].why_not
    assert told["1001"].knobs == ("target_roas",)


def overrides(own: int, *, of: int) -> Overrides:
    knobs = frozenset({"target_roas"})
    return Overrides.of(
        Below("7", str(number), knobs if number < own else frozenset()) for number in range(of)
    )


@pytest.mark.parametrize(
    ("own", "of", "allow_partial", "taken"),
    [
        (0, 0, False, True),
        (0, 2, False, True),
        (1, 2, False, False),
        (1, 2, True, True),
        (2, 2, True, False),
    ],
)
def test_a_part_that_is_not_moved_is_refused_unless_the_settings_allow_it(
    own: int, of: int, allow_partial: bool, taken: bool
) -> None:
    def ask() -> None:
        intent = Intent("target_roas", 2_000_000)
        check(intent, CAMPAIGN, overrides(own, of=of), allow_partial=allow_partial)

    if taken:
        ask()
    else:
        with pytest.raises(InvalidBid):
            ask()


def test_a_message_names_ten_and_counts_the_rest() -> None:
    found = overrides(12, of=13)
    with pytest.raises(InvalidBid, match=r"7, 8, 9 and 2 more\. Remove theirs") as caught:
        check(Intent("target_roas", 1), CAMPAIGN, found, allow_partial=False)
    assert caught.value.message.endswith("or set `allow_partial_overrides`")


@pytest.mark.parametrize(
    ("ad_group", "own"),
    [
        ({}, set()),
        ({"effectiveTargetRoasSource": "CAMPAIGN_BIDDING_STRATEGY"}, set()),
        ({"effectiveTargetRoasSource": "AD_GROUP"}, {"target_roas"}),
        ({"effectiveTargetCpaSource": "AD_GROUP"}, {"target_cpa"}),
        # The campaign has no target yet, and would have one after the bid.
        ({"targetRoas": 3.0}, {"target_roas"}),
        ({"targetCpaMicros": "1"}, {"target_cpa"}),
        # A source that this version of the API has no name for.
        ({"effectiveTargetRoasSource": "UNKNOWN"}, {"target_roas"}),
    ],
)
def test_the_source_says_whether_an_ad_group_has_a_target_of_its_own(
    ad_group: Mapping[str, Any], own: set[str]
) -> None:
    row = {"campaign": {"id": "7"}, "adGroup": {"id": "71", **ad_group}}
    assert ad_group_below(row) == Below("7", "71", frozenset(own))


@pytest.mark.parametrize(
    ("criterion", "own"),
    [
        ({"effectiveCpcBidSource": "AD_GROUP"}, False),
        ({"effectiveCpcBidSource": "AD_GROUP_CRITERION"}, True),
        ({"effectiveCpcBidSource": "AD_GROUP", "cpcBidMicros": "5"}, False),
        ({"cpcBidMicros": "5"}, True),
        ({}, False),
    ],
)
def test_the_source_says_whether_a_keyword_has_a_bid_of_its_own(
    criterion: Mapping[str, Any], own: bool
) -> None:
    row = {"adGroup": {"id": "71"}, "adGroupCriterion": {"criterionId": "3", **criterion}}
    knobs = frozenset({"manual_cpc"} if own else ())
    assert criterion_below(row) == Below("71", "3", knobs)


@pytest.mark.parametrize("read", [ad_group_below, criterion_below])
def test_a_row_of_another_form_is_unreadable(read: Any) -> None:
    with pytest.raises(UnreadableRow):
        read({"campaign": {"id": "7"}})
