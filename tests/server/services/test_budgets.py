"""Budgets, holds and the audit ledger, as operators ask for them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.duration_pb2 import Duration

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors.common.v1 import budget_pb2, errors_pb2
from smartconnectors_server.budget import CampaignOutcome, CampaignStanding, Verb
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import (
    BudgetExceeded,
    BudgetPaused,
    InvalidBid,
    LedgerUnavailable,
    NotFound,
    ServerDraining,
)
from smartconnectors_server.ledger import ACCOUNT, ReportedDay

if TYPE_CHECKING:
    from tests.server.services.conftest import Counter

USD = 1_000_000


async def test_one_budget_says_what_is_committed_held_and_left(counter: Counter) -> None:
    settled = await counter.hold("a", 30)
    await counter.keeper.resolve(settled, Verb.SETTLE)
    await counter.hold("b", 50)
    with pytest.raises(BudgetExceeded):
        await counter.hold("c", 21)
    answer = await counter.ask("GetBudgetStats", pb.GetBudgetStatsRequest(budget_id="google_ads"))
    stats = answer.stats
    assert (stats.committed_micros, stats.held_micros) == (30 * USD, 50 * USD)
    assert (stats.remaining_micros, stats.utilization) == (20 * USD, 0.8)
    assert (stats.accepted_count, stats.vetoed_count) == (1, 1)
    assert stats.alert_level == budget_pb2.ALERT_LEVEL_WARNING
    assert stats.window.ToSeconds() == 600
    release = stats.next_release_at.ToNanoseconds() - stats.as_of.ToNanoseconds()
    assert 0 < release <= 601 * 10**9


async def test_all_budgets_are_listed_by_their_ids(counter: Counter) -> None:
    answer = await counter.ask("ListBudgetStats", pb.ListBudgetStatsRequest())
    assert [stats.budget_id for stats in answer.stats] == ["google_ads", "meta"]


async def test_every_method_says_which_budgets_there_are_when_it_is_asked_for_another(
    counter: Counter,
) -> None:
    asked: Any = {"budget_id": "nobody's", "reason": "x"}
    for method, request in (
        ("GetBudgetStats", pb.GetBudgetStatsRequest(budget_id="nobody's")),
        ("UpdateBudget", pb.UpdateBudgetRequest(budget_id="nobody's", reason="x")),
        ("PauseBudget", pb.PauseBudgetRequest(**asked)),
        ("ResumeBudget", pb.ResumeBudgetRequest(**asked)),
    ):
        with pytest.raises(NotFound, match="google_ads, meta"):
            await counter.ask(method, request)


async def test_a_limit_below_what_is_used_admits_nothing_and_utilization_passes_one(
    counter: Counter,
) -> None:
    await counter.keeper.resolve(await counter.hold("a", 80), Verb.SETTLE)
    request = pb.UpdateBudgetRequest(
        budget_id="google_ads", limit_micros=40 * USD, reason="too much"
    )
    stats = (await counter.ask("UpdateBudget", request)).stats
    assert (stats.limit_micros, stats.remaining_micros) == (40 * USD, 0)
    assert stats.utilization == 2.0
    assert stats.alert_level == budget_pb2.ALERT_LEVEL_EXHAUSTED
    with pytest.raises(BudgetExceeded):
        await counter.hold("b", 1)


async def test_a_paused_budget_refuses_until_it_is_resumed(counter: Counter) -> None:
    asked: Any = {"budget_id": "google_ads", "reason": "audit"}
    answer = await counter.ask("PauseBudget", pb.PauseBudgetRequest(**asked))
    assert answer.stats.paused
    assert "keep spending" in answer.notice
    with pytest.raises(BudgetPaused, match="paused by carol: audit"):
        await counter.hold("a", 1)
    await counter.hold("b", 1, budget="meta")
    assert not (await counter.ask("ResumeBudget", pb.ResumeBudgetRequest(**asked))).stats.paused
    await counter.hold("c", 1)


async def test_a_campaign_without_a_budget_and_everything_can_be_paused(counter: Counter) -> None:
    campaign = "google_ads/campaigns/1001"
    answer = await counter.ask("PauseBudget", pb.PauseBudgetRequest(budget_id=campaign, reason="x"))
    assert (answer.stats.budget_id, answer.stats.paused) == ("google_ads", False)
    answer = await counter.ask("PauseBudget", pb.PauseBudgetRequest(budget_id="all", reason="x"))
    assert not answer.HasField("stats")
    listed = await counter.ask("ListBudgetStats", pb.ListBudgetStatsRequest())
    assert [stats.paused for stats in listed.stats] == [True, True]
    for scope in (campaign, "all"):
        request = pb.ResumeBudgetRequest(budget_id=scope, reason="x")
        await counter.ask("ResumeBudget", request)
    await counter.hold("a", 1)


@pytest.mark.parametrize("scope", ["mega/campaigns/1", "google_ads/campaigns/", "/campaigns/1"])
async def test_a_campaign_of_no_platform_cannot_be_paused(counter: Counter, scope: str) -> None:
    with pytest.raises(NotFound, match=r"google_ads, meta\. A campaign is called"):
        await counter.ask("PauseBudget", pb.PauseBudgetRequest(budget_id=scope, reason="x"))


async def test_a_pause_says_what_is_on_its_way_and_when_the_last_dispatch_ended(
    counter: Counter, clock: ManualClock
) -> None:
    request = pb.PauseBudgetRequest(budget_id="google_ads", reason="x")
    first = await counter.ask("PauseBudget", request)
    assert (first.in_flight_count, first.HasField("last_dispatch_ended_at")) == (0, False)
    await counter.ask("ResumeBudget", pb.ResumeBudgetRequest(budget_id="google_ads", reason="x"))
    held = await counter.hold("a", 15)
    await counter.keeper.resolve(await counter.hold("b", 5), Verb.DOUBT)
    await counter.hold("c", 7, budget="meta")
    clock.advance(5)
    counter.keeper.dispatches.ended(held)
    answer = await counter.ask("PauseBudget", request)
    assert (answer.in_flight_count, answer.in_flight_micros) == (1, 15 * USD)
    assert (answer.in_doubt_count, answer.deferred_count, answer.currency_code) == (1, 0, "USD")
    assert answer.last_dispatch_ended_at.ToNanoseconds() == counter.keeper.now_ns()
    everything = await counter.ask(
        "PauseBudget", pb.PauseBudgetRequest(budget_id="all", reason="x")
    )
    assert (everything.in_flight_count, everything.in_flight_micros) == (2, 22 * USD)


async def test_a_pause_waits_until_nothing_is_being_sent(counter: Counter) -> None:
    hold = await counter.hold("a", 15)
    request = pb.PauseBudgetRequest(budget_id="google_ads", reason="x", wait=Duration(seconds=60))
    pausing = asyncio.ensure_future(counter.ask("PauseBudget", request))
    async with asyncio.timeout(60):
        async for state in counter.watch.subscribe(["google_ads"]):
            if state.paused:
                break
    await counter.keeper.resolve(hold, Verb.SETTLE)
    answer = await asyncio.wait_for(pausing, 60)
    assert answer.in_flight_count == 0


async def test_a_pause_answers_before_its_callers_deadline(counter: Counter) -> None:
    await counter.hold("a", 15)
    request = pb.PauseBudgetRequest(budget_id="google_ads", reason="x", wait=Duration(seconds=60))
    asked = counter.ask("PauseBudget", request, deadline_s=0.05)
    assert (await asyncio.wait_for(asked, 60)).in_flight_count == 1


@pytest.mark.parametrize("word", ["Pause", "Resume"])
async def test_campaigns_are_paused_and_resumed_within_the_callers_deadline(
    counter: Counter, word: str
) -> None:
    counter.campaigns.standings = [
        CampaignStanding("meta", "1", CampaignOutcome.PAUSED),
        CampaignStanding("meta", "2", CampaignOutcome.FAILED, LedgerUnavailable("away")),
    ]
    make: Any = getattr(pb, f"{word}CampaignsRequest")
    named = make(platform="meta", campaign_ids=["1", "2"], reason="x")
    answer = await counter.ask(f"{word}Campaigns", named, deadline_s=10.0)
    one, two = answer.campaigns
    assert (one.campaign_id, one.outcome) == ("1", pb.CAMPAIGN_OUTCOME_PAUSED)
    assert not one.HasField("error")
    assert two.outcome == pb.CAMPAIGN_OUTCOME_FAILED
    assert two.error.reason == errors_pb2.ERROR_REASON_LEDGER_UNAVAILABLE
    await counter.ask(f"{word}Campaigns", make(reason="x"))
    assert counter.campaigns.asked == [
        (word.lower(), "meta", ["1", "2"], "x", "carol", 9.0),
        (word.lower(), "", None, "x", "carol", 30.0),
    ]


async def test_open_holds_are_listed_oldest_first_in_pages(counter: Counter) -> None:
    for number in range(5):
        await counter.hold(f"r{number}", 1, budget="meta" if number == 2 else "google_ads")
    seen, token, pages = [], "", 0
    while True:
        request = pb.ListHoldsRequest(page_size=2, page_token=token)
        page = await counter.ask("ListHolds", request)
        seen += [hold.request_id for hold in page.holds]
        pages, token = pages + 1, page.next_page_token
        if not token:
            break
    assert (seen, pages) == ([f"r{number}" for number in range(5)], 3)
    only = await counter.ask("ListHolds", pb.ListHoldsRequest(budget_id="meta"))
    assert [hold.request_id for hold in only.holds] == ["r2"]
    assert only.holds[0].amount_micros == USD
    assert only.holds[0].state == pb.HOLD_STATE_HELD
    assert not only.holds[0].HasField("expires_at")


async def test_the_end_of_a_page_is_the_end_when_the_count_is_even(counter: Counter) -> None:
    for number in range(2):
        await counter.hold(f"r{number}", 1)
    page = await counter.ask("ListHolds", pb.ListHoldsRequest(page_size=2))
    assert (len(page.holds), page.next_page_token) == (2, "")


@pytest.mark.parametrize(
    ("state", "committed"), [(pb.HOLD_STATE_SETTLED, 15 * USD), (pb.HOLD_STATE_RELEASED, 0)]
)
async def test_an_operators_word_ends_a_hold_and_stays_in_the_audit_ledger(
    counter: Counter, state: pb.HoldState.ValueType, committed: int
) -> None:
    hold = await counter.hold("a", 15)
    await counter.keeper.resolve(hold, Verb.DOUBT)
    request = pb.ResolveHoldRequest(hold_id=hold.hold_id, state=state, reason="seen in the console")
    assert (await counter.ask("ResolveHold", request)).hold.state == state
    now = counter.keeper.state("google_ads")
    assert (now.limits[0].committed_micros, now.in_doubt_micros) == (committed, 0)
    page = await counter.ask("ListLedgerEntries", pb.ListLedgerEntriesRequest(request_id="a"))
    assert [entry.verb for entry in page.entries][:2] == ["reserve", "doubt"]
    assert "operator: seen in the console" in page.entries[-1].note


async def test_truth_that_an_operator_brings_late_enters_even_above_the_limit(
    counter: Counter,
) -> None:
    hold = await counter.hold("a", 60)
    await counter.keeper.resolve(hold, Verb.RELEASE)
    await counter.keeper.resolve(await counter.hold("b", 90), Verb.SETTLE)
    request = pb.ResolveHoldRequest(
        hold_id=hold.hold_id, state=pb.HOLD_STATE_SETTLED, reason="it was billed"
    )
    await counter.ask("ResolveHold", request)
    assert counter.keeper.state("google_ads").limits[0].committed_micros == 150 * USD


async def test_a_hold_that_is_not_known_is_not_found(counter: Counter) -> None:
    request = pb.ResolveHoldRequest(hold_id="h", state=pb.HOLD_STATE_RELEASED, reason="x")
    with pytest.raises(NotFound):
        await counter.ask("ResolveHold", request)


async def test_the_audit_ledger_is_read_in_pages_without_a_gap(counter: Counter) -> None:
    for number in range(3):
        await counter.keeper.resolve(await counter.hold(f"r{number}", 1), Verb.SETTLE)
    sequences: list[int] = []
    token = ""
    while True:
        request = pb.ListLedgerEntriesRequest(page_size=2, page_token=token)
        page = await counter.ask("ListLedgerEntries", request)
        sequences += [entry.sequence for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert len(sequences) > 6
    assert sequences == list(range(1, len(sequences) + 1))


@pytest.mark.parametrize("token", ["abc", "-1", "1.5", "9" * 19, "9" * 150, "٣"])
async def test_a_page_token_that_is_none_of_ours_is_refused(counter: Counter, token: str) -> None:
    with pytest.raises(InvalidBid, match="page_token"):
        await counter.ask("ListLedgerEntries", pb.ListLedgerEntriesRequest(page_token=token))


async def test_a_slow_subscriber_gets_the_newest_figures_and_nothing_in_between(
    counter: Counter,
) -> None:
    watch = counter.stream(pb.WatchBudgetStatsRequest(budget_ids=["google_ads", "google_ads"]))
    first = await anext(watch)
    assert first.stats.held_micros == 0
    for number in range(20):
        await counter.hold(f"r{number}", 1)
    newest = await anext(watch)
    assert newest.stats.held_micros == 20 * USD
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    assert not waiting.done()  # nothing more to say, although 20 changes were made
    counter.watch.close()
    with pytest.raises(ServerDraining):
        await waiting
    assert counter.watch.subscribers == 0


async def test_reported_spend_is_listed_newest_day_first_in_pages(counter: Counter) -> None:
    today = datetime.fromtimestamp(counter.keeper.now_ns() // 10**9, UTC).date()

    def day(platform: str, campaign_id: str, ago: int, micros: int) -> ReportedDay:
        text = (today - timedelta(days=ago)).isoformat()
        return ReportedDay(platform, campaign_id, text, micros, "USD", "UTC", 1)

    await counter.ledger.reported.keep(
        [
            day("meta", "7", 0, 3),
            day("google_ads", "1002", 0, 2),
            day("google_ads", "1001", 0, 1),
            day("google_ads", ACCOUNT, 0, 0),
            day("google_ads", "1001", 3, 4),
            day("google_ads", "1001", 4, 5),
        ]
    )
    seen, token = [], ""
    while True:
        request = pb.ListReportedSpendRequest(page_size=3, page_token=token)
        page = await counter.ask("ListReportedSpend", request)
        seen += [one.spend_micros for one in page.spend]
        token = page.next_page_token
        if not token:
            break
    assert seen == [1, 2, 3, 4]
    request = pb.ListReportedSpendRequest(platform="google_ads", days=5)
    page = await counter.ask("ListReportedSpend", request)
    assert [one.spend_micros for one in page.spend] == [1, 2, 4, 5]


async def test_a_page_token_of_reported_spend_that_is_none_is_refused(counter: Counter) -> None:
    with pytest.raises(InvalidBid):
        await counter.ask("ListReportedSpend", pb.ListReportedSpendRequest(page_token="x"))
