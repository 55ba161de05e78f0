"""The kill switch under load: how long after `pause` the last bid reaches the platform."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors_server.cli.demo.stage import Scenario, Stage

NAME = "google_ads"
CAMPAIGNS = [str(number) for number in range(1003, 1011)]
"""The last two share a portfolio."""
TRIES = 50
BIDDERS = 8
LOAD_S = 0.02
"""How long bids are placed before each pause."""
STOPPED_S = 0.01
"""How long after each acknowledgement bids are still asked for, in vain."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause, in nanoseconds of the wall clock, which server and sandboxes share."""

    asked_ns: int
    acknowledged_ns: int
    resumed_ns: int
    """When it was ended."""
    in_flight: int
    """What the acknowledgement said to be on its way still."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What many pauses came to. `to_zero_ms`: from asking for the pause to the last change that the
    platform took before it was ended, sorted; 0 where nothing came any more.
    """

    to_zero_ms: tuple[float, ...]
    changes: int
    late: int
    """Changes that came after an acknowledgement."""
    in_flight: int
    """What the acknowledgements said to be on its way still, in all."""

    def percentile_ms(self, percent: float) -> float:
        """The time that so many of the pauses took at most."""
        rank = math.ceil(len(self.to_zero_ms) * percent / 100)
        return self.to_zero_ms[max(0, rank - 1)]


def judged(pauses: Sequence[Pause], journal: Iterable[Mapping[str, Any]]) -> Measured:
    """Counts at the sandbox's journal, and nowhere else. Pure."""
    taken = sorted(entry["at_ns"] for entry in journal if entry["changes"])
    to_zero_ms, late = [], 0
    for pause in pauses:
        after = [at_ns for at_ns in taken if pause.asked_ns < at_ns < pause.resumed_ns]
        late += sum(at_ns > pause.acknowledged_ns for at_ns in after)
        to_zero_ms.append((max(after) - pause.asked_ns) / 1e6 if after else 0.0)
    in_flight = sum(pause.in_flight for pause in pauses)
    return Measured(tuple(sorted(to_zero_ms)), len(taken), late, in_flight)


async def measure(stage: Stage, tries: int = TRIES) -> Measured:
    """Pauses the platform again and again while callers bid, and counts at its sandbox."""
    bidding = [asyncio.ensure_future(_bid_on(stage, number)) for number in range(BIDDERS)]
    pauses = []
    try:
        for _ in range(tries):
            await asyncio.sleep(LOAD_S)
            pauses.append(await _pause_once(stage))
    finally:
        for task in bidding:
            task.cancel()
        await asyncio.gather(*bidding, return_exceptions=True)
    return judged(pauses, await stage.control.journal(NAME))


async def _pause_once(stage: Stage) -> Pause:
    budgets = stage.client.budgets
    asked_ns = time.time_ns()  # noqa: TID251 - compared with another process's wall clock
    request = pb.PauseBudgetRequest(
        budget_id=NAME, reason="a try of the kill switch", wait=Duration(seconds=5)
    )
    answer = await budgets.PauseBudget(request, timeout=15)
    acknowledged_ns = time.time_ns()  # noqa: TID251 - as above
    await asyncio.sleep(STOPPED_S)
    resumed_ns = time.time_ns()  # noqa: TID251 - as above
    await budgets.ResumeBudget(
        pb.ResumeBudgetRequest(budget_id=NAME, reason="the next try"), timeout=15
    )
    return Pause(asked_ns, acknowledged_ns, resumed_ns, answer.in_flight_count)


async def _bid_on(stage: Stage, number: int) -> None:
    """Bids without end on one campaign, each time something else."""
    campaign = CAMPAIGNS[number % len(CAMPAIGNS)]
    for count in itertools.count():
        roas = f"{2 + count / 100:.2f}"
        await stage.place(stage.sent.bid(NAME, campaign, "0.50", roas))
        await asyncio.sleep(0.002)


async def play_kill_switch(stage: Stage) -> None:
    """Fifty pauses under load, then the campaigns themselves."""
    measured = await measure(stage)
    times = ", ".join(
        f"p{percent} {measured.percentile_ms(percent):.0f} ms" for percent in (50, 99)
    )
    stage.expect(
        f"{TRIES} pauses while {BIDDERS} callers bid",
        f"{TRIES} acknowledged, 0 bids on their way",
        f"{len(measured.to_zero_ms)} acknowledged, {measured.in_flight} bids on their way",
    )
    stage.expect(
        "after the acknowledgement",
        "no bid arrives",
        f"{measured.late} bids arrive" if measured.late else "no bid arrives",
    )
    stage.expect(
        "from the pause to the last bid",
        "before the acknowledgement",
        times,
        ok=measured.changes > TRIES and not measured.late,
    )
    await _expect_campaigns(stage, "PauseCampaigns", "paused")
    await _expect_campaigns(stage, "ResumeCampaigns", "resumed")


async def _expect_campaigns(stage: Stage, method: str, word: str) -> None:
    request = getattr(pb, f"{method}Request")(reason="the kill switch")
    answer = await getattr(stage.client.budgets, method)(request, timeout=30)
    names = (pb.CampaignOutcome.Name(one.outcome) for one in answer.campaigns)
    counts = Counter(name.removeprefix("CAMPAIGN_OUTCOME_").lower() for name in names)
    stage.expect(
        f"its campaigns, {word} at the platform",
        f"{len(CAMPAIGNS)} {word}",
        ", ".join(f"{count} {what}" for what, count in sorted(counts.items())),
    )


SCENARIOS = (
    Scenario(
        "kill-switch",
        "The kill switch under load: no bid arrives once a pause is acknowledged.",
        {
            "platforms": {
                NAME: {"budget": {"limit": "1000000.00"}, "rate_limit": {"calls": 1000000}}
            }
        },
        play_kill_switch,
    ),
)
