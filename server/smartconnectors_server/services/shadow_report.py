"""What was counted, as callers read it."""

from __future__ import annotations

from collections.abc import Mapping

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors.common.v1.bid_pb2 import BidStatus
from smartconnectors_server.budget import (
    ADMITTED,
    LIMIT_VETOED,
    WOULD_VETO,
    Candidate,
    Candidates,
    Keeper,
    Tallies,
)
from smartconnectors_server.errors import NotFound
from smartconnectors_server.ledger import Tally, is_shadow, shadow_of
from smartconnectors_server.messages import duration, timestamp


class ShadowReports:
    """The report of each platform. `books`: platform -> the book that it is served from."""

    def __init__(
        self, keeper: Keeper, tallies: Tallies, candidates: Candidates, books: Mapping[str, str]
    ) -> None:
        self._keeper = keeper
        self._tallies = tallies
        self._candidates = candidates
        self._books = books

    def of(self, platform: str) -> pb.GetShadowReportResponse:
        """Of one platform, or of all when it is empty. Raises NotFound."""
        if platform and platform not in self._books:
            known = ", ".join(sorted(self._books))
            raise NotFound(f"no platform is called {platform!r}; there are: {known}")
        names = [platform] if platform else sorted(self._books)
        return pb.GetShadowReportResponse(platforms=[self._report(name) for name in names])

    def _report(self, platform: str) -> pb.PlatformShadowReport:
        book = self._books[platform]
        report = pb.PlatformShadowReport(
            platform=platform,
            in_shadow=is_shadow(book),
            currency_code=self._keeper.state(book).currency_code,
            outcomes=[_outcome(tally) for tally in self._tallies.of(shadow_of(platform))],
        )
        candidate = self._candidates.of(book)
        if candidate is not None:
            report.candidate.CopyFrom(self._weighed(book, candidate))
        return report

    def _weighed(self, book: str, candidate: Candidate) -> pb.CandidateReport:
        subject = self._candidates.subject(book)
        admitted = self._tallies.one(subject, ADMITTED)
        would_veto = self._tallies.one(subject, WOULD_VETO)
        vetoed = self._tallies.one(subject, LIMIT_VETOED)
        report = pb.CandidateReport(
            budget_id=book,
            candidate_micros=candidate.limit_micros,
            limit_micros=self._keeper.state(book).limits[0].limit.limit_micros,
            window=duration(candidate.window_ns),
            used_micros=self._candidates.used_micros(book),
            admitted_count=admitted.count,
            admitted_micros=admitted.sum_micros,
            would_veto_count=would_veto.count,
            would_veto_micros=would_veto.sum_micros,
            limit_vetoed_count=vetoed.count,
            limit_vetoed_micros=vetoed.sum_micros,
        )
        if would_veto.count:
            report.first_would_veto_at.CopyFrom(timestamp(would_veto.first_ns))
        return report


def _outcome(tally: Tally) -> pb.ShadowOutcome:
    return pb.ShadowOutcome(
        outcome=tally.outcome,
        refused=f"BID_STATUS_{tally.outcome}" not in BidStatus.keys(),  # noqa: SIM118 - an enum's wrapper
        bid_count=tally.count,
        sum_micros=tally.sum_micros,
        first_at=timestamp(tally.first_ns),
        last_at=timestamp(tally.last_ns),
        worst_over_micros=tally.worst_micros,
    )
