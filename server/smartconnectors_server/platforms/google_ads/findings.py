"""What a fresh look at Google says of a change whose outcome is unknown. Pure.

| marker now    | setting now                       | finding |
|---------------|-----------------------------------|---------|
| the request's | as before, and not as sent        | INCONCLUSIVE: Google left the setting out |
| the request's | anything else                     | APPLIED: both come in one mutate |
| as before     | as before                         | NOT_APPLIED, once it can no longer come late |
| another       | as sent, and it was not so before | APPLIED: what was asked for stands |
| otherwise     |                                   | INCONCLUSIVE: somebody else has been there |

Without a free slot for the marker the setting alone decides, by the last three rows.
"""

from __future__ import annotations

import json

from smartconnectors_server.connector import Finding
from smartconnectors_server.platforms.google_ads import daily_budget, wire
from smartconnectors_server.platforms.google_ads.knobs import Intent
from smartconnectors_server.platforms.google_ads.state import Campaign


def of_bid(request_id: str, intent: Intent, before_json: str, campaign: Campaign) -> Finding:
    """What became of a bid. Raises InvalidBid when the campaign can no longer have it."""
    before = json.loads(before_json)
    now = wire.observed(intent, campaign)
    setting_before = (before["field"], before["value"], before["ceiling_micros"])
    setting_now = (now["field"], now["value"], now["ceiling_micros"])
    sent = (
        now["field"],
        intent.value,
        intent.ceiling_micros or before["ceiling_micros"],
    )
    if now["marker"] == request_id:
        left_out = setting_now == setting_before != sent
        return Finding.INCONCLUSIVE if left_out else Finding.APPLIED
    if now["marker"] == before["marker"] and setting_now == setting_before:
        return Finding.NOT_APPLIED
    if setting_now == sent and setting_now != setting_before:
        return Finding.APPLIED
    return Finding.INCONCLUSIVE


def of_budget(new_micros: int, before_json: str, campaign: Campaign) -> Finding:
    """What became of a new daily budget."""
    now_micros = daily_budget.of(campaign).amount_micros
    if now_micros == new_micros:
        return Finding.APPLIED
    if now_micros == json.loads(before_json)["daily_budget_micros"]:
        return Finding.NOT_APPLIED
    return Finding.INCONCLUSIVE
