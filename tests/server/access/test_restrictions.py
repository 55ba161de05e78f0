"""What a caller who is restricted to platforms or campaigns is told and let do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.server.access.people import Office, bid
from tests.server.access.stage import Accepts, code_of, entry, refusal_of

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import errors_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2

if TYPE_CHECKING:
    from tests.server.access.conftest import Servers

USD = 1_000_000
DENIED = "PERMISSION_DENIED"
TOKENS = "".join(
    [
        entry("all", "operate", "all"),
        entry("meta", "operate", "meta-only", platforms=["meta"]),
        entry("1001", "operate", "one-campaign", campaigns=["1001"]),
        entry("both", "operate", "both", platforms=["meta"], campaigns=["1001"]),
    ]
)


@pytest.fixture
async def office(serve: Servers, tmp_path: Path) -> AsyncIterator[Office]:
    """A server that has placed `a-1001`, `a-1002` on Google and `m-1001`, `m-1002` on Meta, with a
    budget for each of Meta's campaigns and a total.
    """
    file = tmp_path / "tokens.toml"
    file.write_text(TOKENS)
    google, meta = Accepts(), Accepts()
    campaigns = {"1001": "10.00", "1002": "10.00"}
    address = await serve(
        access={"tokens_file": str(file)},
        connectors={"google_ads": google, "meta": meta},
        total_budget={"limit": "1000"},
        platforms={
            "google_ads": {"endpoint": "127.0.0.1:1"},
            "meta": {"endpoint": "127.0.0.1:1", "budget": {"campaigns": campaigns}},
            "trade_desk": {"enabled": False},
        },
    )
    office = Office(address, google, meta)
    for campaign in campaigns:
        await office.place("all", "ads", f"a-{campaign}", campaign)
        await office.place("all", "meta", f"m-{campaign}", campaign)
    yield office
    for person in office.people.values():
        await person.channel.close()


PLACES = [("ads", "1001"), ("ads", "1002"), ("meta", "1001"), ("meta", "1002")]
LET_AT = {
    "all": set(PLACES),
    "meta": {("meta", "1001"), ("meta", "1002")},
    "1001": {("ads", "1001"), ("meta", "1001")},
    "both": {("meta", "1001")},
}
SEEN = {
    "all": {
        "google_ads",
        "meta",
        "meta/campaigns/1001",
        "meta/campaigns/1002",
        "total",
    },
    "meta": {"meta", "meta/campaigns/1001", "meta/campaigns/1002"},
    "1001": {"google_ads", "meta", "meta/campaigns/1001"},
    "both": {"meta", "meta/campaigns/1001"},
}
CHANGED = {
    "all": SEEN["all"],
    "meta": SEEN["meta"],
    "1001": {"meta/campaigns/1001"},
    "both": {"meta/campaigns/1001"},
}
EVERYBODY = list(LET_AT)


async def allowed(calls: dict[Any, Any]) -> set[Any]:
    """The keys of the calls that are not denied."""
    return {key for key, call in calls.items() if (await code_of(call)).name != DENIED}


@pytest.mark.parametrize("who", EVERYBODY)
async def test_bids_are_for_the_callers_platforms_and_campaigns(office: Office, who: str) -> None:
    calls = {place: office.place(who, place[0], f"new-{place[1]}", place[1]) for place in PLACES}
    assert await allowed(calls) == LET_AT[who]
    sent = {("ads", one) for one in office.google.sent}
    sent |= {("meta", one) for one in office.meta.sent}
    new = {(service, one.removeprefix("new-")) for service, one in sent if "new" in one}
    assert new == LET_AT[who]


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize(
    "method",
    ["UpdateCampaignBudget", "UpdateTargetAudience", "PauseCampaign", "ResumeCampaign"],
)
async def test_campaigns_are_changed_by_who_is_let_at_them(
    office: Office, who: str, method: str
) -> None:
    person = office.people[who]
    calls = {}
    for service, campaign in PLACES:
        module: Any = ads_pb2 if service == "ads" else meta_pb2
        request = getattr(module, f"{method}Request")()
        request.update.campaign_id = campaign
        calls[service, campaign] = person.ask(getattr(getattr(person, service), method), request)
    assert await allowed(calls) == LET_AT[who]


@pytest.mark.parametrize("who", EVERYBODY)
async def test_each_bid_of_a_batch_is_judged_for_itself(office: Office, who: str) -> None:
    office.meta.read.clear()
    person = office.people[who]
    requests = [bid("meta", f"new-{campaign}", campaign) for campaign in ("1001", "1002")]
    answer = await person.ask(person.meta.PlaceBids, meta_pb2.PlaceBidsRequest(bids=requests))
    placed = {("meta", one.request_id[4:]) for one in answer.answers if one.HasField("response")}
    assert placed == {place for place in LET_AT[who] if place[0] == "meta"}
    assert {one.error.reason for one in answer.answers if one.HasField("error")} <= {
        errors_pb2.ERROR_REASON_PERMISSION_DENIED
    }
    assert {("meta", campaign) for campaign in office.meta.read} == placed


@pytest.mark.parametrize("who", EVERYBODY)
async def test_each_message_of_a_stream_is_judged_for_itself(office: Office, who: str) -> None:
    person = office.people[who]
    messages = [
        meta_pb2.StreamBidsRequest(bid=bid("meta", f"new-{campaign}", campaign))
        for campaign in ("1001", "1002")
    ]
    stream = person.meta.StreamBids(iter(messages), metadata=person.metadata)
    answers = [message.answer async for message in stream]
    placed = {("meta", one.request_id[4:]) for one in answers if one.HasField("response")}
    assert placed == {place for place in LET_AT[who] if place[0] == "meta"}
    assert {one.error.reason for one in answers if one.HasField("error")} <= {
        errors_pb2.ERROR_REASON_PERMISSION_DENIED
    }


@pytest.mark.parametrize("who", ["meta", "both"])
async def test_batches_streams_and_figures_of_another_platform_are_denied(
    office: Office, who: str
) -> None:
    person = office.people[who]
    batch = ads_pb2.PlaceBidsRequest(bids=[bid("ads", "new", "1001")])
    assert (await refusal_of(person.ask(person.ads.PlaceBids, batch)))[0] == DENIED
    connector = person.ask(person.ads.GetConnectorStatus, ads_pb2.GetConnectorStatusRequest())
    code, message = await refusal_of(connector)
    assert code == DENIED
    assert "google_ads" in message
    message_of_stream = ads_pb2.StreamBidsRequest(bid=bid("ads", "new", "1001"))
    stream = person.ads.StreamBids(iter([message_of_stream]), metadata=person.metadata)
    answers = [message.answer async for message in stream]
    assert [one.error.reason for one in answers] == [errors_pb2.ERROR_REASON_PERMISSION_DENIED]
    assert office.google.sent == ["a-1001", "a-1002"]


@pytest.mark.parametrize("who", EVERYBODY)
async def test_what_became_of_a_bid_is_told_to_who_may_see_its_campaign(
    office: Office, who: str
) -> None:
    person = office.people[who]
    told = set()
    for service, campaign in PLACES:
        module: Any = ads_pb2 if service == "ads" else meta_pb2
        name = f"{'a' if service == 'ads' else 'm'}-{campaign}"
        request = module.GetBidRequest(request_id=name, caller="all")
        if (await code_of(person.ask(getattr(person, service).GetBid, request))).name == "OK":
            told.add((service, campaign))
    assert told == LET_AT[who]


async def test_a_bid_that_one_may_not_see_is_like_one_that_there_is_not(office: Office) -> None:
    person = office.people["1001"]
    said = [
        await refusal_of(
            person.ask(person.meta.GetBid, meta_pb2.GetBidRequest(request_id=name, caller="all"))
        )
        for name in ("m-1002", "m-9999")
    ]
    assert said[0][0] == said[1][0] == "NOT_FOUND"
    assert said[0][1].replace("m-1002", "m-9999") == said[1][1]


async def test_a_stored_answer_is_replayed_to_nobody_who_may_not_see_its_campaign(
    office: Office,
) -> None:
    assert (await office.place("all", "meta", "m-1002", "1002")).result.replayed
    code, _ = await refusal_of(office.place("both", "meta", "m-1002", "1002"))
    assert code == DENIED
    assert not (await office.place("both", "meta", "m-1002", "1001")).result.replayed


@pytest.mark.parametrize("who", EVERYBODY)
async def test_figures_are_told_of_the_budgets_that_one_may_see(office: Office, who: str) -> None:
    person = office.people[who]
    answer = await person.ask(person.budgets.ListBudgetStats, budgets_pb2.ListBudgetStatsRequest())
    assert {stats.budget_id for stats in answer.stats} == SEEN[who]
    calls = {
        budget_id: person.ask(
            person.budgets.GetBudgetStats, budgets_pb2.GetBudgetStatsRequest(budget_id=budget_id)
        )
        for budget_id in SEEN["all"]
    }
    assert await allowed(calls) == SEEN[who]


@pytest.mark.parametrize("who", EVERYBODY)
async def test_a_watch_shows_the_budgets_that_one_may_see(office: Office, who: str) -> None:
    person = office.people[who]
    watch = person.ask(person.budgets.WatchBudgetStats, budgets_pb2.WatchBudgetStatsRequest())
    seen = {(await watch.read()).stats.budget_id for _ in SEEN[who]}
    assert seen == SEEN[who]
    watch.cancel()


async def test_watching_a_budget_that_one_may_not_see_is_denied(office: Office) -> None:
    person = office.people["both"]
    request = budgets_pb2.WatchBudgetStatsRequest(budget_ids=["meta", "google_ads"])
    watch = person.ask(person.budgets.WatchBudgetStats, request)
    assert (await watch.code()).name == DENIED


async def test_a_budget_that_there_is_not_names_no_others_to_who_is_restricted(
    office: Office,
) -> None:
    request = budgets_pb2.GetBudgetStatsRequest(budget_id="google_ads/campaigns/1001")
    said = {}
    for who in ("all", "1001"):
        person = office.people[who]
        said[who] = await refusal_of(person.ask(person.budgets.GetBudgetStats, request))
    assert said["all"][0] == said["1001"][0] == "NOT_FOUND"
    assert "1002" in said["all"][1]
    assert "1002" not in said["1001"][1]


@pytest.mark.parametrize("who", EVERYBODY)
async def test_limits_and_pauses_are_changed_by_who_is_let_at_all_that_they_hold_back(
    office: Office, who: str
) -> None:
    person = office.people[who]
    for method, fields in (
        ("UpdateBudget", {"limit_micros": 500 * USD}),
        ("PauseBudget", {}),
        ("ResumeBudget", {}),
    ):
        request = getattr(budgets_pb2, f"{method}Request")
        calls = {
            budget_id: person.ask(
                getattr(person.budgets, method),
                request(budget_id=budget_id, reason="a test", **fields),
            )
            for budget_id in SEEN["all"]
        }
        assert await allowed(calls) == CHANGED[who], method


async def in_doubt(office: Office) -> dict[str, tuple[str, str]]:
    """A hold in doubt in each place, by its id."""
    office.google.loses = office.meta.loses = True
    for service, campaign in PLACES:
        name = f"{'a' if service == 'ads' else 'm'}x-{campaign}"
        code, _ = await refusal_of(office.place("all", service, name, campaign))
        assert code == "UNKNOWN"
    return {hold.hold_id: place_of(hold.request_id) for hold in await holds_of(office, "all")}


async def holds_of(office: Office, who: str) -> list[budgets_pb2.Hold]:
    person = office.people[who]
    answer = await person.ask(person.budgets.ListHolds, budgets_pb2.ListHoldsRequest())
    return list(answer.holds)


def place_of(request_id: str) -> tuple[str, str]:
    """Where a bid of the names used here was placed."""
    return ("ads" if request_id.startswith("a") else "meta", request_id.partition("-")[2])


@pytest.mark.parametrize("who", EVERYBODY)
async def test_holds_are_told_to_who_may_see_their_campaign(office: Office, who: str) -> None:
    assert set((await in_doubt(office)).values()) == set(PLACES)
    assert {place_of(hold.request_id) for hold in await holds_of(office, who)} == LET_AT[who]


@pytest.mark.parametrize("who", EVERYBODY)
async def test_a_hold_is_ended_by_who_may_see_it_and_else_there_is_none(
    office: Office, who: str
) -> None:
    person = office.people[who]
    ended = set()
    for hold_id, place in (await in_doubt(office)).items():
        request = budgets_pb2.ResolveHoldRequest(
            hold_id=hold_id, state=budgets_pb2.HOLD_STATE_RELEASED, reason="a test"
        )
        code = await code_of(person.ask(person.budgets.ResolveHold, request))
        assert code.name in ("OK", "NOT_FOUND")
        if code.name == "OK":
            ended.add(place)
    assert ended == LET_AT[who]
    left = {place_of(hold.request_id) for hold in await holds_of(office, "all")}
    assert left == set(PLACES) - ended


@pytest.mark.parametrize("who", EVERYBODY)
async def test_a_bid_that_does_not_fit_is_told_the_figures_of_budgets_that_one_may_see(
    office: Office, who: str
) -> None:
    boss = office.people["all"]
    lower = budgets_pb2.UpdateBudgetRequest(budget_id="total", limit_micros=7, reason="a test")
    await boss.ask(boss.budgets.UpdateBudget, lower)
    code, message = await refusal_of(office.place(who, "meta", "large", "1001"))
    assert code == "RESOURCE_EXHAUSTED"
    assert message.startswith("total: ")
    assert ("$" in message) == (who == "all")


@pytest.mark.parametrize(
    ("who", "allowed_scopes"),
    [
        ("all", {"all", "google_ads/campaigns/1001", "google_ads/campaigns/1002"}),
        ("1001", {"google_ads/campaigns/1001"}),
        ("meta", set()),
        ("both", set()),
    ],
)
async def test_pauses_of_campaigns_without_a_budget_and_of_everything_are_restricted_alike(
    office: Office, who: str, allowed_scopes: set[str]
) -> None:
    person = office.people[who]
    calls = {
        scope: person.ask(
            person.budgets.PauseBudget,
            budgets_pb2.PauseBudgetRequest(budget_id=scope, reason="a test"),
        )
        for scope in ("all", "google_ads/campaigns/1001", "google_ads/campaigns/1002")
    }
    assert await allowed(calls) == allowed_scopes


def campaigns_of(request_ids: Iterable[str]) -> set[tuple[str, str]]:
    """Where bids of the names used here were placed."""
    return {place_of(one) for one in request_ids if one}


@pytest.mark.parametrize("who", EVERYBODY)
async def test_audit_lines_are_told_of_what_one_may_see(office: Office, who: str) -> None:
    person = office.people[who]
    lines: list[budgets_pb2.LedgerEntry] = []
    token = ""
    while True:
        request = budgets_pb2.ListLedgerEntriesRequest(page_size=5, page_token=token)
        page = await person.ask(person.budgets.ListLedgerEntries, request)
        lines += page.entries
        token = page.next_page_token
        if not token:
            break
    assert campaigns_of(line.request_id for line in lines) == LET_AT[who]
    of_budgets = {line.budget_ids[0] for line in lines if not line.hold_id and line.verb != "bind"}
    assert of_budgets == SEEN[who]


async def test_audit_lines_of_a_budget_that_one_may_not_see_are_denied(office: Office) -> None:
    person = office.people["meta"]
    request = budgets_pb2.ListLedgerEntriesRequest(budget_id="google_ads")
    code, _ = await refusal_of(person.ask(person.budgets.ListLedgerEntries, request))
    assert code == DENIED
