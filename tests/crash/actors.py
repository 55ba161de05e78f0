"""Who acts on a server while it lives: callers, an operator, and the weather at its platforms.

All of them take the server's death as it comes, and go on with its next life.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2
from tests.crash.mixes import CAMPAIGNS, LATEST_MS, TOTAL, Mix, campaigns_of, limits_usd
from tests.crash.sent import Bid, Table, customer_of
from tests.crash.server import ServerProcess

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2, errors_pb2
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind, RemovesCampaigns

USD = 1_000_000
PLACED = "PLACED"
ENDED = frozenset(
    {
        PLACED,
        "UNCHANGED",
        "EXPIRED",
        "SUPERSEDED",
        "PLATFORM_REJECTED",
        "UNKNOWN_TARGET",
        "INVALID_BID",
    }
)
"""Told this, a caller has nothing more to ask. UNCHANGED, of a bid that was applied, would mean
that the server has forgotten it.
"""
VETOED = frozenset({"BUDGET_EXCEEDED", "BUDGET_PAUSED"})
UNHEARD = "unheard"
"""The caller heard nothing: its server died, or it hung up."""


def reason_of(error: Any) -> str:
    """Why a call failed, or UNHEARD."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return str(info.reason)
    return UNHEARD


class World:
    """What the actors of one run share."""

    def __init__(self, seed: str, mix: Mix, sandboxes: Mapping[str, Any], table: Table) -> None:
        self._seed = seed
        self.mix = mix
        self.sandboxes = sandboxes
        self.platforms = sorted(sandboxes)
        self.table = table
        self.server: ServerProcess | None = None
        self.up = asyncio.Event()
        self.last_life = False
        self.told: dict[str, list[str]] = defaultdict(list)
        limits = limits_usd(mix)
        self.most_micros = {
            budget_id: limits.get(budget_id.rpartition("/")[2], limits["platform"]) * USD
            for budget_id in (
                *self.platforms,
                *(f"{name}/campaigns/{CAMPAIGNS[0]}" for name in self.platforms),
                TOTAL,
            )
        }
        """Budget -> the highest limit that it ever had, or may have had."""

    def chance(self, actor: str) -> random.Random:
        """One actor's own: what it does depends on the seed, however the others are timed."""
        return random.Random(f"{self._seed} {actor}")

    async def living(self) -> ServerProcess:
        """The server, once there is one that takes calls."""
        await self.up.wait()
        assert self.server is not None
        return self.server

    # Callers

    async def caller(self, bid: Bid) -> None:
        """Bids, and asks again with the same id until it knows what became of it."""
        chance = self.chance(bid.request_id)
        while True:
            answer = await self._ask(bid, chance)
            self.told[bid.request_id].append(answer)
            if answer in ENDED or (answer in VETOED and self.last_life):
                return
            pause_s = 0.3 if answer in VETOED else 0.1
            await asyncio.sleep(pause_s * chance.uniform(0.5, 1.5))

    async def _ask(self, bid: Bid, chance: random.Random) -> str:
        server = await self.living()
        # Some callers hang up soon.
        timeout_s = chance.choice([0.05, 0.3, 5.0, 5.0]) if not self.last_life else 5.0
        try:
            answer = await server.place(bid.platform, bid.request, timeout_s)
        except grpc.aio.AioRpcError as error:
            return reason_of(error)
        return _status(answer)

    async def batch(self, bids: list[Bid]) -> None:
        """Bids together once, and then each caller asks for itself."""
        server = await self.living()
        with contextlib.suppress(grpc.aio.AioRpcError):
            requests = [bid.request for bid in bids]
            answers = (await server.place_many(bids[0].platform, requests, 5.0)).answers
            for answer in answers:
                if answer.WhichOneof("answer") == "response":
                    told = _status(answer.response)
                else:
                    reason = errors_pb2.ErrorReason.Name(answer.error.reason)
                    told = reason.removeprefix("ERROR_REASON_")
                self.told[answer.request_id].append(told)
        await asyncio.gather(*map(self.caller, bids))

    # The weather

    async def weather(self) -> None:
        """Faults, outages and removals, for ever."""
        await asyncio.gather(*map(self._weather_at, self.platforms))

    async def _weather_at(self, name: str) -> None:
        chance, mix, sandbox = self.chance(name), self.mix, self.sandboxes[name]
        gone = list(campaigns_of(name)[1:])
        while True:
            await asyncio.sleep(chance.uniform(0.5, 1.5) * mix.every_s)
            if mix.faults and chance.random() < 0.7:
                kind = chance.choice(mix.faults)
                await sandbox.add_fault(Fault(kind, 1, _delay_ms(kind, chance), CHANGES))
            if mix.removals and len(gone) > 2 and isinstance(sandbox, RemovesCampaigns):
                campaign = chance.choice(gone)
                with contextlib.suppress(KeyError):  # nobody has asked for it yet
                    sandbox.remove_campaign(campaign)
                    gone.remove(campaign)
            if mix.outages:
                await sandbox.add_fault(Fault(FaultKind.REFUSE))
                await asyncio.sleep(mix.outage_s * chance.uniform(0.7, 1.3))
                await sandbox.clear_faults()
                await asyncio.sleep(2 * mix.open_s * chance.uniform(0.5, 1.5))

    # The operator

    async def operator(self) -> None:
        """Acts again and again."""
        chance = self.chance("operator")
        while True:
            await asyncio.sleep(chance.uniform(0.5, 1.5) / self.mix.operator)
            server = await self.living()
            act = getattr(self, f"_{chance.choice(self.mix.acts)}")
            with contextlib.suppress(grpc.aio.AioRpcError):
                await act(server.budgets, chance)

    async def _limit(self, budgets: Any, chance: random.Random) -> None:
        budget_id = chance.choice(sorted(self.most_micros))
        limit_micros = round(self.most_micros[budget_id] * chance.uniform(0.7, 1.1))
        # Also when the answer never comes: it may have been done.
        self.most_micros[budget_id] = max(self.most_micros[budget_id], limit_micros)
        await budgets.UpdateBudget(
            budgets_pb2.UpdateBudgetRequest(
                budget_id=budget_id, limit_micros=limit_micros, reason="as it seemed right"
            ),
            timeout=2,
        )

    async def _pause(self, budgets: Any, chance: random.Random) -> None:
        asked: Any = {"budget_id": chance.choice(self.platforms), "reason": "a look around"}
        await budgets.PauseBudget(budgets_pb2.PauseBudgetRequest(**asked), timeout=2)
        await asyncio.sleep(0.05)
        await budgets.ResumeBudget(budgets_pb2.ResumeBudgetRequest(**asked), timeout=2)

    async def _campaigns(self, budgets: Any, chance: random.Random) -> None:
        asked: Any = {"platform": chance.choice(self.platforms), "reason": "a look around"}
        await budgets.PauseCampaigns(budgets_pb2.PauseCampaignsRequest(**asked), timeout=2)
        await budgets.ResumeCampaigns(budgets_pb2.ResumeCampaignsRequest(**asked), timeout=2)

    async def _erase(self, budgets: Any, chance: random.Random) -> None:
        customer = customer_of(chance.choice(campaigns_of(chance.choice(self.platforms))))
        request = budgets_pb2.EraseCustomerRequest(customer_id=customer, reason="asked for")
        await budgets.EraseCustomer(request, timeout=2)

    async def _settle(self, budgets: Any, chance: random.Random) -> None:
        """Says of a bid in doubt that the platform has it.

        Never that it has one not: what is in doubt, or was deferred a moment ago, may be under way.
        """
        holds = (await budgets.ListHolds(budgets_pb2.ListHoldsRequest(), timeout=2)).holds
        in_doubt = [h.hold_id for h in holds if h.state == budgets_pb2.HOLD_STATE_IN_DOUBT]
        if in_doubt:
            await _settle(budgets, chance.choice(in_doubt))

    async def _late(self, budgets: Any, chance: random.Random) -> None:
        """Says of a bid that was given back that the platform has it after all."""
        request = budgets_pb2.ListLedgerEntriesRequest(page_size=1000)
        entries = (await budgets.ListLedgerEntries(request, timeout=2)).entries
        if given_back := [entry.hold_id for entry in entries if entry.verb == "release"]:
            await _settle(budgets, chance.choice(given_back))


async def _settle(budgets: Any, hold_id: str) -> None:
    request = budgets_pb2.ResolveHoldRequest(
        hold_id=hold_id, state=budgets_pb2.HOLD_STATE_SETTLED, reason="seen at the platform"
    )
    await budgets.ResolveHold(request, timeout=2)


def _delay_ms(kind: FaultKind, chance: random.Random) -> int:
    if kind is FaultKind.APPLY_LATE:
        return chance.randrange(50, LATEST_MS)
    if kind is FaultKind.SLOW:
        return chance.randrange(50, 350)
    return 100 if kind is FaultKind.QUOTA else 0


def _status(answer: Any) -> str:
    return bid_pb2.BidStatus.Name(answer.result.status).removeprefix("BID_STATUS_")
