"""The way to the Graph API, against a server that answers what it is told to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr
from tests.server.platforms.meta.conftest import OpenGate

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector import QuotaSignal
from smartconnectors_server.errors import (
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
)
from smartconnectors_server.platforms.meta.graph import GRAPH_URL, GraphApi, batch_form
from smartconnectors_server.platforms.meta.options import MetaOptions
from smartconnectors_server.platforms.meta.reader import Reader
from smartconnectors_server.platforms.meta.state import (
    UnreadableAnswer,
    ad_set_of,
    audiences_in,
    campaigns_of,
    listing_of,
    nodes_of,
)

POSTS = [("1", {"status": "PAUSED"}), ("2", {"status": "PAUSED"})]
PLACED = {"code": 200, "body": '{"success": true}'}


@dataclass
class Canned:
    """Answers every request the same."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        self.requests.append({"path": request.path_qs, "form": form, "headers": request.headers})
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return web.Response(status=self.status, text=text, headers=self.headers)


@pytest.fixture
def canned() -> Canned:
    return Canned()


@pytest.fixture
def signals() -> list[QuotaSignal]:
    return []


@pytest.fixture
async def graph(canned: Canned, signals: list[QuotaSignal]) -> AsyncIterator[GraphApi]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", canned.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    endpoint = f"{host}:{port}"
    made = GraphApi(
        MetaOptions(),
        account_id="act_1",
        endpoint=endpoint,
        timeout_ms=10_000,
        on_quota=signals.append,
    )
    await made.open()
    yield made
    await made.close()
    await runner.cleanup()


async def send(graph: GraphApi) -> list[Any]:
    return list(await graph.batch(POSTS, validate_only=[False, True]))


async def test_each_part_of_a_batch_has_its_own_answer(graph: GraphApi, canned: Canned) -> None:
    refused = {"code": 400, "body": '{"error": {"message": "No.", "code": 100}}'}
    traced = {**PLACED, "headers": [{"name": "X-FB-Trace-ID", "value": "T"}, "nonsense"]}
    canned.body = [traced, refused]
    placed, error = await send(graph)
    assert placed == "T"
    assert isinstance(error, PlatformRejected)
    parts = json.loads(canned.requests[0]["form"]["batch"])
    assert [part["relative_url"] for part in parts] == ["1", "2"]
    assert "execution_options" not in parts[0]["body"]
    assert parts[1]["body"].endswith("execution_options=%5B%22validate_only%22%5D")


@pytest.mark.parametrize(
    "second",
    [
        None,
        "nonsense",
        {},
        {"code": "200", "body": "{}"},
        {"code": 200},
        {"code": 200, "body": None},
        {"code": 200, "body": "{}"},
        {"code": 500, "body": '{"error": {"message": "Oops.", "code": 2}}'},
        {"code": 200, "headers": 3, "body": '{"success": fal'},
    ],
)
async def test_a_part_without_a_usable_answer_is_in_doubt(
    graph: GraphApi, canned: Canned, second: Any
) -> None:
    canned.body = [PLACED, second]
    placed, doubtful = await send(graph)
    assert placed == ""
    assert type(doubtful) is OutcomeUnknown


async def test_parts_that_are_missing_are_in_doubt_and_those_too_many_are_ignored(
    graph: GraphApi, canned: Canned
) -> None:
    canned.body = [PLACED]
    assert [type(each) for each in await send(graph)] == [str, OutcomeUnknown]
    canned.body = [PLACED] * 5
    assert await send(graph) == ["", ""]


@pytest.mark.parametrize("body", [{"success": True}, {}, "null", "[", ""])
async def test_an_answer_that_is_no_list_leaves_the_whole_batch_in_doubt(
    graph: GraphApi, canned: Canned, body: Any
) -> None:
    canned.body = body
    with pytest.raises(OutcomeUnknown):
        await send(graph)


async def test_the_usage_of_every_part_is_heard(
    graph: GraphApi, canned: Canned, signals: list[QuotaSignal]
) -> None:
    def part(percent: int) -> dict[str, Any]:
        usage = json.dumps({"acc_id_util_pct": percent})
        return {**PLACED, "headers": [{"name": "x-ad-account-usage", "value": usage}]}

    canned.headers = {"X-Ad-Account-Usage": '{"acc_id_util_pct": 10}'}
    canned.body = [part(20), part(30)]
    await send(graph)
    assert [signal.usage_percent for signal in signals] == [10.0, 20.0, 30.0]


async def test_a_whole_batch_may_be_refused_for_quota(graph: GraphApi, canned: Canned) -> None:
    canned.status, canned.body = 400, {"error": {"message": "Wait.", "code": 17}}
    with pytest.raises(RateLimited):
        await send(graph)


async def test_a_read_that_is_no_json_was_not_read(graph: GraphApi, canned: Canned) -> None:
    canned.body = "<html>"
    with pytest.raises(PlatformUnavailable):
        await graph.get("act_1", "currency")


