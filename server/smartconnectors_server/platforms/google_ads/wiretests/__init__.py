"""What is sent for which request, as documents: `exemplary/` are the documented cases,
`supplemental/` the odd ones. A file's name is its test's name.

A document has `about`, `method` (an RPC of our service), `request` (its JSON), `platform_state`
(the rows that Google would answer the reads with), optional `priced` and `options`, and `expect`:
either `error`, or `plan`, `sent` (Google's mutate as its REST interface writes it) and `answer`;
for pausing and resuming `sent` alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Plan, Priced, Source
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.platforms.google_ads import audience, daily_budget, knobs, wire
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.platforms.google_ads.state import campaign_of


def replay(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the document's request makes of the document's platform state.

    Returns `plan`, `sent` and `answer`, or `error` with `reason`, `field` and `message`.
    """
    try:
        match document["method"]:
            case "PlaceBid":
                return _of_plan(_bid(document))
            case "UpdateCampaignBudget":
                return _of_plan(_budget(document))
            case "UpdateTargetAudience":
                return _audience(document)
            case "PauseCampaign":
                return _status(document, "PAUSED")
            case "ResumeCampaign":
                return _status(document, "ENABLED")
            case method:
                raise ValueError(f"{method!r} is not a method of GoogleAdsService")
    except ConnectorError as error:
        field = error.violations[0].field if error.violations else ""
        return {"error": {"reason": error.reason, "field": field, "message": error.message}}


def _bid(document: Mapping[str, Any]) -> Plan:
    request = json_format.ParseDict(document["request"], pb.PlaceBidRequest())
    options = GoogleAdsOptions.model_validate(document.get("options", {}))
    priced = _priced(
        document,
        Priced(
            request_id=request.bid.request_id,
            bid_micros=request.bid.bid_micros,
            ltv_micros=request.bid.predicted_ltv_micros,
            currency_code=request.bid.currency_code or "USD",
        ),
    )
    intent = knobs.intent_of(request, priced)
    campaign = campaign_of(document["platform_state"][0])
    return wire.plan_bid(
        request, priced, intent, campaign, ltv_in_click_urls=options.ltv_in_click_urls
    )


def _budget(document: Mapping[str, Any]) -> Plan:
    request = json_format.ParseDict(document["request"], pb.UpdateCampaignBudgetRequest())
    currency_code = request.update.currency_code or "USD"
    priced = _priced(document, Priced(request.update.request_id, 0, 0, currency_code))
    return daily_budget.plan(request, priced, campaign_of(document["platform_state"][0]))


def _priced(document: Mapping[str, Any], as_asked: Priced) -> Priced:
    """The price that the document gives, else the caller's own."""
    given = dict(document.get("priced", {}))
    if "source" in given:
        given["source"] = Source(given["source"])
    return dataclasses.replace(as_asked, **given)


def _of_plan(plan: Plan) -> dict[str, Any]:
    assert isinstance(plan.wire, wire.Change)
    named = ("target", "amount_micros", "before_value", "after_value")
    flags = ("lowers_exposure", "unchanged")
    return {
        "plan": {name: getattr(plan, name) for name in named + flags},
        "sent": plan.wire.mutate,
        "answer": json_format.MessageToDict(plan.wire.answer),
    }


def _audience(document: Mapping[str, Any]) -> dict[str, Any]:
    request = json_format.ParseDict(document["request"], pb.UpdateTargetAudienceRequest())
    audience.check(request.update)
    campaign, *rows = document["platform_state"]
    change = audience.change_of(request.update, campaign_of(campaign), rows)
    return {"sent": change.mutate, "answer": json_format.MessageToDict(change.answer)}


def _status(document: Mapping[str, Any], status: str) -> dict[str, Any]:
    options = GoogleAdsOptions.model_validate(document["options"])
    campaign_id = knobs.check_id("update.campaign_id", document["request"]["update"]["campaignId"])
    return {"sent": wire.status_mutate(options.customer_id, campaign_id, status)}
