"""`pause` and `resume`: what they ask the server for, what they say, and how they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors.common.v1.budget_pb2 import BudgetStats
from smartconnectors.common.v1.connector_pb2 import BidError

if TYPE_CHECKING:
    from tests.server.cli.conftest import CannedServer, Cli

NOON = Timestamp(seconds=1_767_268_800)
NOTICE = "Campaigns keep spending."
THREE_S = Duration(seconds=3)


def stats(*, paused: bool) -> BudgetStats:
    """Google's budget of $500 with $225 committed."""
    return BudgetStats(
        budget_id="google_ads",
        limit_micros=500_000_000,
        committed_micros=225_000_000,
        remaining_micros=275_000_000,
        currency_code="USD",
        paused=paused,
    )


def standing(campaign_id: str, outcome: str, error: str = "") -> pb.CampaignStanding:
    message = pb.CampaignStanding(
        platform="google_ads",
        campaign_id=campaign_id,
        outcome=pb.CampaignOutcome.Value(f"CAMPAIGN_OUTCOME_{outcome}"),
    )
    if error:
        message.error.CopyFrom(BidError(message=error))
    return message


def test_pause_says_what_it_does_not_do_and_how_to_do_that(ask: Cli, server: CannedServer) -> None:
    answer = pb.PauseBudgetResponse(
        stats=stats(paused=True), notice=NOTICE, last_dispatch_ended_at=NOON
    )
    server.will("PauseBudget", answer)
    ended = ask("pause", "google_ads", "--reason", "too fast")
    assert ended.exit_code == 0
    assert ended.out.splitlines() == [
        "google_ads: $225.00 of $500.00 committed (45 %), $275.00 remaining, PAUSED",
        NOTICE,
        "Nothing is being sent; the last dispatch ended at 2026-01-01 12:00:00.000Z.",
        (
            "To stop the campaigns themselves: smart-connectors pause google_ads --campaigns "
            "--reason ..."
        ),
    ]
    assert server.requests == [
        pb.PauseBudgetRequest(budget_id="google_ads", reason="too fast", wait=THREE_S)
    ]


def test_pause_says_what_is_still_on_its_way(ask: Cli, server: CannedServer) -> None:
    answer = pb.PauseBudgetResponse(
        in_flight_count=2,
        in_flight_micros=30_000_000,
        currency_code="USD",
        in_doubt_count=1,
        deferred_count=4,
    )
    server.will("PauseBudget", answer)
    ended = ask("pause", "--all", "--reason", "x", "--wait-s", "0")
    assert ended.out.splitlines()[:2] == [
        "every platform: PAUSED",
        (
            "2 still being sent ($30.00); nothing was sent since the server started; 1 in doubt; "
            "4 deferred, which wait until it is resumed."
        ),
    ]
    assert server.requests == [pb.PauseBudgetRequest(budget_id="all", reason="x")]


@pytest.mark.parametrize(
    ("words", "scopes"),
    [
        (("google_ads", "--campaign", "7", "--campaign", "8"), ["7", "8"]),
        (("google_ads/campaigns/7",), ["7"]),
    ],
)
def test_campaigns_are_paused_and_resumed_by_their_scope(
    ask: Cli, server: CannedServer, words: tuple[str, ...], scopes: list[str]
) -> None:
    server.will("PauseBudget", pb.PauseBudgetResponse(stats=stats(paused=False)))
    server.will("ResumeBudget", pb.ResumeBudgetResponse(stats=stats(paused=False)))
    paused = ask("pause", *words, "--reason", "x")
    assert paused.out.splitlines()[0] == "google_ads/campaigns/7: PAUSED"
    resumed = ask("resume", *words, "--reason", "x")
    assert resumed.out.splitlines() == [
        f"google_ads/campaigns/{one}: bids are admitted again" for one in scopes
    ]
    asked = [request.budget_id for request in server.requests]
    assert asked == [f"google_ads/campaigns/{one}" for one in scopes] * 2


