"""The sandbox by itself: what it takes, what it refuses, and in which words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

if TYPE_CHECKING:
    from tests.server.platforms.meta.conftest import Raw

    from smartconnectors_server.clock import ManualClock
    from smartconnectors_server.platforms.meta.sandbox import MetaSandbox

CAP = "LOWEST_COST_WITH_BID_CAP"
ROAS = "LOWEST_COST_WITH_MIN_ROAS"
FLOOR = '{"roas_average_floor":20000}'

# what is posted -> (the object, the fields, code, subcode or 0, words in the message)
REFUSED: dict[str, tuple[str, dict[str, str], int, int, str]] = {
    "a cap on value": ("10011", {"bid_strategy": CAP, "bid_amount": "250"}, 100, 0, "VALUE"),
    "a cap without an amount": ("10121", {"bid_strategy": CAP}, 100, 2490487, "required"),
    "a cap of nothing": ("10121", {"bid_strategy": CAP, "bid_amount": "0"}, 100, 0, "greater"),
    "a cap with a fraction": (
        "10121",
        {"bid_strategy": CAP, "bid_amount": "12.5"},
        100,
        0,
        "integer",
    ),
    "a floor without value": (
        "10121",
        {"bid_strategy": ROAS, "bid_constraints": FLOOR},
        100,
        0,
        "needs optimization_goal VALUE",
    ),
    "a floor without a floor": (
        "10121",
        {"bid_strategy": ROAS, "optimization_goal": "VALUE"},
        100,
        2490487,
        "required",
    ),
    "a floor with an amount": ("10011", {"bid_amount": "250"}, 100, 0, "does not go with"),
    "a floor that is too low": (
        "10011",
        {"bid_constraints": '{"roas_average_floor":99}'},
        100,
        0,
        "from 100 to 10000000",
    ),
    "a floor that is too high": (
        "10011",
        {"bid_constraints": '{"roas_average_floor":10000001}'},
        100,
        0,
        "from 100 to 10000000",
    ),
    "a floor with a fraction": (
        "10011",
        {"bid_constraints": '{"roas_average_floor":20000.5}'},
        100,
        0,
        "integer",
    ),
    "constraints that are no object": ("10011", {"bid_constraints": "[]"}, 100, 0, "an object"),
    "no cap with an amount": (
        "10121",
        {"bid_strategy": "LOWEST_COST_WITHOUT_CAP", "bid_amount": "250"},
        100,
        0,
        "does not go with",
    ),
    "a strategy that there is not": ("10121", {"bid_strategy": "TARGET_COST"}, 100, 0, "one of"),
    "a goal that there is not": ("10121", {"optimization_goal": "MONEY"}, 100, 0, "one of"),
    "a status that there is not": ("1001", {"status": "ON"}, 100, 0, "one of"),
    "an ad set's strategy where the campaign has it": (
        "10101",
        {"bid_strategy": ROAS, "bid_constraints": FLOOR},
        100,
        0,
        "is the campaign's",
    ),
    "an ad set's budget where the campaign has it": (
        "10101",
        {"daily_budget": "5000"},
        100,
        0,
        "is the campaign's",
    ),
    "a campaign's strategy where the ad sets have it": (
        "1001",
        {"bid_strategy": ROAS},
        100,
        0,
        "without a budget",
    ),
    "a campaign's budget where the ad sets have it": (
        "1001",
        {"daily_budget": "5000"},
        100,
        0,
        "not set here",
    ),
    "a campaign's cap without the amounts": ("1013", {"bid_strategy": CAP}, 100, 2490487, "requir"),
    "a campaign's cap on ad sets that aim at value": (
        "1010",
        {"bid_strategy": CAP, "adset_bid_amounts": '{"10101":250}'},
        100,
        0,
        "VALUE",
    ),
    "amounts for the ad set of another campaign": (
        "1013",
        {"bid_strategy": CAP, "adset_bid_amounts": '{"10011":250}'},
        100,
        0,
        "not an ad set of this campaign",
    ),
    "a budget that is too low": ("10011", {"daily_budget": "99"}, 100, 1885272, "too low"),
    "an audience that there is not": (
        "10011",
        {"targeting": '{"custom_audiences":[{"id":"999"}]}'},
        100,
        0,
        "does not exist",
    ),
    "an object that there is not": ("9999", {"status": "PAUSED"}, 100, 33, "does not exist"),
    "an ad account": ("act_1000000001", {"name": "mine"}, 100, 33, "does not exist"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_it_refuses(raw: Raw, sandbox: MetaSandbox, case: str) -> None:
    object_id, form, code, subcode, words = REFUSED[case]
    status, body = await raw.post(f"/{object_id}", **form)
    error = body["error"]
    assert (status, error["code"], error.get("error_subcode", 0)) == (400, code, subcode)
    assert words in error["message"]
    assert error["fbtrace_id"]
    entry = sandbox.journal()[-1]
    assert (entry.method, entry.changes, entry.applied) == ("POST /{id}", True, False)
    assert entry.facts["errors"] == [f"{code}/{subcode}" if subcode else str(code)]


async def test_what_is_refused_changes_nothing_of_what_came_with_it(raw: Raw) -> None:
    await raw.post("/10011", daily_budget="20000", bid_amount="250")
    _, ad_set = await raw.get("/10011", fields="daily_budget")
    assert ad_set == {"id": "10011", "daily_budget": "10000"}


async def test_a_cap_takes_the_floors_place_and_a_floor_the_caps(raw: Raw) -> None:
    fields = "bid_strategy,bid_amount,bid_constraints,optimization_goal"
    await raw.post(
        "/10011", bid_strategy=CAP, bid_amount="250", optimization_goal="OFFSITE_CONVERSIONS"
    )
    assert await raw.get("/10011", fields=fields) == (
        200,
        {
            "id": "10011",
            "bid_strategy": CAP,
            "bid_amount": 250,
            "optimization_goal": "OFFSITE_CONVERSIONS",
        },
    )
    await raw.post("/10011", bid_strategy=ROAS, bid_constraints=FLOOR, optimization_goal="VALUE")
    _, ad_set = await raw.get("/10011", fields=fields)
    assert ad_set["bid_constraints"] == {"roas_average_floor": 20_000}
    assert "bid_amount" not in ad_set


async def test_a_campaign_is_switched_with_the_amounts_of_its_ad_sets(raw: Raw) -> None:
    status, _ = await raw.post("/1013", bid_strategy="COST_CAP", adset_bid_amounts='{"10131":1234}')
    assert status == 200
    _, campaign = await raw.get("/1013", fields="bid_strategy,adsets{bid_amount}")
    assert campaign["bid_strategy"] == "COST_CAP"
    assert campaign["adsets"]["data"] == [{"id": "10131", "bid_amount": 1234}]


async def test_the_fifth_budget_change_within_an_hour_is_refused(
    raw: Raw, clock: ManualClock
) -> None:
    for number in range(4):
        assert (await raw.post("/10011", daily_budget=str(10_001 + number)))[0] == 200
        # The same again is no change.
        assert (await raw.post("/10011", daily_budget=str(10_001 + number)))[0] == 200
        clock.advance(60)
    status, body = await raw.post("/10011", daily_budget="20000")
    assert status == 400
    assert (body["error"]["code"], body["error"]["error_subcode"]) == (613, 1487632)
    assert (await raw.post("/10021", daily_budget="20000"))[0] == 200
    clock.advance(3600 - 240)
    assert (await raw.post("/10011", daily_budget="20000"))[0] == 200


async def test_a_campaigns_own_budget_may_change_more_often(raw: Raw) -> None:
    for number in range(6):
        assert (await raw.post("/1010", daily_budget=str(10_001 + number)))[0] == 200


async def test_when_something_was_changed_is_told(raw: Raw, clock: ManualClock) -> None:
    before = (await raw.get("/10011", fields="updated_time"))[1]["updated_time"]
    clock.advance(60)
    await raw.post("/10011", name="renamed")
    after = (await raw.get("/10011", fields="updated_time"))[1]["updated_time"]
    assert before == "2026-01-01T00:00:00+0000" != after


@pytest.mark.parametrize("path", ["/", "/1001"])
async def test_a_read_of_several_ids_at_once_is_refused_as_to_a_new_app(
    raw: Raw, path: str
) -> None:
    status, body = await raw.get(path, ids="1001,10011", fields="status")
    assert (status, body["error"]["code"]) == (400, 100)


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/1001", {}, {"id": "1001"}),
        ("/1001", {"fields": "status"}, {"id": "1001", "status": "ACTIVE"}),
        ("/act_1000000002", {"fields": "currency"}, {"id": "act_1000000002", "currency": "JPY"}),
        ("/act_42", {"fields": "currency"}, {"id": "act_1000000001", "currency": "USD"}),
        (
            "/1001",
            {"fields": 'adsets.limit(1).effective_status(["ACTIVE"]){status}'},
            {
                "id": "1001",
                "adsets": {
                    "data": [{"id": "10011", "status": "ACTIVE"}],
                    "paging": {"cursors": {"before": "MA==", "after": "MQ=="}},
                },
            },
        ),
        ("/1001", {"fields": 'adsets.effective_status(["PAUSED"]){status}'}, {"id": "1001"}),
    ],
)
async def test_a_node_is_read_by_its_fields(
    raw: Raw, path: str, params: dict[str, str], expected: Any
) -> None:
    assert await raw.get(path, **params) == (200, expected)


@pytest.mark.parametrize(
    ("path", "params", "code", "words"),
    [
        ("/1001", {"fields": "colour"}, 100, "nonexisting field (colour) on node type (Campaign)"),
        ("/1001", {"fields": "adsets{"}, 2500, "Syntax error"),
        ("/1001", {"fields": "adsets.limit(1{id}"}, 2500, "Syntax error"),
        ("/1001", {"fields": "id,,"}, 2500, "Syntax error"),
        ("/1001", {"fields": "adsets{id}}"}, 2500, "Syntax error"),
        ("/1001", {"fields": "adsets.limit(many)"}, 100, "limit"),
        ("/1001", {"fields": "adsets.filtering(x)"}, 100, "must be an array"),
        ("/1001", {"fields": "adsets.filtering([{}])"}, 100, "must have field"),
        (
            "/1001/adsets",
            {"filtering": '[{"field":"id","operator":"LIKE","value":"1"}]'},
            100,
            "LIKE",
        ),
        ("/9999", {}, 100, "does not exist"),
        ("/1001/ads", {}, 100, "does not exist"),
        ("/", {}, 100, "does not exist"),
    ],
)
async def test_a_read_that_makes_no_sense_is_refused(
    raw: Raw, path: str, params: dict[str, str], code: int, words: str
) -> None:
    status, body = await raw.get(path, **params)
    assert (status, body["error"]["code"]) == (400, code)
    assert words in body["error"]["message"]


async def test_without_its_token_nothing_is_read(endpoint: str) -> None:
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            url = f"http://{endpoint}/v26.0/1001"
            async with session.get(url, headers=headers) as response:
                body = await response.json()
                assert (response.status, body["error"]["code"]) == (401, 190)


async def test_the_three_usage_headers_rise_with_the_calls(raw: Raw, clock: ManualClock) -> None:
    first = json.loads((await raw.headers("/1001"))["x-ad-account-usage"])
    for _ in range(20):
        await raw.post("/10011", name="again")
    headers = await raw.headers("/1001")
    later = json.loads(headers["x-ad-account-usage"])
    assert first["acc_id_util_pct"] < later["acc_id_util_pct"] < 1
    business = json.loads(headers["x-business-use-case-usage"])["1000000001"][0]
    assert business["type"] == "ads_management"
    assert business["estimated_time_to_regain_access"] == 0
    assert set(json.loads(headers["x-app-usage"])) == {
        "call_count",
        "total_time",
        "total_cputime",
    }
    clock.advance(3600)
    last = json.loads((await raw.headers("/1001"))["x-ad-account-usage"])
    assert last["acc_id_util_pct"] == first["acc_id_util_pct"]


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ("{}", "must be an array"),
        ("nonsense", "must be a JSON array"),
        ("[1]", "must be a JSON array"),
        ('[{"method":"POST"}]', "must be a JSON array"),
        (json.dumps([{"method": "GET", "relative_url": "1001"}] * 51), "Maximum batch size is 50"),
        (
            json.dumps(
                [
                    {"method": "POST", "relative_url": each, "body": "name=a"}
                    for each in ("10111", "10112")
                ]
            ),
            "multiple ad sets under one campaign",
        ),
    ],
)
async def test_a_batch_that_makes_no_sense_is_refused_as_a_whole(
    raw: Raw, sandbox: MetaSandbox, batch: str, words: str
) -> None:
    status, body = await raw.post("/", batch=batch)
    assert status == 400
    assert words in body["error"]["message"]
    assert not any(entry.applied for entry in sandbox.journal())


async def test_a_batch_may_mix_reads_and_changes(raw: Raw, sandbox: MetaSandbox) -> None:
    parts = [
        {"method": "POST", "relative_url": "v26.0/10011", "body": "name=renamed"},
        {"method": "GET", "relative_url": "10011?fields=name"},
        {"method": "GET", "relative_url": "9999"},
    ]
    status, answers = await raw.post("/", batch=json.dumps(parts))
    assert status == 200
    assert [answer["code"] for answer in answers] == [200, 200, 400]
    assert json.loads(answers[1]["body"])["name"] == "renamed"
    names = {header["name"] for header in answers[0]["headers"]}
    assert {"x-business-use-case-usage", "x-fb-trace-id"} <= names
    assert [entry.changes for entry in sandbox.journal()] == [True, False, False]


async def test_a_field_that_it_does_not_know_is_ignored_as_meta_does(raw: Raw) -> None:
    assert (await raw.post("/10011", colour="red"))[0] == 200


async def test_a_malformed_document_is_a_refusal_and_no_crash(raw: Raw) -> None:
    for form in ({"targeting": "{"}, {"targeting": "3"}, {"adset_bid_amounts": "x"}):
        target = "/1013" if "adset_bid_amounts" in form else "/10011"
        status, _ = await raw.post(target, **form)
        assert status == 400
