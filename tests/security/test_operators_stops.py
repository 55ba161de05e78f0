"""A caller with the role `bid` does not start again what an operator has stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tests.server.access.people import Person
from tests.server.access.stage import Accepts, application, entry, refusal_of

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1.connector_pb2 import CampaignStatusUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2

if TYPE_CHECKING:
    from smartconnectors_server.app import Application

TOKENS = "".join(
    [
        entry("operator", "operate", "operator"),
        entry("bidder", "bid", "bidder", campaigns=["1001"]),
        entry("any-bidder", "bid", "any-bidder"),
    ]
)


class Runs(Accepts):
    """A platform that remembers which campaigns run; all do at first.

    Attributes:
        runs: by campaign; what is not in it runs.
        before: called with each change before it is made.
        sees: whether it can be read which campaigns run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, bool] = {}
        self.before: Callable[[str, str], Any] | None = None
        self.sees = True

    async def running(self, campaign_ids: Sequence[str]) -> Mapping[str, bool]:
        return {one: self.runs.get(one, True) for one in campaign_ids} if self.sees else {}

    async def PauseCampaign(self, request: Any, call: Any) -> Any:  # noqa: N802
        return await self._set(request.update, ads_pb2.PauseCampaignResponse(), runs=False)

    async def ResumeCampaign(self, request: Any, call: Any) -> Any:  # noqa: N802
        return await self._set(request.update, ads_pb2.ResumeCampaignResponse(), runs=True)

    async def _set(self, update: Any, response: Any, *, runs: bool) -> Any:
        if self.before is not None:
            await self.before("resume" if runs else "pause", update.campaign_id)
        response.result.paused = not runs
        response.result.changed = self.runs.get(update.campaign_id, True) != runs
        if not update.validate_only:
            self.runs[update.campaign_id] = runs
        return response


class Scene:
    """One server, an operator, and bidders."""

    def __init__(self, google: Runs, people: Mapping[str, Person]) -> None:
        self.google = google
        self.people = people

    async def stop(self, *campaigns: str) -> None:
        """The operator's emergency stop of these campaigns."""
        operator = self.people["operator"]
        request = budgets_pb2.PauseCampaignsRequest(
            platform="google_ads", campaign_ids=campaigns, reason="emergency"
        )
        await operator.ask(operator.budgets.PauseCampaigns, request)

    async def pause_budget(self, budget_id: str) -> None:
        operator = self.people["operator"]
        request = budgets_pb2.PauseBudgetRequest(budget_id=budget_id, reason="emergency")
        await operator.ask(operator.budgets.PauseBudget, request)

    def by_name(self, who: str, method: str, campaign: str = "1001", **fields: Any) -> Any:
        person = self.people[who]
        request = getattr(ads_pb2, f"{method}CampaignRequest")(
            update=CampaignStatusUpdate(campaign_id=campaign, **fields)
        )
        return person.ask(getattr(person.ads, f"{method}Campaign"), request)


async def started(directory: Path, google: Runs) -> tuple[Application, Scene]:
    file = directory / "tokens.toml"
    file.write_text(TOKENS)
    app = application(
        directory, access={"tokens_file": str(file)}, connectors={"google_ads": google}
    )
    address = (await app.start()).grpc_address
    people = {name: Person(address, name) for name in ("operator", "bidder", "any-bidder")}
    return app, Scene(google, people)


async def ended(app: Application, scene: Scene) -> None:
    for person in scene.people.values():
        await person.channel.close()
    await app.stop()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    app, scene = await started(tmp_path, Runs())
    yield scene
    await ended(app, scene)


@pytest.mark.parametrize("who", ["bidder", "any-bidder"])
@pytest.mark.parametrize("validate_only", [False, True])
async def test_a_bidder_does_not_resume_a_campaign_that_an_emergency_stop_paused(
    scene: Scene, who: str, validate_only: bool
) -> None:
    await scene.stop("1001")
    resumed = scene.by_name(who, "Resume", validate_only=validate_only)
    code, message = await refusal_of(resumed)
    assert code == "PERMISSION_DENIED"
    assert "operate" in message
    assert scene.google.runs == {"1001": False}


