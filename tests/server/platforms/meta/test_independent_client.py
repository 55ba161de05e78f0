"""Meta's own client library talks to the sandbox, and to it alone: a second opinion on its shapes.

It is synchronous, so that each call runs in a thread.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adset import AdSet
from facebook_business.adobjects.campaign import Campaign
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from smartconnectors_server.connector.sandbox import Fault, FaultKind
from smartconnectors_server.platforms.meta.sandbox_access import ACCESS_TOKEN, APP_SECRET

if TYPE_CHECKING:
    from tests.server.platforms.meta.conftest import Rig

    from smartconnectors_server.platforms.meta.sandbox import MetaSandbox


def api_of(endpoint: str, token: str = "", secret: str = "") -> FacebookAdsApi:
    session = FacebookSession(
        app_secret=secret or APP_SECRET.get_secret_value(),
        access_token=token or ACCESS_TOKEN.get_secret_value(),
        timeout=60,
    )
    session.GRAPH = f"http://{endpoint}"
    return FacebookAdsApi(session)


@pytest.fixture
def api(endpoint: str) -> Any:
    made = api_of(endpoint)
    yield made
    made._session.requests.close()


async def test_it_reads_what_our_connector_set(api: FacebookAdsApi, rig: Rig) -> None:
    await rig.bid(rig.request("1001"))
    fields = ["bid_strategy", "bid_constraints", "optimization_goal", "daily_budget", "campaign_id"]
    ad_set = await asyncio.to_thread(AdSet("10011", api=api).api_get, fields=fields)
    assert ad_set.export_all_data() == {
        "id": "10011",
        "campaign_id": "1001",
        "bid_strategy": "LOWEST_COST_WITH_MIN_ROAS",
        "bid_constraints": {"roas_average_floor": 20_000},
        "optimization_goal": "VALUE",
        "daily_budget": "10000",
    }


async def test_our_connector_reads_what_it_set(api: FacebookAdsApi, rig: Rig) -> None:
    params = {
        "bid_strategy": "LOWEST_COST_WITH_MIN_ROAS",
        "optimization_goal": "VALUE",
        "bid_constraints": {"roas_average_floor": 20_000},
    }
    # Not `api_update`, whose type check warns of every bid_constraints.
    await asyncio.to_thread(api.call, "POST", ("10011",), params=params)
    assert (await rig.plan(rig.request("1001"))).unchanged
    entry = next(entry for entry in rig.posts())
    assert entry.facts["credentials"] == ["access_token", "appsecret_proof"]


async def test_it_pages_through_an_accounts_campaigns(api: FacebookAdsApi) -> None:
    def read() -> list[str]:
        account = AdAccount("act_1000000001", api=api)
        return [each["id"] for each in account.get_campaigns(fields=["id"], params={"limit": 5})]

    assert await asyncio.to_thread(read) == [str(number) for number in range(1001, 1015)]


async def test_it_filters_an_accounts_campaigns_as_our_read_does(api: FacebookAdsApi) -> None:
    def read() -> list[str]:
        filtering = [{"field": "id", "operator": "IN", "value": ["1003", "1001"]}]
        params = {"filtering": filtering}
        return [
            each["id"]
            for each in AdAccount("act_1000000001", api=api).get_campaigns(
                fields=["id"], params=params
            )
        ]

    assert await asyncio.to_thread(read) == ["1001", "1003"]


async def test_it_reads_a_campaigns_ad_sets(api: FacebookAdsApi) -> None:
    def read() -> list[str]:
        return [each["id"] for each in Campaign("1011", api=api).get_ad_sets(fields=["id"])]

    assert await asyncio.to_thread(read) == ["10111", "10112"]


async def test_it_understands_a_refusal(api: FacebookAdsApi) -> None:
    with pytest.raises(FacebookRequestError) as caught:
        await asyncio.to_thread(
            AdSet("10011", api=api).api_update,
            params={"bid_strategy": "LOWEST_COST_WITH_BID_CAP", "bid_amount": 250},
        )
    error = caught.value
    assert (error.http_status(), error.api_error_code()) == (400, 100)
    assert "not available with optimization_goal VALUE" in error.api_error_message()
    assert error.body()["error"]["fbtrace_id"].startswith("Sandbox")


async def test_it_understands_that_an_object_is_unknown(api: FacebookAdsApi) -> None:
    with pytest.raises(FacebookRequestError) as caught:
        await asyncio.to_thread(AdSet("9999", api=api).api_get, fields=["id"])
    assert (caught.value.api_error_code(), caught.value.api_error_subcode()) == (100, 33)


async def test_it_understands_a_throttling_and_its_headers(
    api: FacebookAdsApi, sandbox: MetaSandbox
) -> None:
    await sandbox.add_fault(Fault(FaultKind.QUOTA, delay_ms=90_000))
    with pytest.raises(FacebookRequestError) as caught:
        await asyncio.to_thread(AdSet("10011", api=api).api_get, fields=["id"])
    assert caught.value.api_error_code() == 80004
    usage = caught.value.http_headers()["X-Business-Use-Case-Usage"]
    assert '"estimated_time_to_regain_access": 2' in usage


async def test_it_understands_a_transient_error(api: FacebookAdsApi, sandbox: MetaSandbox) -> None:
    await sandbox.add_fault(Fault(FaultKind.SERVER_ERROR))
    with pytest.raises(FacebookRequestError) as caught:
        await asyncio.to_thread(AdSet("10011", api=api).api_get, fields=["id"])
    assert caught.value.api_transient_error()


@pytest.mark.parametrize(
    ("token", "secret", "code"), [("wrong", "", 190), ("", "another-secret", 100)]
)
async def test_it_is_refused_with_another_token_or_another_proof(
    endpoint: str, token: str, secret: str, code: int
) -> None:
    api = api_of(endpoint, token, secret)
    with pytest.raises(FacebookRequestError) as caught:
        await asyncio.to_thread(AdSet("10011", api=api).api_get, fields=["id"])
    assert caught.value.api_error_code() == code
    api._session.requests.close()


async def test_its_batches_are_taken_and_answered_part_by_part(
    api: FacebookAdsApi, sandbox: MetaSandbox
) -> None:
    placed: list[Any] = []
    refused: list[Any] = []

    def send() -> Any:
        batch = api.new_batch()
        for ad_set_id, amount in (("10121", 250), ("10011", 250), ("10131", 300)):
            AdSet(ad_set_id, api=api).api_update(
                params={"bid_strategy": "LOWEST_COST_WITH_BID_CAP", "bid_amount": amount},
                batch=batch,
                success=placed.append,
                failure=refused.append,
            )
        return batch.execute()

    assert await asyncio.to_thread(send) is None
    # The second aims at value, the third has its strategy from its campaign.
    assert (len(placed), len(refused)) == (1, 2)
    assert placed[0].json() == {"success": True}
    assert [entry.applied for entry in sandbox.journal()] == [True, False, False]


async def test_its_validate_only_changes_nothing(api: FacebookAdsApi, sandbox: MetaSandbox) -> None:
    params = {"daily_budget": 12_000, "execution_options": ["validate_only"]}
    await asyncio.to_thread(AdSet("10011", api=api).api_update, params=params)
    entry = sandbox.journal()[-1]
    assert (entry.applied, entry.facts["validate_only"]) == (False, True)