async def test_an_answer_that_cannot_be_read_is_told_to_the_gate(
    graph: GraphApi, canned: Canned, clock: ManualClock
) -> None:
    canned.body = {"currency": "USD", "campaigns": {"data": [{"id": "1001"}]}}
    gate = OpenGate()
    reader = Reader(graph, gate, "act_1", clock, 60.0)
    with pytest.raises(PlatformUnavailable, match="could not be read: KeyError"):
        await reader.campaign("1001")
    assert gate.failures == ["PlatformUnavailable"]


async def test_a_redirect_is_not_followed(graph: GraphApi, canned: Canned) -> None:
    canned.status, canned.body, canned.headers = 302, "", {"Location": "/elsewhere"}
    with pytest.raises(OutcomeUnknown):
        await graph.post("10011", {"status": "PAUSED"}, validate_only=False)
    assert len(canned.requests) == 1


async def test_the_token_is_in_a_header_and_nowhere_else(graph: GraphApi, canned: Canned) -> None:
    canned.body = {"success": True}
    await graph.post("10011", {"status": "PAUSED"}, validate_only=False)
    await graph.get("10011", "id")
    posted, read = canned.requests
    assert posted["headers"]["Authorization"] == "Bearer sandbox-access-token"
    assert posted["path"] == "/v26.0/10011"
    assert set(posted["form"]) == {"status", "fields", "appsecret_proof"}
    assert "token" not in read["path"]


def test_the_real_token_goes_to_meta_alone() -> None:
    options = MetaOptions(access_token=SecretStr("real-token"), app_secret=SecretStr(""))
    live = GraphApi(
        options, account_id="act_1", endpoint=None, timeout_ms=1000, on_quota=lambda _: None
    )
    assert live._http._base_url == GRAPH_URL
    assert live._headers() == {"Authorization": "Bearer real-token"}
    assert live._proof_field() == {}
    elsewhere = GraphApi(
        options, account_id="act_1", endpoint="127.0.0.1:1", timeout_ms=1, on_quota=lambda _: None
    )
    assert "real-token" not in str(elsewhere._headers())


def test_fifty_parts_are_one_form() -> None:
    form = batch_form([("1", {"a": "b&c=d"})] * 50, validate_only=[False] * 50)
    parts = json.loads(form["batch"])
    assert len(parts) == 50
    assert parts[0]["body"] == "a=b%26c%3Dd"


CAMPAIGN = {"id": "1001", "status": "ACTIVE"}


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"currency": "USD", "campaigns": []},
        {"currency": "USD", "campaigns": {"data": 3}},
        {"currency": "USD", "campaigns": {"data": [{"id": "1001"}]}},
        {"currency": "USD", "campaigns": {"data": [{**CAMPAIGN, "daily_budget": "lots"}]}},
        {"currency": "USD", "campaigns": {"data": [{**CAMPAIGN, "adsets": {"data": [{}]}}]}},
        {"currency": "USD", "campaigns": {"data": [{**CAMPAIGN, "adsets": []}]}},
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_unreadable(answer: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        campaigns_of("act_1", answer)


def targeted(targeting: Any) -> Any:
    return {"campaigns": {"data": [{"adsets": {"data": [{"id": "1", "targeting": targeting}]}}]}}


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"campaigns": {"data": 3}},
        {"campaigns": []},
        targeted([3]),
        targeted({"custom_audiences": [{"name": "no id"}]}),
        targeted({"custom_audiences": ["503"]}),
    ],
)
def test_targeting_that_is_not_what_was_asked_for_is_unreadable(answer: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        nodes_of(answer)


@pytest.mark.parametrize("node", [3, {}, {"id": "1", "status": "ACTIVE", "bid_constraints": 4}])
def test_an_ad_set_that_is_none_is_unreadable(node: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        ad_set_of(node)


def test_an_account_without_the_campaign_has_none() -> None:
    assert campaigns_of("act_1", {"currency": "USD", "id": "act_1"}) == {}
    assert nodes_of({"currency": "USD"}) == ()


def test_a_campaign_without_ad_sets_and_an_ad_set_without_targeting_have_none() -> None:
    assert nodes_of({"campaigns": {"data": [CAMPAIGN]}}) == ()
    (node,) = nodes_of(targeted(None))
    assert audiences_in(node) == ()


def test_a_roas_floor_is_read_as_a_number_or_as_text() -> None:
    for floor in (20_000, "20000"):
        node = {"id": "1", "status": "ACTIVE", "bid_constraints": {"roas_average_floor": floor}}
        assert ad_set_of(node).roas_floor == 20_000


@pytest.mark.parametrize("paging", [None, {}, {"next": None}, {"cursors": None, "next": None}])
def test_a_next_page_that_is_null_is_no_next_page(paging: Any) -> None:
    ad_sets = {"data": [], "paging": paging}
    node = {"id": "1", "status": "ACTIVE", "adsets": ad_sets}
    answer = {"currency": "USD", "id": "act_1", "campaigns": {"data": [node], "paging": paging}}
    assert not campaigns_of("act_1", answer)["1"].has_more_ad_sets
    listed, after = listing_of("act_1", answer)
    assert (len(listed), after) == (1, "")
