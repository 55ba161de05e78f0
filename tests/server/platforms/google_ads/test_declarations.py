"""An account with a campaign that does not declare whether it has EU political ads takes no
changes; callers are told what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smartconnectors_server.errors import PlatformRejected
from smartconnectors_server.platforms.google_ads.sandbox import UNDECLARED_CUSTOMER

if TYPE_CHECKING:
    from tests.server.platforms.google_ads.conftest import MakeRig, Rig

    from smartconnectors_server.platforms.google_ads.transport import Transport

DECLARED = {"containsEuPoliticalAdvertising": "DOES_NOT_CONTAIN_EU_POLITICAL_ADVERTISING"}


@pytest.fixture
async def blocked(make_rig: MakeRig) -> Rig:
    return await make_rig(customer_id=UNDECLARED_CUSTOMER)


async def test_a_bid_on_any_campaign_is_rejected_with_what_to_do(blocked: Rig) -> None:
    with pytest.raises(
        PlatformRejected,
        match=r"not even a pause.*does not declare whether it has EU political ads.*"
        r"settings of each campaign.*EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED",
    ) as caught:
        await blocked.bid(blocked.request("1002"))
    assert caught.value.metadata["platform_errors"] == (
        "mutate_error.EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED"
    )
    assert not blocked.mutates()[-1].applied


async def test_a_pause_is_rejected_with_what_to_do(blocked: Rig) -> None:
    with pytest.raises(PlatformRejected, match="Declare it in the settings of each campaign"):
        await blocked.pause("1002")


async def test_a_batch_is_rejected_as_a_whole_with_what_to_do(blocked: Rig) -> None:
    planned = await blocked.plan_all([blocked.request(one, one) for one in ("1002", "1003")])
    with pytest.raises(PlatformRejected, match="EU political ads"):
        await blocked.connector.place_many(blocked.batch(planned))


async def test_once_it_is_declared_bids_are_taken_again(blocked: Rig, transport: Transport) -> None:
    named = {"resourceName": f"customers/{UNDECLARED_CUSTOMER}/campaigns/1001", **DECLARED}
    operation = {"update": named, "updateMask": "containsEuPoliticalAdvertising"}
    document = {
        "customerId": UNDECLARED_CUSTOMER,
        "mutateOperations": [{"campaignOperation": operation}],
    }
    await transport.mutate(document, validate_only=False, dispatched=lambda: None)
    await blocked.bid(blocked.request("1002"))
    assert blocked.mutates()[-1].applied


async def test_what_is_told_of_the_campaigns_names_the_one_without(blocked: Rig) -> None:
    told = {one.campaign_id: one for one in (await blocked.connector.campaigns()).campaigns}
    assert "does not declare" in told["1001"].why_not
    assert told["1001"].knobs == ()
