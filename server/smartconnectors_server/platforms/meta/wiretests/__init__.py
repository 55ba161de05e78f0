"""What is sent for which request, and what an answer makes of it, as documents: `exemplary/` are
the documented cases, `supplemental/` the odd ones. A file's name is its test's name.

A document has `about`, `method` (an RPC of our service), `request` (its JSON), optional `priced`
and `options`, `platform_state` (the Graph API's answer to the read before it), optional
`platform_answer` (status, headers and body that answer the change) and `expect`: `error`, or
`plan`, `sent` (what is posted: path and form) and, with a platform answer, `answer`, and `quota`
when the answer said something of it.

A document with `fault` instead of a state is played through sockets against the sandbox, whose own
state counts; it expects `error` or `answer`, `quota` when the answer ordered a pause, how many
changes the sandbox `applied`, and what a lookup has for a `finding`.

A document of `accounts/` has what the platform answers about the account itself as `account`; it
expects what is told of it, or that it is unreadable. One of `campaigns/` has one page
of the listing as `campaigns`; it expects what is told of each and the cursor of the next page, or
the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.call import Plan
from smartconnectors_server.connector.wire_documents import (
    Document,
    error_document,
    play,
    priced_of,
    quota_document,
    request_of,
    told_document,
)
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.platforms.meta import (
    PLATFORM,
    audience,
    batches,
    campaigns,
    daily_budget,
    knobs,
    refusals,
    state,
    wire,
)
from smartconnectors_server.platforms.meta.graph import batch_form, posted, status_form
from smartconnectors_server.platforms.meta.options import MetaOptions
from smartconnectors_server.platforms.meta.refusals import Answered
from smartconnectors_server.platforms.meta.sandbox_access import USD_ACCOUNT
from smartconnectors_server.platforms.meta.state import campaigns_of, nodes_of

Sent = dict[str, Any]


def told_of_account(document: Document) -> dict[str, Any]:
    """What is told of the account in a document of `accounts/`."""
    try:
        return asdict(state.account_of(document["account"], document.get("quota_tier", "")))
    except state.UnreadableAnswer:
        return {"unreadable": True}


def told_of_campaigns(document: Document) -> dict[str, Any]:
    """What is told of the campaigns in a document of `campaigns/`."""
    try:
        listed, after = state.listing_of(account_of(document), document["campaigns"])
    except state.UnreadableAnswer:
        return {"unreadable": True}
    return {"told": [told_document(campaigns.told_of(one)) for one in listed], "after": after}


def replay(document: Document) -> dict[str, Any]:
    """What the document's request makes of its state, and of the answer. See above."""
    if "fault" in document:
        return asyncio.run(play(PLATFORM, document))
    try:
        return _replay(document)
    except ConnectorError as error:
        return error_document(error)


def account_of(document: Document) -> str:
    """The ad account that the document is about."""
    options = MetaOptions.model_validate(document.get("options", {}))
    return options.ad_account_id or USD_ACCOUNT


def _replay(document: Document) -> dict[str, Any]:
    request = request_of(PLATFORM, document)
    match request:
        case pb.PlaceBidsRequest():
            plans = [_plan(document, each) for each in request.bids]
            return _of_batch([plan.wire for plan in plans])
        case pb.PlaceBidRequest() | pb.UpdateCampaignBudgetRequest():
            return _of_plan(_plan(document, request), document)
        case pb.UpdateTargetAudienceRequest():
            audience.check(request.update)
            changes = audience.changes_of(request.update, nodes_of(document["platform_state"]))
            sent = [_post(*change) for change in changes.forms.items()]
            return {"sent": sent, "answer": json_format.MessageToDict(changes.answer)}
        case _:
            pausing = isinstance(request, pb.PauseCampaignRequest)
            (campaign,) = campaigns_of(account_of(document), document["platform_state"]).values()
            if campaign.is_paused == pausing:
                return {"sent": []}
            return {"sent": [_post(campaign.campaign_id, status_form(paused=pausing))]}


def _plan(document: Document, request: Any) -> Plan:
    campaigns = campaigns_of(account_of(document), document["platform_state"])
    priced = priced_of(document, request)
    if isinstance(request, pb.PlaceBidRequest):
        intent = knobs.intent_of(request, priced)
        return wire.plan_bid(request, priced, intent, campaigns[request.bid.campaign_id])
    return daily_budget.plan(request, priced, campaigns[request.update.campaign_id])


def _of_plan(plan: Plan, document: Document) -> dict[str, Any]:
    named = ("target", "amount_micros", "before_value", "after_value")
    flags = ("lowers_exposure", "unchanged")
    change: wire.Change = plan.wire
    found: dict[str, Any] = {"plan": {name: getattr(plan, name) for name in named + flags}}
    found["sent"] = [_post(change.object_id, change.form)]
    answered = answer_in(document)
    if answered is None:
        return found
    error, signals = refusals.changed(
        answered, change.object_id, change.form, account_id=account_of(document)
    )
    found |= quota_document(*signals)
    if error is not None:
        return {**found, **error_document(error)}
    is_bid = document["method"] == "PlaceBid"
    answer: Message = (
        batches.bid_answer(change, answered.trace_id) if is_bid else batches.budget_answer(change)
    )
    return {**found, "answer": json_format.MessageToDict(answer)}


def _of_batch(changes: Sequence[wire.Change]) -> dict[str, Any]:
    sent = []
    for indexes in batches.rounds_of(changes):
        posts = [(changes[index].object_id, changes[index].form) for index in indexes]
        form = batch_form(posts, validate_only=[False] * len(posts))
        sent.append({"path": "/v26.0/", "form": {"batch": json.loads(form["batch"])}})
    return {"sent": sent}


def _post(object_id: str, form: Mapping[str, str]) -> Sent:
    return {"path": f"/v26.0/{object_id}", "form": dict(posted(form, validate_only=False))}


def answer_in(document: Document) -> Answered | None:
    """The answer that the document gives; None: it gives none."""
    given = document.get("platform_answer")
    if given is None:
        return None
    body = given["body"]
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in given.get("headers", {}).items()
    }
    return Answered(given["status"], headers, text)
