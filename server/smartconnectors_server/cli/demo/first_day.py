"""A team's first day: sandbox, then shadow, then live, on one state directory and one platform that
goes on. Each mode is a server of its own, which adopts the directory; a sandbox process stands for
the real platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smartconnectors.budgets.v1.budget_service_pb2 import (
    GetShadowReportRequest,
    PlatformShadowReport,
)
from smartconnectors.common.v1.connector_pb2 import CampaignStatusUpdate
from smartconnectors.google_ads.v1.google_ads_service_pb2 import PauseCampaignRequest
from smartconnectors_server.cli.demo.stage import (
    Act,
    Scenario,
    Stage,
    changes_text,
    committed_text,
    told,
)
from smartconnectors_server.money import format_amount
from smartconnectors_server.platforms import PLATFORMS

NAME = "google_ads"
SHADOW = f"shadow/{NAME}"
REHEARSED = (("1002", "30.00"), ("1003", "30.00"))
"""What is bid in shadow mode and fits. Every campaign of the sandbox starts with a ROAS of 4."""


async def play_sandbox(stage: Stage) -> None:
    """Without credentials: the specification's defaults, which let a bid move a ROAS at will."""
    bid = stage.sent.bid(NAME, "1001", "20.00", "2.0")
    stage.expect(
        "sandbox: bid $20.00, ROAS 4 → 2", "PLACED source=ai $20.00", told(await stage.place(bid))
    )
    stage.expect("at the platform", "1 change, $20.00", changes_text(await stage.applied(NAME)))


async def play_shadow(stage: Stage) -> None:
    """Everything but the change, on a budget of its own, with a smaller limit to try out."""
    for campaign, amount in REHEARSED:
        await _expect(stage, "shadow", campaign, amount, "3.6", "SHADOWED source=ai $30.00")
    await _expect(stage, "shadow", "1004", "50.00", "3.6", "refused: BUDGET_EXCEEDED")
    await _expect(stage, "shadow", "1005", "10.00", "4.0", "UNCHANGED source=ai $10.00")
    await _expect(stage, "shadow", "1006", "10.00", "2.0", "refused: STEP_TOO_LARGE")
    await _expect_no_pause(stage)
    committed = committed_text(await stage.stats(SHADOW))
    stage.expect("committed of the shadow budget", "$60.00 of $100.00 (60 %)", committed)
    committed = committed_text(await stage.stats(NAME))
    stage.expect("committed of the real budget", "$20.00 of $100.00 (20 %)", committed)
    stage.expect("at the platform", "1 change, $20.00", changes_text(await stage.applied(NAME)))
    report = await _report(stage)
    stage.expect("shadow report", _REPORTED, outcomes_text(report))
    weighed = report.candidate
    vetoed = format_amount(weighed.would_veto_micros, "USD")
    stage.expect(
        "a limit of $40.00 beside it",
        "would have vetoed 1 of 2, $30.00",
        f"would have vetoed {weighed.would_veto_count} of "
        f"{weighed.would_veto_count + weighed.admitted_count}, {vetoed}",
    )


async def play_live(stage: Stage) -> None:
    """For real, carefully; nothing of the rehearsal counts or answers."""
    committed = committed_text(await stage.stats(NAME))
    stage.expect("live: committed at first", "$20.00 of $100.00 (20 %)", committed)
    rehearsed = stage.sent.of(NAME, "1002")
    answer = await stage.place(rehearsed)
    stage.expect(
        "live: a shadowed request again", "PLACED source=ai $30.00, not replayed", _replay(answer)
    )
    stage.expect("at the platform", "2 changes, $50.00", changes_text(await stage.applied(NAME)))
    stage.expect(
        "live: the sandbox's request again",
        "refused: REQUEST_ID_REUSED",
        told(await stage.place(stage.sent.of(NAME, "1001"))),
    )
    await _expect(stage, "live", "1004", "50.00", "3.5", "PLACED source=ai $50.00")
    await _expect(stage, "live", "1005", "10.00", "3.6", "refused: BUDGET_EXCEEDED")
    await _expect(stage, "live", "1006", "5.00", "2.1", "refused: STEP_TOO_LARGE")
    await _expect(stage, "live", "1004", "10.00", "3.4", "UNCHANGED source=ai $10.00")
    lower = stage.sent.bid(NAME, "1004", "5.00", "5.0", reduce_only=True)
    stage.expect(
        "live: reduce_only, ROAS 3.5 → 5", "PLACED source=ai $5.00", told(await stage.place(lower))
    )
    committed = committed_text(await stage.stats(NAME))
    stage.expect("committed of the real budget", "$100.00 of $100.00 (100 %)", committed)
    stage.expect(
        "at the platform, the reduction too",
        "4 changes, $105.00",
        changes_text(await stage.applied(NAME)),
    )
    stage.expect("shadow report, still", _REPORTED, outcomes_text(await _report(stage)))
    balances = {one.budget_id: one.committed[0] or 0 for one in (await stage.audited()).balances()}
    derived = ", ".join(f"{name} {format_amount(balances[name], 'USD')}" for name in (NAME, SHADOW))
    stage.expect("derived from the audit ledger", f"{NAME} $100.00, {SHADOW} $60.00", derived)


_REPORTED = (
    "BUDGET_EXCEEDED 1 ($50.00), SHADOWED 2 ($60.00), STEP_TOO_LARGE 1 ($10.00), "
    "UNCHANGED 1 ($10.00)"
)


def outcomes_text(report: PlatformShadowReport) -> str:
    """`SHADOWED 2 ($60.00), ...`"""
    return ", ".join(
        f"{one.outcome} {one.bid_count} ({format_amount(one.sum_micros, report.currency_code)})"
        for one in report.outcomes
    )


async def _expect(
    stage: Stage, mode: str, campaign: str, amount: str, roas: str, expected: str
) -> None:
    answer = await stage.place(stage.sent.bid(NAME, campaign, amount, roas))
    stage.expect(f"{mode}: bid ${amount} on {campaign}, ROAS {roas}", expected, told(answer))


async def _expect_no_pause(stage: Stage) -> None:
    method = PLATFORMS[NAME].service.methods_by_name["PauseCampaign"]
    request = PauseCampaignRequest(update=CampaignStatusUpdate(campaign_id="1001"))
    answer: Any = await stage.client.method(method)(request, timeout=10)
    observed = "shadowed" if answer.result.shadowed else "sent"
    stage.expect("shadow: pause a campaign", "shadowed", observed)


async def _report(stage: Stage) -> PlatformShadowReport:
    answer = await stage.client.budgets.GetShadowReport(
        GetShadowReportRequest(platform=NAME), timeout=10
    )
    return answer.platforms[0]


def _replay(answer: Any) -> str:
    replayed = getattr(getattr(answer, "result", None), "replayed", False)
    return f"{told(answer)}, {'replayed' if replayed else 'not replayed'}"


def _settings(mode: str, **budget: str) -> Mapping[str, Any]:
    return {
        "server": {"drain_pause_s": 0},
        "platforms": {NAME: {"mode": mode, "budget": {"limit": "100.00", **budget}}},
    }


SCENARIOS = (
    Scenario(
        "first-day",
        "A first day: sandbox, shadow, live on one ledger. What was rehearsed is no money.",
        _settings("sandbox"),
        play_sandbox,
        then=(
            Act(_settings("shadow", candidate_limit="40.00"), play_shadow, adopt=(NAME,)),
            Act(_settings("live"), play_live, adopt=(NAME,)),
        ),
    ),
)
