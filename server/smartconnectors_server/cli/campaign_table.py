"""An account's campaigns for `check-config --live`: what a bid on each would move, or why not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smartconnectors_server.connector import AccountCampaigns, CampaignFacts

COLUMNS = ("campaign", "name", "status", "strategy", "knob", "a bid moves")
_WIDEST = 120
"""What is longer is cut: a refusal can name a hundred ad sets. `--json` has all of it."""


def document_of(told: AccountCampaigns | None) -> dict[str, Any]:
    """For `--json`. None: the platform does not tell, which is null."""
    if told is None:
        return {"campaigns": None, "more_campaigns": None}
    return {
        "campaigns": [_document(campaign) for campaign in told.campaigns],
        "more_campaigns": told.has_more,
    }


def print_table(title: str, told: AccountCampaigns) -> None:
    """For people."""
    from smartconnectors_server.cli import output

    count = len(told.campaigns)
    there_are = f"the first {count}; there are more" if told.has_more else str(count)
    output.say("", f"{title}, campaigns: {there_are}")
    rows = [_row(campaign) for campaign in told.campaigns]
    output.print_table(COLUMNS, rows, empty="There are none.")


def _document(campaign: CampaignFacts) -> dict[str, Any]:
    document = asdict(campaign)
    del document["account"]  # it stands in its account
    return {**document, "knobs": list(campaign.knobs)}


def _row(campaign: CampaignFacts) -> list[str]:
    knob = " or ".join(campaign.knobs) or "–"
    moved = campaign.moves or f"refused: {campaign.why_not}"
    told = (campaign.campaign_id, campaign.name or "–", campaign.status, campaign.strategy, knob)
    return [_cut(cell) for cell in (*told, moved)]


def _cut(text: str) -> str:
    """On one line, without what a terminal would obey: a campaign's name is anybody's text."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return plain if len(plain) <= _WIDEST else f"{plain[: _WIDEST - 1]}…"
