"""What is sent for which request, and what an answer makes of it, as documents: `exemplary/` are
the documented cases, `supplemental/` the odd ones. A file's name is its test's name.

A document has `about`, `method` (an RPC of our service), `request` (its JSON), optional `priced`
and `options`, `platform_state` (the Graph API's answer to the read before it), optional
`platform_answer` (status, headers and body that answer the change) and `expect`: `error`, or
`plan`, `sent` (what is posted: path and form) and, with a platform answer, `answer`, and `quota`
when the answer said something of it.

A document with `fault` instead of a state is played through sockets against the sandbox, whose own
state counts; it expects `error` or `answer`, how many changes the sandbox `applied`, and what a
lookup has for a `finding`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.call import Plan, Priced, Source
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.platforms.meta import (
    audience,
    batches,
    daily_budget,
    knobs,
    refusals,
    wire,
)
from smartconnectors_server.platforms.meta.graph import batch_form, status_form
from smartconnectors_server.platforms.meta.options import MetaOptions
from smartconnectors_server.platforms.meta.refusals import Answered
from smartconnectors_server.platforms.meta.sandbox_access import USD_ACCOUNT
from smartconnectors_server.platforms.meta.state import campaigns_of, nodes_of

Document = Mapping[str, Any]
Sent = dict[str, Any]

_REQUESTS: Mapping[str, type[Message]] = {
    "PlaceBid": pb.PlaceBidRequest,
    "PlaceBids": pb.PlaceBidsRequest,
    "UpdateCampaignBudget": pb.UpdateCampaignBudgetRequest,
    "UpdateTargetAudience": pb.UpdateTargetAudienceRequest,
    "PauseCampaign": pb.PauseCampaignRequest,
    "ResumeCampaign": pb.ResumeCampaignRequest,
}


def replay(document: Document) -> dict[str, Any]:
    """What the document's request makes of its state, and of the answer. See above."""
    if "fault" in document:
        from smartconnectors_server.platforms.meta.wiretests.play import play

        return asyncio.run(play(document))
    try:
        return _replay(document)
    except ConnectorError as error:
        return error_document(error)


def error_document(error: ConnectorError) -> dict[str, Any]:
    """What a caller sees of an error."""
    said: dict[str, Any] = {"reason": error.reason, "message": error.message}
    if error.violations:
        said["field"] = error.violations[0].field
    if error.metadata:
        said["metadata"] = error.metadata
    if error.retry_after_s is not None:
        said["retry_after_s"] = error.retry_after_s
    return {"error": said}


def request_of(document: Document) -> Any:
    """The request message. Raises KeyError for a method that is not one."""
    return json_format.ParseDict(document["request"], _REQUESTS[document["method"]]())


def priced_of(document: Document, request: Any) -> Priced:
    """The price that the document gives, else the caller's own."""
    if isinstance(request, pb.PlaceBidRequest):
        bid = request.bid
        currency_code = bid.currency_code or "USD"
        priced = Priced(bid.request_id, bid.bid_micros, bid.predicted_ltv_micros, currency_code)
    else:
        priced = Priced(request.update.request_id, 0, 0, request.update.currency_code or "USD")
    given = dict(document.get("priced", {}))
    if "source" in given:
        given["source"] = Source(given["source"])
    return dataclasses.replace(priced, **given)


def account_of(document: Document) -> str:
    """The ad account that the document is about."""
    options = MetaOptions.model_validate(document.get("options", {}))
    return options.ad_account_id or USD_ACCOUNT


def _replay(document: Document) -> dict[str, Any]:
    request = request_of(document)
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
    error, signal = refusals.changed(answered)
    if signal is not None:
        found["quota"] = {
            "retry_after_s": signal.retry_after_s,
            "usage_percent": signal.usage_percent,
        }
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
    return {"path": f"/v26.0/{object_id}", "form": dict(form)}


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
