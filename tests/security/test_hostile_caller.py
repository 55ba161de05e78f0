"""Two callers, one of them hostile: the other bids as if it were alone, and operators can stop
everything at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.conftest import Stage
from tests.security.hostile import USD, Hostile, bid_on
from tests.server.access.people import Person
from tests.server.access.stage import entry

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.platforms import PLATFORMS

SLACK = 0.05
log = logging.getLogger(__name__)
TOKENS = "".join(
    [
        entry("hostile", "bid", "hostile", campaigns=["1001"]),
        entry("victim", "bid", "victim", campaigns=["1002"]),
        entry("operator", "operate", "operator"),
    ]
)


@dataclass
class Phase:
    """What became of the victim's bids."""

    amounts: dict[str, int] = field(default_factory=dict)
    """Request id -> micros."""
    placed: list[str] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The part of the bids that was placed."""
        return len(self.placed) / len(self.amounts)

    def money(self, stage: Stage) -> float:
        """The part of the money that the platform's journal has."""
        journal = sum(self.amounts[one] for one in self.amounts if stage.mutates(one))
        return journal / sum(self.amounts.values())


@contextlib.asynccontextmanager
async def platform(directory: Path) -> AsyncIterator[Stage]:
    """Google's sandbox, and what a server on it needs."""
    (directory / "tokens.toml").write_text(TOKENS)
    sandbox = PLATFORMS["google_ads"].sandbox()
    stage = Stage({"google_ads": (sandbox, await sandbox.start())}, directory)
    try:
        yield stage
    finally:
        await stage.close()
        await sandbox.close()


def settings(directory: Path, calls: int) -> dict[str, Any]:
    return {
        "access": {"tokens_file": str(directory / "tokens.toml")},
        "rate_limit": {"calls": calls, "window_s": 60.0, "reserve_percent": 10.0},
        # Amounts are bounded by campaign: the budget of a platform is one for all callers.
        "budget": {"limit": "1000000", "campaigns": {"1001": "2000"}},
        "each": {name: {"enabled": False} for name in ("meta", "trade_desk")},
    }


async def bids(victim: Person, name: str, count: int, every_s: float) -> Phase:
    """So many bids, one after the other, begun at intervals while they keep up with them."""
    phase, first_s = Phase(), time.monotonic()
    for number in range(count):
        usd = 10 + number % 5
        request = bid_on("1002", f"{name}-{number}", usd)
        phase.amounts[f"{name}-{number}"] = usd * USD
        began_s = time.monotonic()
        with contextlib.suppress(Exception):
            answer = await victim.ask(victim.ads.PlaceBid, request)
            if answer.result.status == bid_pb2.BID_STATUS_PLACED:
                phase.placed.append(f"{name}-{number}")
        phase.took_s.append(time.monotonic() - began_s)
        await asyncio.sleep(max(0.0, first_s + (number + 1) * every_s - time.monotonic()))
    return phase


async def stop(operator: Person) -> str:
    """The operator's emergency stop of one campaign."""
    request = budgets_pb2.PauseCampaignsRequest(
        platform="google_ads", campaign_ids=["1003"], reason="emergency"
    )
    answer = await operator.ask(operator.budgets.PauseCampaigns, request)
    (one,) = answer.campaigns
    return budgets_pb2.CampaignOutcome.Name(one.outcome).removeprefix("CAMPAIGN_OUTCOME_")


async def compare(
    address: str, *, alone_count: int, count: int, every_s: float, stops: int
) -> tuple[Phase, Phase, list[str], Hostile]:
    """The victim's bids alone, and while it is attacked; the operator's stops meanwhile."""
    victim, operator = Person(address, "victim"), Person(address, "operator")
    hostile = Hostile(address, "hostile", "1001")
    alone = await bids(victim, "alone", alone_count, every_s)
    async with hostile.attacking():
        bidding = asyncio.ensure_future(bids(victim, "attacked", count, every_s))
        stopped = []
        for _ in range(stops):
            stopped.append(await stop(operator))
            await asyncio.sleep(count * every_s / stops)
        attacked = await bidding
        stopped.append(await stop(operator))
    await victim.channel.close()
    await operator.channel.close()
    return alone, attacked, stopped, hostile


def check(stage: Stage, found: tuple[Phase, Phase, list[str], Hostile]) -> None:
    alone, attacked, stopped, hostile = found
    assert alone.rate == 1
    assert attacked.rate >= 1 - SLACK
    assert abs(attacked.money(stage) / alone.money(stage) - 1) <= SLACK
    assert set(stopped) <= {"PAUSED", "ALREADY_PAUSED"}
    refused = sum(n for (_, outcome), n in hostile.outcomes.items() if outcome != "OK")
    assert refused > 0, "it was not hostile enough to be refused anything"
    tried = {attack for attack, _ in hostile.outcomes} | set(hostile.answered)
    assert len(tried) == 11, tried


async def test_a_hostile_caller_changes_neither_what_another_places_nor_the_operator_s_stop(
    tmp_path: Path,
) -> None:
    async with platform(tmp_path) as stage:
        server = await stage.serve(**settings(tmp_path, calls=900))
        found = await compare(server.address, alone_count=40, count=40, every_s=0.05, stops=3)
        check(stage, found)


@pytest.mark.soak
async def test_a_hostile_caller_for_a_minute(tmp_path: Path) -> None:
    """As above with the server as a process. How latencies compare is logged, and no promise: the
    attacker shares the machine's processors. `-o log_cli=true --log-cli-level=INFO` shows it.
    """
    async with platform(tmp_path) as stage:
        server = await stage.process(**settings(tmp_path, calls=3000))
        found = await compare(server.address, alone_count=40, count=120, every_s=0.5, stops=12)
        medians = [statistics.median(phase.took_s) for phase in found[:2]]
        log.info("median latency alone %.4f s, attacked %.4f s", *medians)
        check(stage, found)
