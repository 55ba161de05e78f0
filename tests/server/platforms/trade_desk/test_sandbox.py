"""The sandbox, asked by a client that is not ours: its rules, its refusals, its journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from smartconnectors_server.platforms.trade_desk.sandbox_access import (
    EXCHANGE_PATH,
    SANDBOX_TOKEN,
)

if TYPE_CHECKING:
    from smartconnectors_server.platforms.trade_desk.sandbox import TradeDeskSandbox

OPENRTB = {"x-openrtb-version": "2.5"}
BID = {"id": "1", "impid": "1", "price": 1.5, "cid": "1001"}


@pytest.fixture
async def endpoint(sandbox: TradeDeskSandbox) -> str:
    return f"http://{await sandbox.start()}"


async def ask(
    endpoint: str, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    sent = {"TTD-Auth": SANDBOX_TOKEN, "Content-Type": "application/json", **headers}
    data = body if isinstance(body, str) or body is None else json.dumps(body)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, endpoint + path, data=data, headers=sent) as response,
    ):
        text = await response.text()
        return response.status, json.loads(text) if text else None


def money(amount: Any, currency_code: str = "USD") -> Any:
    return {"Amount": amount, "CurrencyCode": currency_code}


def rtb(**attributes: Any) -> Any:
    return {"AdGroupId": "10011", "RTBAttributes": attributes}


# The body of PUT /v3/adgroup -> the property that is wrong with it.
REFUSED: dict[str, tuple[Any, str]] = {
    "a base bid above the highest": (rtb(BaseBidCPM=money(100_001)), "RTBAttributes.BaseBidCPM"),
    "a highest bid below the base": (rtb(MaxBidCPM=money(2)), "RTBAttributes.BaseBidCPM"),
    "a bid of nothing": (rtb(BaseBidCPM=money(0)), "RTBAttributes.BaseBidCPM.Amount"),
    "a bid that is a text": (rtb(BaseBidCPM=money("1")), "RTBAttributes.BaseBidCPM.Amount"),
    "a bid beyond reason": (rtb(MaxBidCPM=money(10**7)), "RTBAttributes.MaxBidCPM.Amount"),
    "a bid without its currency": (
        rtb(BaseBidCPM={"Amount": 1}),
        "RTBAttributes.BaseBidCPM.CurrencyCode",
    ),
    "a bid in another currency": (
        rtb(BaseBidCPM=money(1, "EUR")),
        "RTBAttributes.BaseBidCPM.CurrencyCode",
    ),
    "a bid that is a number": (rtb(BaseBidCPM=1), "RTBAttributes.BaseBidCPM"),
    "an audience that is not there": (
        rtb(AudienceTargeting={"AudienceId": "x"}),
        "RTBAttributes.AudienceTargeting.AudienceId",
    ),
    "a switch that is a text": ({"AdGroupId": "10011", "IsEnabled": "no"}, "IsEnabled"),
    "attributes that are a list": ({"AdGroupId": "10011", "RTBAttributes": []}, "RTBAttributes"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_an_ad_group_that_would_make_no_sense_is_refused_by_property(
    sandbox: TradeDeskSandbox, endpoint: str, case: str
) -> None:
    body, name = REFUSED[case]
    status, answer = await ask(endpoint, "PUT", "/v3/adgroup", body)
    assert (status, [detail["Property"] for detail in answer["ErrorDetails"]]) == (400, [name])
    (entry,) = sandbox.journal()
    assert (entry.changes, entry.applied, entry.facts["campaign_id"]) == (True, False, "1001")
    _, unchanged = await ask(endpoint, "GET", "/v3/adgroup/10011")
    assert unchanged["RTBAttributes"]["BaseBidCPM"]["Amount"] == 2.5


# The body of a change -> the property that is ignored, or refused in strict mode.
IGNORED: dict[str, tuple[Any, str]] = {
    "an unknown attribute": (rtb(Color="red"), "RTBAttributes.Color"),
    "an unknown property": ({"AdGroupId": "10011", "Color": "red"}, "Color"),
    "another campaign": ({"AdGroupId": "10011", "CampaignId": "1002"}, "CampaignId"),
}


@pytest.mark.parametrize("case", IGNORED)
async def test_what_is_unknown_or_read_only_is_ignored_with_a_200(
    sandbox: TradeDeskSandbox, endpoint: str, case: str
) -> None:
    body, name = IGNORED[case]
    _, before = await ask(endpoint, "GET", "/v3/adgroup/10011")
    assert await ask(endpoint, "PUT", "/v3/adgroup", body) == (200, before)
    entry = sandbox.journal()[-1]
    assert (entry.changes, entry.applied, entry.facts["ignored"]) == (True, False, [name])


@pytest.mark.parametrize("case", IGNORED)
async def test_in_strict_mode_what_would_be_ignored_is_refused(
    sandbox: TradeDeskSandbox, endpoint: str, case: str
) -> None:
    body, name = IGNORED[case]
    strict = {"TTD-Strict-Mode": "true"}
    status, answer = await ask(endpoint, "PUT", "/v3/adgroup", body, **strict)
    assert (status, [detail["Property"] for detail in answer["ErrorDetails"]]) == (400, [name])
    assert not sandbox.journal()[-1].applied


async def test_what_is_ignored_of_a_change_is_not_in_its_facts(
    sandbox: TradeDeskSandbox, endpoint: str
) -> None:
    sandbox.leniency.read_only.add("RTBAttributes.BaseBidCPM")
    change = rtb(BaseBidCPM=money(3.21), MaxBidCPM=money(9))
    status, after = await ask(endpoint, "PUT", "/v3/adgroup", change)
    assert (status, after["RTBAttributes"]["BaseBidCPM"]) == (200, money(2.5))
    (entry,) = sandbox.journal()
    assert (entry.applied, entry.facts["max_bid_cpm"]) == (True, 9)
    assert "base_bid_cpm" not in entry.facts


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v3/adgroup/99999", None, 404),
        ("PUT", "/v3/adgroup", {"AdGroupId": "99999"}, 404),
        ("PUT", "/v3/adgroup", "{", 400),
        ("PUT", "/v3/adgroup", [], 400),
        ("PUT", "/v3/campaignflight", {"CampaignFlightId": 1}, 404),
        ("PUT", "/v3/campaignflight", {"CampaignFlightId": 10120}, 400),
        (
            "PUT",
            "/v3/campaignflight",
            {"CampaignFlightId": 10010, "DailyTargetInAdvertiserCurrency": 0},
            400,
        ),
        ("PUT", "/v3/adgroup/status", {"AdGroupId": "99999", "IsEnabled": False}, 404),
        ("PUT", "/v3/adgroup/status", {"AdGroupId": "10011", "IsEnabled": "no"}, 400),
        ("POST", "/v3/adgroup/query/campaign", {"CampaignId": "1001", "PageSize": 0}, 400),
        ("POST", "/v3/adgroup/query/campaign", {"CampaignId": "999999"}, 404),
        ("POST", "/v3/authentication", {"Login": "x", "Password": "y"}, 401),
        ("DELETE", "/v3/adgroup/10011", None, 404),
        ("GET", "/v2/adgroup/10011", None, 404),
    ],
)
async def test_what_makes_no_sense_has_its_status(
    sandbox: TradeDeskSandbox, endpoint: str, method: str, path: str, body: Any, status: int
) -> None:
    found, answer = await ask(endpoint, method, path, body)
    assert found == status
    assert answer["Message"]
    assert not any(entry.applied for entry in sandbox.journal())


async def test_without_a_good_token_nothing_is_answered(endpoint: str) -> None:
    status, _ = await ask(endpoint, "GET", "/v3/adgroup/10011", **{"TTD-Auth": "other"})
    assert status == 401


async def test_what_is_not_sent_stays_as_it_is(endpoint: str) -> None:
    _, before = await ask(endpoint, "GET", "/v3/adgroup/10011")
    status, after = await ask(endpoint, "PUT", "/v3/adgroup", rtb(BaseBidCPM=money(3.21)))
    before["RTBAttributes"]["BaseBidCPM"]["Amount"] = 3.21
    assert (status, after) == (200, before)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"id": "1", "seatbid": [{"bid": [BID]}]}, OPENRTB, 204),
        ({"id": "1", "seatbid": [{"bid": [BID]}]}, {}, 400),
        ({"id": "1", "seatbid": [{"bid": [BID]}]}, {**OPENRTB, "Content-Type": "text/plain"}, 415),
        ({"id": "1", "seatbid": [{"bid": [BID, BID]}]}, OPENRTB, 400),
        ({"id": "1", "nbr": 2}, OPENRTB, 400),
        ({"id": "1", "seatbid": [{"bid": [{**BID, "price": 0}]}]}, OPENRTB, 400),
        ({"id": "1", "seatbid": [{"bid": [{"id": "1", "price": 1}]}]}, OPENRTB, 400),
        ({"seatbid": [{"bid": [BID]}]}, OPENRTB, 400),
        ("{", OPENRTB, 400),
    ],
)
async def test_the_exchange_takes_bids_and_nothing_else(
    sandbox: TradeDeskSandbox, endpoint: str, body: Any, headers: dict[str, str], status: int
) -> None:
    found, _ = await ask(endpoint, "POST", EXCHANGE_PATH, body, **headers)
    (entry,) = sandbox.journal()
    assert (found, entry.applied) == (status, status == 204)
    assert (entry.method, entry.changes) == ("POST bid", True)


async def test_the_journal_is_written_as_json(sandbox: TradeDeskSandbox, endpoint: str) -> None:
    await ask(endpoint, "PUT", "/v3/adgroup", rtb(BaseBidCPM=money(3.21), MaxBidCPM=money(9)))
    (entry,) = sandbox.journal()
    assert json.loads(json.dumps(entry.facts)) == {
        "headers": ["ttd-auth", "content-type"],
        "fields": ["AdGroupId", "RTBAttributes.BaseBidCPM", "RTBAttributes.MaxBidCPM"],
        "ad_group_id": "10011",
        "base_bid_cpm": 3.21,
        "max_bid_cpm": 9,
        "currency_code": "USD",
        "campaign_id": "1001",
    }