def test_pausing_campaigns_stops_bids_first_and_shows_what_became_of_each(
    ask: Cli, server: CannedServer
) -> None:
    server.will("PauseBudget", pb.PauseBudgetResponse(stats=stats(paused=True)))
    server.will(
        "PauseCampaigns",
        pb.PauseCampaignsResponse(
            campaigns=[
                standing("1001", "PAUSED"),
                standing("1002", "ALREADY_PAUSED"),
                standing("1003", "SHADOWED"),
            ]
        ),
    )
    ended = ask("pause", "google_ads", "--campaigns", "--reason", "stop")
    assert ended.exit_code == 0
    assert "1001      paused" in ended.out
    assert "1002      already paused" in ended.out
    assert "shadow mode; nothing was sent" in ended.out
    assert [type(request).__name__ for request in server.requests] == [
        "PauseBudgetRequest",
        "PauseCampaignsRequest",
    ]
    assert server.requests[1] == pb.PauseCampaignsRequest(platform="google_ads", reason="stop")


def test_a_campaign_that_could_not_be_paused_is_said_plainly(
    ask: Cli, server: CannedServer
) -> None:
    server.will("PauseBudget", pb.PauseBudgetResponse(stats=stats(paused=True)))
    campaigns = [standing("1001", "PAUSED"), standing("1002", "FAILED", "Google Ads is away")]
    server.will("PauseCampaigns", pb.PauseCampaignsResponse(campaigns=campaigns))
    words = ("pause", "google_ads", "--campaign", "1001", "--campaign", "1002", "--campaigns")
    ended = ask(*words, "--reason", "stop")
    assert ended.exit_code == 1
    assert "Google Ads is away" in ended.out
    assert "1 of 2 campaigns could not be paused and may keep spending" in ended.err
    assert list(server.requests[-1].campaign_ids) == ["1001", "1002"]
    as_json = ask(*words, "--reason", "stop", "--json")
    assert as_json.exit_code == 1
    assert len(as_json.out.splitlines()) == 3  # two pauses of bids, then the campaigns


def test_campaigns_are_paused_though_the_pause_of_bids_is_refused(
    ask: Cli, server: CannedServer
) -> None:
    server.refuses("PauseBudget", grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE", "disk full")
    server.will("PauseCampaigns", pb.PauseCampaignsResponse(campaigns=[standing("1001", "PAUSED")]))
    ended = ask("pause", "--all", "--campaigns", "--reason", "stop")
    assert ended.exit_code == 1
    assert "disk full" in ended.err
    assert "1001" in ended.out


def test_resuming_campaigns_says_which_were_left(ask: Cli, server: CannedServer) -> None:
    server.will("ResumeBudget", pb.ResumeBudgetResponse())
    campaigns = [standing("1001", "RESUMED"), standing("1002", "LEFT")]
    server.will("ResumeCampaigns", pb.ResumeCampaignsResponse(campaigns=campaigns))
    ended = ask("resume", "--all", "--campaigns", "--reason", "calm")
    assert ended.exit_code == 0
    assert ended.out.splitlines()[0] == "every platform: bids are admitted again"
    assert "has not paused it, or had not seen it run before" in ended.out
    assert server.requests == [
        pb.ResumeBudgetRequest(budget_id="all", reason="calm"),
        pb.ResumeCampaignsRequest(reason="calm"),
    ]


def test_when_there_is_no_campaign_to_pause_it_says_so(ask: Cli, server: CannedServer) -> None:
    server.will("PauseBudget", pb.PauseBudgetResponse())
    server.will("PauseCampaigns", pb.PauseCampaignsResponse())
    ended = ask("pause", "--all", "--campaigns", "--reason", "stop")
    assert (ended.exit_code, "No campaign was ever changed" in ended.out) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "or --all"),
        (("google_ads", "--all"), "or --all"),
        (("--all", "--campaign", "1"), "name of its platform"),
        (("total", "--campaigns"), "google_ads, meta"),
    ],
)
@pytest.mark.parametrize("command", ["pause", "resume"])
def test_what_says_nothing_or_two_things_is_not_asked(
    ask: Cli, server: CannedServer, command: str, words: tuple[str, ...], said: str
) -> None:
    ended = ask(command, *words, "--reason", "x")
    assert ended.exit_code == 2
    assert said in " ".join(ended.err.replace("│", " ").split())
    assert server.requests == []