@pytest.mark.parametrize("budget_id", ["all", "google_ads", "google_ads/campaigns/1001"])
async def test_a_bidder_does_not_resume_a_campaign_under_a_pause_of_its_scope(
    scene: Scene, budget_id: str
) -> None:
    await scene.by_name("bidder", "Pause")
    await scene.pause_budget(budget_id)
    code, message = await refusal_of(scene.by_name("bidder", "Resume"))
    assert (code, "paused by operator" in message) == ("FAILED_PRECONDITION", True)
    assert scene.google.runs == {"1001": False}


async def test_a_bidder_resumes_what_it_paused_itself(scene: Scene) -> None:
    await scene.by_name("bidder", "Pause")
    await scene.pause_budget("google_ads/campaigns/1002")
    await scene.by_name("bidder", "Resume")
    assert scene.google.runs == {"1001": True}


async def test_pausing_it_as_well_does_not_let_a_bidder_resume_what_was_stopped(
    scene: Scene,
) -> None:
    await scene.stop("1001")
    await scene.by_name("bidder", "Pause")
    assert (await refusal_of(scene.by_name("bidder", "Resume")))[0] == "PERMISSION_DENIED"


@pytest.mark.parametrize("sees", [True, False])
async def test_a_campaign_that_was_paused_already_is_stopped_too(scene: Scene, sees: bool) -> None:
    scene.google.sees = sees
    await scene.by_name("bidder", "Pause")
    await scene.stop("1001")
    assert (await refusal_of(scene.by_name("bidder", "Resume")))[0] == "PERMISSION_DENIED"


async def test_what_an_operator_paused_by_name_is_resumed_by_an_operator_only(
    scene: Scene,
) -> None:
    await scene.by_name("operator", "Pause")
    assert (await refusal_of(scene.by_name("bidder", "Resume")))[0] == "PERMISSION_DENIED"
    await scene.by_name("operator", "Resume")
    assert scene.google.runs == {"1001": True}


async def test_an_operator_resumes_by_name_under_a_pause(scene: Scene) -> None:
    await scene.stop("1001")
    await scene.pause_budget("all")
    await scene.by_name("operator", "Resume")
    assert scene.google.runs == {"1001": True}


async def test_after_resume_campaigns_a_bidder_may_resume_what_was_left_paused(
    scene: Scene,
) -> None:
    await scene.by_name("bidder", "Pause")
    await scene.stop("1001", "1002")
    operator = scene.people["operator"]
    request = budgets_pb2.ResumeCampaignsRequest(platform="google_ads", reason="calm")
    answer = await operator.ask(operator.budgets.ResumeCampaigns, request)
    outcomes = {one.campaign_id: one.outcome for one in answer.campaigns}
    assert outcomes == {
        "1001": budgets_pb2.CAMPAIGN_OUTCOME_LEFT,
        "1002": budgets_pb2.CAMPAIGN_OUTCOME_RESUMED,
    }
    await scene.by_name("bidder", "Resume")
    assert scene.google.runs == {"1001": True, "1002": True}


async def test_a_stop_outlives_a_restart(tmp_path: Path) -> None:
    google = Runs()
    app, scene = await started(tmp_path, google)
    await scene.stop("1001")
    await ended(app, scene)
    app, scene = await started(tmp_path, google)
    assert (await refusal_of(scene.by_name("bidder", "Resume")))[0] == "PERMISSION_DENIED"
    await ended(app, scene)


async def test_a_stop_wins_over_resumptions_that_are_under_way(scene: Scene) -> None:
    """One is at the platform when the stop begins, and more wait behind it."""
    import asyncio

    at_the_platform, go_on = asyncio.Event(), asyncio.Event()

    async def slow(verb: str, _campaign: str) -> None:
        if verb == "resume" and not at_the_platform.is_set():
            at_the_platform.set()
            await go_on.wait()

    await scene.by_name("bidder", "Pause")
    scene.google.before = slow
    resumptions = [scene.by_name("bidder", "Resume") for _ in range(5)]
    await at_the_platform.wait()
    stop = asyncio.ensure_future(scene.stop("1001"))
    for _ in range(20):  # the stop arrives
        await scene.people["operator"].ask(
            scene.people["operator"].budgets.ListBudgetStats, budgets_pb2.ListBudgetStatsRequest()
        )
    go_on.set()
    await stop
    codes = [await one.code() for one in resumptions]
    assert codes[0] is grpc.StatusCode.OK
    assert set(codes[1:]) == {grpc.StatusCode.PERMISSION_DENIED}
    assert scene.google.runs == {"1001": False}
