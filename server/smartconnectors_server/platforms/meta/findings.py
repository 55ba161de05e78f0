"""What a fresh look at Meta says of a change whose outcome is unknown. Pure.

Meta has no field to put a marker in, so the setting itself has to tell:

| setting now            | finding |
|------------------------|---------|
| as sent, and it was not so before | APPLIED: what was asked for stands |
| as before, and nothing else touched the object | NOT_APPLIED, once it can no longer come late |
| otherwise              | INCONCLUSIVE: somebody else has been there |

"Nothing else touched it" is Meta's `updated_time`, where it was known before the change: a setting
that is as before on an object that was changed since may have been ours in between.
"""

from __future__ import annotations

import json
from typing import Any

from smartconnectors_server.connector import Finding
from smartconnectors_server.platforms.meta.state import AdSet, Campaign
from smartconnectors_server.platforms.meta.wire import observed


def target_of(before_json: str) -> tuple[str, str]:
    """(campaign id, ad set id or empty) that a change was made to."""
    before = json.loads(before_json)
    return str(before["campaign_id"]), str(before["ad_set_id"])


def of(before_json: str, campaign: Campaign) -> Finding:
    """What became of the change. `campaign` as read now, with the ad set if it is still there."""
    before = json.loads(before_json)
    holder: Campaign | AdSet | None = campaign
    if before["ad_set_id"]:
        holder = campaign.ad_set(before["ad_set_id"])
    if holder is None:
        return Finding.INCONCLUSIVE
    now: dict[str, Any] = {"daily_budget": holder.daily_budget}
    if isinstance(holder, AdSet):
        now |= observed(campaign, holder)
    was, sets = before["was"], before["sets"]
    stands = all(now[field] == value for field, value in sets.items())
    stood = all(was.get(field) == value for field, value in sets.items())
    if stands and not stood:
        return Finding.APPLIED
    touched = before["updated_time"] not in ("", holder.updated_time)
    as_before = all(now[field] == value for field, value in was.items())
    return Finding.NOT_APPLIED if as_before and not touched else Finding.INCONCLUSIVE
