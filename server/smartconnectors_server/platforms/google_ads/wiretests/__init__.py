"""What is sent for which request, and what an answer makes of it, as documents: `exemplary/` are
the documented cases, `supplemental/` the odd ones. A file's name is its test's name.

A document has `about`, `method` (an RPC of our service), `request` (its JSON), `platform_state`
(the rows that Google would answer the reads with), optional `priced` and `options`, optional
`platform_answer` (what answers the mutate: `status`, and the response as `body` or the refusal as
`details`, `failure` and `request_id`) and `expect`: either `error`, or `plan`, `sent` (Google's
mutate as its REST interface writes it) and `answer`; for pausing and resuming `sent` alone; and
`quota` when the answer said something of it. An exemplary one may have `sandbox_first`: operations
of a mutate that bring the sandbox from its first state to the document's.

A document with `fault` instead of a state is played through sockets against the sandbox, whose own
state counts; it expects `error` or `answer`, `quota` when the answer ordered a pause, how many
changes the sandbox `applied`, and what a lookup has for a `finding`.

A document of `accounts/` has what the platform answers about the account itself as `account`; it
expects what is told of it, or that it is unreadable. One of `campaigns/` has rows of
the listing as `campaigns`, of their ad groups as `ad_groups`, and how many may share a portfolio as
`max_campaigns`; it expects what is told of each, or the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from google.protobuf import json_format

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
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
from smartconnectors_server.platforms.google_ads import (
    PLATFORM,
    audience,
    campaigns,
    currencies,
    daily_budget,
    knobs,
    overrides,
    wire,
)
from smartconnectors_server.platforms.google_ads.account import account_of
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.platforms.google_ads.state import (
    UnreadableRow,
    campaign_of,
    user_list_of,
)


def told_of_account(document: Document) -> dict[str, Any]:
    """What is told of the account in a document of `accounts/`."""
    try:
        return asdict(account_of(document["account"]))
    except UnreadableRow:
        return {"unreadable": True}


def told_of_campaigns(document: Document) -> dict[str, Any]:
    """What is told of the campaigns in a document of `campaigns/`."""
    most = document.get("max_campaigns", 1)
    try:
        listed = [campaigns.listed_of(row) for row in document["campaigns"]]
        below = overrides.by_parent(
            map(overrides.ad_group_below, document.get("ad_groups", ())),
            [one.campaign.campaign_id for one in listed],
        )
        found = [
            campaigns.told_of(one, below[one.campaign.campaign_id], max_campaigns=most)
            for one in listed
        ]
    except UnreadableRow:
        return {"unreadable": True}
    return {"told": list(map(told_document, found))}


def replay(document: Document) -> dict[str, Any]:
    """What the document's request makes of its state, and of the answer. See above."""
    if "fault" in document:
        return asyncio.run(play(PLATFORM, document))
    try:
        return _replay(document)
    except ConnectorError as error:
        return error_document(error)


def options_of(document: Document) -> GoogleAdsOptions:
    """The settings that the document gives."""
    return GoogleAdsOptions.model_validate(document.get("options", {}))


def _replay(document: Document) -> dict[str, Any]:
    request = request_of(PLATFORM, document)
    match request:
        case pb.PlaceBidRequest() | pb.UpdateCampaignBudgetRequest():
            return _of_plan(_plan(document, request), document)
        case pb.UpdateTargetAudienceRequest():
            audience.check(request.update)
            campaign, *rows = document["platform_state"]
            change = audience.change_of(
                request.update, campaign_of(campaign), dict(map(user_list_of, rows))
            )
            return {"sent": change.mutate, "answer": json_format.MessageToDict(change.answer)}
        case _:
            status = "PAUSED" if isinstance(request, pb.PauseCampaignRequest) else "ENABLED"
            campaign_id = knobs.check_id("update.campaign_id", request.update.campaign_id)
            customer_id = options_of(document).customer_id
            return {"sent": wire.status_mutate(customer_id, campaign_id, status)}


def _plan(document: Document, request: Any) -> Plan:
    priced = priced_of(document, request)
    rows = document.get("platform_state", ())
    units = [currencies.unit_of(row) for row in rows if "currencyConstant" in row]
    unit_micros = units[0] if units else 0
    if isinstance(request, pb.UpdateCampaignBudgetRequest):
        campaign = campaign_of(_campaign_row(rows))
        return daily_budget.plan(request, priced, campaign, unit_micros=unit_micros)
    # First what needs no campaign: a document of a bid that fits none has no state.
    most = options_of(document).max_shared_campaigns or 1
    intent = knobs.intent_of(request, priced, unit_micros=unit_micros, most_campaigns=most)
    campaign = campaign_of(_campaign_row(rows))
    options = options_of(document)
    in_urls = options.ltv_in_click_urls
    plan = wire.plan_bid(request, priced, intent, campaign, ltv_in_click_urls=in_urls)
    overrides.check_campaign(intent, campaign)
    if overrides.matter(intent, campaign):
        below = [overrides.criterion_below(row) for row in rows if "adGroupCriterion" in row]
        if intent.knob != "manual_cpc":
            ad_groups = [row for row in rows if "adGroup" in row and "customer" not in row]
            below = list(map(overrides.ad_group_below, ad_groups))
        overrides.check(
            intent,
            campaign,
            overrides.Overrides.of(below),
            allow_partial=options.allow_partial_overrides,
        )
    return plan


def _campaign_row(rows: Sequence[Any]) -> Any:
    """The row of the campaign itself: the only one that has the account's currency."""
    return next(row for row in rows if "customer" in row)


def _of_plan(plan: Plan, document: Document) -> dict[str, Any]:
    change = plan.wire
    assert isinstance(change, wire.Change)
    named = ("target", "amount_micros", "before_value", "after_value")
    flags = ("lowers_exposure", "unchanged")
    found = {
        "plan": {name: getattr(plan, name) for name in named + flags},
        "sent": change.mutate,
    }
    if "failure" in document.get("platform_answer", {}):
        return {**found, **_of_refusal(document["platform_answer"])}
    return {**found, "answer": json_format.MessageToDict(change.answer)}


def _of_refusal(answer: Document) -> dict[str, Any]:
    """What our classification makes of a refusal, as it comes over the wire."""
    from smartconnectors_server.platforms.google_ads import refusals
    from smartconnectors_server.platforms.google_ads.library import load
    from smartconnectors_server.platforms.google_ads.options import DEFAULT_VERSION
    from smartconnectors_server.platforms.google_ads.wiretests.answers import rpc_error

    library = load(DEFAULT_VERSION)
    error, signal = refusals.translate(rpc_error(answer, library), library, changes=True)
    return error_document(error) | quota_document(signal)
