"""The report as callers read it, from what was counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smartconnectors_server.budget import Candidate, Candidates, Keeper, Tallies, Watch
from smartconnectors_server.budget.candidates import WOULD_VETO
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import NotFound
from smartconnectors_server.ledger import Budget, Limit, SlidingWindow
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.services.shadow_report import ShadowReports

USD = 1_000_000
SHADOW = "shadow/google_ads"


class Desk:
    """Google Ads in shadow mode with a candidate of $50, Meta live without one."""

    def __init__(self, keeper: Keeper, tallies: Tallies, candidates: Candidates) -> None:
        self.tallies = tallies
        self.candidates = candidates
        self.reports = ShadowReports(
            keeper, tallies, candidates, {"google_ads": SHADOW, "meta": "meta"}
        )


@pytest.fixture
async def desk(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Desk]:
    ledger = SqliteLedger(tmp_path, clock)
    window = SlidingWindow(600.0)
    await ledger.open(
        [Budget(name, "USD", (Limit(100 * USD, window),)) for name in (SHADOW, "meta")]
    )
    tallies = Tallies(ledger, clock)
    candidates = Candidates(ledger, tallies, {SHADOW: Candidate(50 * USD, 600.0)})
    yield Desk(Keeper(ledger, Watch(ledger, clock)), tallies, candidates)
    await ledger.close()


def test_an_outcome_is_told_with_its_figures_and_whether_it_is_a_refusal(
    desk: Desk, clock: ManualClock
) -> None:
    desk.tallies.count(SHADOW, "SHADOWED", 15 * USD)
    desk.tallies.count(SHADOW, "BUDGET_EXCEEDED", 90 * USD, worst_micros=5 * USD)
    clock.advance(60)
    desk.tallies.count(SHADOW, "BUDGET_EXCEEDED", 99 * USD, worst_micros=14 * USD)
    (report,) = desk.reports.of("google_ads").platforms
    assert (report.platform, report.in_shadow, report.currency_code) == ("google_ads", True, "USD")
    vetoed, done = report.outcomes
    assert (vetoed.outcome, vetoed.refused, vetoed.bid_count) == ("BUDGET_EXCEEDED", True, 2)
    assert (vetoed.sum_micros, vetoed.worst_over_micros) == (189 * USD, 14 * USD)
    assert vetoed.last_at.ToNanoseconds() - vetoed.first_at.ToNanoseconds() == 60 * 10**9
    assert (done.outcome, done.refused, done.worst_over_micros) == ("SHADOWED", False, 0)


def test_a_candidate_is_told_where_there_is_one(desk: Desk) -> None:
    desk.tallies.count(desk.candidates.subject(SHADOW), WOULD_VETO, 30 * USD)
    google, meta = desk.reports.of("").platforms
    weighed = google.candidate
    assert (weighed.budget_id, weighed.limit_micros) == (SHADOW, 100 * USD)
    assert (weighed.candidate_micros, weighed.window.seconds) == (50 * USD, 600)
    assert (weighed.would_veto_count, weighed.would_veto_micros) == (1, 30 * USD)
    assert weighed.HasField("first_would_veto_at")
    assert (meta.platform, meta.in_shadow, meta.HasField("candidate")) == ("meta", False, False)


def test_a_candidate_that_vetoed_nothing_has_no_first_time(desk: Desk) -> None:
    (google,) = desk.reports.of("google_ads").platforms
    assert not google.candidate.HasField("first_would_veto_at")


def test_an_unknown_platform_is_refused_with_those_that_there_are(desk: Desk) -> None:
    with pytest.raises(NotFound, match="google_ads, meta"):
        desk.reports.of("nobody")
