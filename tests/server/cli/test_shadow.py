"""The shadow report as an operator reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from smartconnectors.budgets.v1 import budget_service_pb2 as pb

if TYPE_CHECKING:
    from tests.server.cli.conftest import CannedServer, Cli

NOON = Timestamp(seconds=1_767_268_800)
LATER = Timestamp(seconds=1_767_272_400)


def report(*, candidate: bool = False) -> pb.GetShadowReportResponse:
    one = pb.PlatformShadowReport(
        platform="google_ads",
        in_shadow=True,
        currency_code="USD",
        outcomes=[
            pb.ShadowOutcome(
                outcome="BUDGET_EXCEEDED",
                refused=True,
                bid_count=2,
                sum_micros=320_000_000,
                first_at=NOON,
                last_at=LATER,
                worst_over_micros=45_500_000,
            ),
            pb.ShadowOutcome(
                outcome="SHADOWED",
                bid_count=12,
                sum_micros=480_000_000,
                first_at=NOON,
                last_at=LATER,
            ),
        ],
    )
    if candidate:
        weighed = pb.CandidateReport(
            budget_id="shadow/google_ads",
            candidate_micros=300_000_000,
            limit_micros=500_000_000,
            admitted_count=8,
            would_veto_count=4,
            would_veto_micros=180_000_000,
            first_would_veto_at=LATER,
            limit_vetoed_count=2,
            limit_vetoed_micros=320_000_000,
        )
        weighed.window.seconds = 600
        one.candidate.CopyFrom(weighed)
    return pb.GetShadowReportResponse(platforms=[one, pb.PlatformShadowReport(platform="meta")])


def test_what_would_have_been_done_and_vetoed_is_a_line_for_each_outcome(
    ask: Cli, server: CannedServer
) -> None:
    server.will("GetShadowReport", report())
    ended = ask("shadow")
    header, vetoed, done = ended.out.splitlines()
    assert header.split()[:4] == ["platform", "outcome", "bids", "sum"]
    first, last = "2026-01-01 12:00:00.000Z", "2026-01-01 13:00:00.000Z"
    for said in ("google_ads", "refused: BUDGET_EXCEEDED", "2", "$320.00", first, last, "$45.50"):
        assert said in vetoed
    for said in ("google_ads", "SHADOWED", "12", "$480.00", first, last):
        assert said in done
    assert "refused" not in done
    assert server.requests == [pb.GetShadowReportRequest()]


def test_a_candidate_is_told_in_a_sentence(ask: Cli, server: CannedServer) -> None:
    server.will("GetShadowReport", report(candidate=True))
    assert ask("shadow", "google_ads").out.splitlines()[-1] == (
        "shadow/google_ads: candidate $300.00 beside $500.00 in 10 min: would have vetoed 4 of 12 "
        "bids that were committed, $180.00, first at 2026-01-01 13:00:00.000Z; the limits in "
        "effect refused 2, $320.00."
    )
    assert server.requests == [pb.GetShadowReportRequest(platform="google_ads")]


def test_a_script_reads_the_same_as_json(ask: Cli, server: CannedServer) -> None:
    server.will("GetShadowReport", report(candidate=True))
    (google, meta) = ask("shadow", "--json").document["platforms"]
    assert google["in_shadow"] is True
    assert [outcome["bid_count"] for outcome in google["outcomes"]] == ["2", "12"]
    assert google["candidate"]["would_veto_micros"] == "180000000"
    assert "candidate" not in meta


def test_where_nothing_was_shadowed_it_says_how_to_begin(ask: Cli, server: CannedServer) -> None:
    server.will("GetShadowReport", pb.GetShadowReportResponse())
    ended = ask("shadow")
    assert ended.exit_code == 0
    assert 'mode = "shadow"' in ended.out


def test_an_unknown_platform_is_refused(ask: Cli, server: CannedServer) -> None:
    server.refuses("GetShadowReport", grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "there is none")
    ended = ask("shadow", "nobody")
    assert (ended.exit_code, ended.out) == (1, "")
    assert "there is none" in ended.err


def test_a_campaign_in_shadow_mode_is_not_said_to_be_paused(ask: Cli, server: CannedServer) -> None:
    from smartconnectors.common.v1.connector_pb2 import CampaignStatusResult
    from smartconnectors.meta.v1.meta_service_pb2 import PauseCampaignResponse

    result = CampaignStatusResult(campaign_id="1001", shadowed=True)
    server.will("meta/PauseCampaign", PauseCampaignResponse(result=result))
    assert ask("campaign", "pause", "meta", "1001").out == (
        "meta is in shadow mode: nothing was sent, campaign 1001 is as it was.\n"
    )
