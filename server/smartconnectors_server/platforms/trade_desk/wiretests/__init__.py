"""What is sent for which request, and what an answer makes of it, as documents: `exemplary/` are
the documented cases, `supplemental/` the odd ones. A file's name is its test's name.

A document has `about`, `method` (an RPC of our service), `request` (its JSON), optional `priced`
and `options`, `platform_state` (entities as The Trade Desk would answer the reads with), optional
`platform_answer` (status, headers and body that answer the change) and `expect`: `error`, or
`plan`, `sent` (method, path and body, and the headers for an exchange) and, with a platform answer,
`answer`, or `confirmed` for what commits nothing: whether the answer shows each change.

A document with `fault` instead of a state is played through sockets against the sandbox, whose own
state counts; it expects `error` or `answer`, `quota` when the answer ordered a pause, how many
changes the sandbox `applied`, and what a lookup has for a `finding`.

A document of `accounts/` has what the platform answers about the account itself as `account`; it
expects what is told of it, or that it is unreadable. One of `campaigns/` has what the
listing is answered as `campaigns` and `ad_groups`; it expects what is told of each campaign, or the
same.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as pb
from smartconnectors_server.call import Plan
from smartconnectors_server.connector import Mode
from smartconnectors_server.connector.http import Answer
from smartconnectors_server.connector.wire_documents import (
    Document,
    error_document,
    play,
    priced_of,
    request_of,
    told_document,
)
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.platforms.trade_desk import (
    PLATFORM,
    amounts,
    answers,
    bidder,
    campaigns,
    confirmation,
    daily_budget,
    exchange,
    targeting,
    wire,
)
from smartconnectors_server.platforms.trade_desk.open_rtb import Authored
from smartconnectors_server.platforms.trade_desk.open_rtb.creative import creative_of
from smartconnectors_server.platforms.trade_desk.options import TradeDeskOptions
from smartconnectors_server.platforms.trade_desk.state import (
    AdGroup,
    UnreadableEntity,
    account_of,
    ad_group_of,
    advertiser_of,
    campaign_of,
    listed_of,
    results_of,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def told_of_account(document: Document) -> dict[str, Any]:
    """What is told of the account in a document of `accounts/`."""
    try:
        return asdict(account_of(advertiser_of(document["account"])))
    except UnreadableEntity:
        return {"unreadable": True}


def told_of_campaigns(document: Document) -> dict[str, Any]:
    """What is told of the campaigns in a document of `campaigns/`."""
    # Numbers as they are read off the wire, not as a JSON reader of tests reads them.
    given = amounts.parse(json.dumps(document))
    try:
        listed = [listed_of(entity) for entity in results_of(given["campaigns"])]
        ad_groups = [ad_group_of(entity) for entity in results_of(given["ad_groups"])]
    except UnreadableEntity:
        return {"unreadable": True}
    own = {one.campaign.campaign_id: one for one in listed}
    return {
        "told": [
            told_document(
                campaigns.told_of(one, [each for each in ad_groups if each.campaign_id == number])
            )
            for number, one in own.items()
        ]
    }


def replay(document: Document) -> dict[str, Any]:
    """What the document's request makes of its state, and of the answer. See above."""
    if "fault" in document:
        return asyncio.run(play(PLATFORM, document))
    try:
        return _replay(document)
    except ConnectorError as error:
        return error_document(error)


def _replay(document: Document) -> dict[str, Any]:
    request = request_of(PLATFORM, document)
    # Numbers as they are read off the wire, not as a JSON reader of tests reads them.
    state = amounts.parse(json.dumps(document["platform_state"]))
    ad_groups = [ad_group_of(entity) for entity in state.get("ad_groups", ())]
    if isinstance(request, pb.PlaceBidRequest | pb.UpdateCampaignBudgetRequest):
        return _of_plan(_plan(document, request, state, ad_groups), document)
    update = request.update
    if isinstance(request, pb.UpdateTargetAudienceRequest):
        after = targeting.audiences_after(update, ad_groups)
        result = targeting.audience_answer(after, ad_groups)
        found = {"answer": json_format.MessageToDict(result)}
        changes = targeting.audience_changes(after, ad_groups)
        return {"sent": _sent(changes), **_confirmed(changes, document), **found}
    if isinstance(request, pb.PauseCampaignRequest):
        changes = targeting.pause_changes(ad_groups)
    else:
        paused_here = frozenset(document.get("paused_here", ()))
        changes = targeting.resume_changes(update.campaign_id, ad_groups, paused_here)
    return {"sent": _sent(changes), **_confirmed(changes, document)}


def _confirmed(changes: list[wire.Change], document: Document) -> dict[str, Any]:
    """Whether the answer shows each change; else the ad group is read."""
    answered = answer_in(document)
    if answered is None:
        return {}
    entity = answers.document_of(answered, changes=True, retry_after_s=2.0, may_be_empty=True)
    return {"confirmed": [confirmation.is_confirmed(entity, one.expected) for one in changes]}


def _plan(document: Document, request: Any, state: Document, ad_groups: list[AdGroup]) -> Plan:
    priced = priced_of(document, request)
    if isinstance(request, pb.UpdateCampaignBudgetRequest):
        campaign, advertiser = campaign_of(state["campaign"]), advertiser_of(state["advertiser"])
        return daily_budget.plan(request, priced, campaign, advertiser, NOW)
    if request.WhichOneof("target") != "open_rtb":
        return wire.plan_bid(request, priced, ad_groups)
    options = TradeDeskOptions.model_validate(document.get("options", {}))
    creatives = tuple(
        creative for creative in map(creative_of, state["creatives"]) if creative is not None
    )
    advertiser = advertiser_of(state["advertiser"])
    return bidder.plan(request, priced, options, Mode.LIVE, advertiser, creatives)


def _of_plan(plan: Plan, document: Document) -> dict[str, Any]:
    named = ("target", "amount_micros", "before_value", "after_value")
    flags = ("lowers_exposure", "unchanged")
    found: dict[str, Any] = {"plan": {name: getattr(plan, name) for name in named + flags}}
    answered = answer_in(document)
    if isinstance(plan.wire, Authored):
        response = json.loads(plan.wire.response_json)
        found["sent"] = {"method": "POST", "headers": exchange.HEADERS, "body": response}
        if answered is not None and (refusal := exchange.refusal_of(answered, 1.0)):
            raise refusal
        return found
    found["sent"] = _sent([plan.wire])[0]
    if answered is not None:
        entity = answers.document_of(answered, changes=True, retry_after_s=2.0)
        confirmation.check(entity, plan.wire.expected)
        if document["method"] == "PlaceBid":
            message: Message = wire.answer_of(ad_group_of(entity))
        else:
            message = daily_budget.answer_of(plan)
        found["answer"] = json_format.MessageToDict(message)
    return found


def answer_in(document: Document) -> Answer | None:
    """The answer that the document gives; None: it gives none."""
    given = document.get("platform_answer")
    if given is None:
        return None
    body = given.get("body")
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    return Answer(given["status"], given.get("headers", {}), text.encode())


def _sent(changes: list[wire.Change]) -> list[dict[str, Any]]:
    return [
        {
            "method": change.method,
            "path": f"/v3{change.path}",
            "body": json.loads(amounts.write(change.body)),
        }
        for change in changes
    ]
