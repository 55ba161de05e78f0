"""The documents of `wiretests/` against the sandbox: it takes every exemplary request and answers
like its fixture, and our connector sends exactly what the document says.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from google.protobuf import json_format

from smartconnectors_server.connector.wire_documents import priced_of, request_of
from smartconnectors_server.platforms.google_ads import PLATFORM
from smartconnectors_server.platforms.google_ads.currencies import unit_query
from smartconnectors_server.platforms.google_ads.knobs import needs_billable_unit
from smartconnectors_server.platforms.google_ads.library import Library, load
from smartconnectors_server.platforms.google_ads.overrides import criteria_query, targets_query
from smartconnectors_server.platforms.google_ads.sandbox_access import (
    CLIENT_ID,
    CLIENT_SECRET,
    REFRESH_TOKEN,
    TOKEN_PATH,
)
from smartconnectors_server.platforms.google_ads.state import (
    ad_group_query,
    audience_query,
    campaign_query,
)
from smartconnectors_server.platforms.google_ads.wiretests import options_of

if TYPE_CHECKING:
    from tests.server.platforms.google_ads.conftest import MakeRig

    from smartconnectors_server.platforms.google_ads.sandbox import GoogleAdsSandbox

FOLDER = resources.files("smartconnectors_server.platforms.google_ads.wiretests")
SERVICE = "/google.ads.googleads.v26.services.GoogleAdsService"
WAIT_S = 10.0
"""Long, so that a busy machine is no failure of ours."""


def documents(folder: str) -> dict[str, Any]:
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
        for file in (FOLDER / folder).iterdir()
    }


EXEMPLARY = documents("exemplary")


@dataclass
class Raw:
    """The wire itself, with Google's messages and none of our code in between."""

    channel: grpc.aio.Channel
    token: str
    library: Library

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)

    async def mutate(self, document: dict[str, Any]) -> Any:
        """The answer as JSON. Raises grpc.aio.AioRpcError."""
        method = self.channel.unary_unary(
            f"{SERVICE}/Mutate",
            request_serializer=self.library.mutate_request.SerializeToString,
            response_deserializer=self.library.mutate_response.FromString,
        )
        request = json_format.ParseDict(document, self.library.mutate_request())
        answer = await method(request, metadata=self._metadata, timeout=WAIT_S)
        return json_format.MessageToDict(answer)

    async def search(self, customer_id: str, query: str) -> list[Any]:
        """The rows as JSON. Raises grpc.aio.AioRpcError."""
        method = self.channel.unary_stream(
            f"{SERVICE}/SearchStream",
            request_serializer=self.library.search_request.SerializeToString,
            response_deserializer=self.library.search_response.FromString,
        )
        request = self.library.search_request(customer_id=customer_id, query=query)
        answers = method(request, metadata=self._metadata, timeout=WAIT_S)
        return [
            json_format.MessageToDict(row) async for answer in answers for row in answer.results
        ]

    async def prepare(self, document: Mapping[str, Any]) -> None:
        """Brings the sandbox from its first state to the document's."""
        operations = document.get("sandbox_first", ())
        if operations:
            customer_id = document["expect"]["sent"]["customerId"]
            await self.mutate({"customerId": customer_id, "mutateOperations": operations})


@pytest.fixture
async def raw(endpoint: str) -> AsyncIterator[Raw]:
    form = {
        "grant_type": "refresh_token",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET.get_secret_value(),
        "refresh_token": REFRESH_TOKEN.get_secret_value(),
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{endpoint}{TOKEN_PATH}", data=form) as response,
    ):
        token = (await response.json())["access_token"]
    async with grpc.aio.insecure_channel(endpoint) as channel:
        yield Raw(channel, token, load("v26"))


def queries_of(document: Mapping[str, Any]) -> list[str]:
    """What is read before the document's request is sent."""
    request = request_of(PLATFORM, document)
    match document["method"]:
        case "PauseCampaign":
            return []
        case "PlaceBid":
            return _queries_of_bid(document, request)
        case "UpdateTargetAudience":
            campaign_id = request.update.campaign_id
            return [campaign_query(campaign_id), audience_query(campaign_id)]
        case "UpdateCampaignBudget":
            return [campaign_query(request.update.campaign_id), unit_query(_currency_in(document))]
        case _:
            return [campaign_query(request.update.campaign_id)]


def _queries_of_bid(document: Mapping[str, Any], request: Any) -> list[str]:
    unit = [unit_query(_currency_in(document))] if needs_billable_unit(request) else []
    if request.WhichOneof("knob") == "manual_cpc":
        ad_group_id = request.manual_cpc.ad_group_id
        criteria = criteria_query(ad_group_id, all_of_them=False)
        return [*unit, ad_group_query(ad_group_id), criteria]
    campaign_id = request.bid.campaign_id
    by_portfolio = any("biddingStrategy" in row for row in document["platform_state"])
    below = [] if by_portfolio else [targets_query(campaign_id)]
    return [*unit, campaign_query(campaign_id), *below]


def _currency_in(document: Mapping[str, Any]) -> str:
    state = document["platform_state"]
    return next(str(row["customer"]["currencyCode"]) for row in state if "customer" in row)


@pytest.mark.parametrize("name", sorted(EXEMPLARY))
async def test_the_sandbox_answers_the_reads_like_the_fixture(raw: Raw, name: str) -> None:
    document = EXEMPLARY[name]
    await raw.prepare(document)
    customer_id = document["expect"]["sent"]["customerId"]
    rows = [row for query in queries_of(document) for row in await raw.search(customer_id, query)]
    assert rows == document["platform_state"]


@pytest.mark.parametrize("name", sorted(EXEMPLARY))
async def test_the_sandbox_takes_the_change_and_answers_like_the_fixture(
    raw: Raw, sandbox: GoogleAdsSandbox, name: str
) -> None:
    document = EXEMPLARY[name]
    await raw.prepare(document)
    answer = await raw.mutate(document["expect"]["sent"])
    assert document["platform_answer"] == {"status": "OK", "body": answer}
    assert sandbox.journal()[-1].applied


@pytest.mark.parametrize("name", sorted(EXEMPLARY))
async def test_the_connector_sends_what_the_document_says_and_the_sandbox_takes_it(
    raw: Raw, make_rig: MakeRig, sandbox: GoogleAdsSandbox, name: str
) -> None:
    document = EXEMPLARY[name]
    await raw.prepare(document)
    method, request = document["method"], request_of(PLATFORM, document)
    given = options_of(document).model_dump(exclude_unset=True)
    rig = await make_rig(timeout_ms=int(WAIT_S * 1000), **given)
    planned = method in ("PlaceBid", "UpdateCampaignBudget")
    plan = await rig.connector.plan(request, priced_of(document, request)) if planned else None
    answer = await rig.send_as(method, request, plan)
    taken = rig.mutates()[-1]
    assert taken.applied
    assert_answer_is_as_documented(document, answer, plan)

    await sandbox.reset()
    await raw.prepare(document)
    await raw.mutate(document["expect"]["sent"])
    # The same facts but for the headers, of which the client that is not ours sends fewer.
    assert facts_of(taken) == facts_of(rig.mutates()[-1])


def facts_of(entry: Any) -> dict[str, Any]:
    return {name: fact for name, fact in entry.facts.items() if name != "headers"}


def assert_answer_is_as_documented(document: Mapping[str, Any], answer: Any, plan: Any) -> None:
    expect = document["expect"]
    if plan is not None:
        assert {name: getattr(plan, name) for name in expect["plan"]} == expect["plan"]
    said = json_format.MessageToDict(answer)
    if document["method"] == "PlaceBid":
        assert said["googleAds"].pop("platformRequestId").startswith("sandbox-")
    if "answer" in expect:
        assert said == expect["answer"]
    else:
        assert said["result"]["changed"]
