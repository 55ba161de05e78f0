"""One run in a network namespace: a change meets a partition, the room is sold again, and the
platform's journal is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
from tests.crash.actors import reason_of
from tests.crash.sent import Bid, Table
from tests.crash.server import ServerProcess
from tests.partition import namespaces
from tests.partition.plan import Plan, Result, watched_until_s
from tests.partition.wire import LATENCY_S, Wire

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2

NEAR = "10.99.0.1/24"
LIMIT_USD = 100
USD = 1_000_000
OTHERS = 16
CAMPAIGNS = ("1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008")
PLACED_WITHIN_S = 60.0
MET_WITHIN_S = 60.0
LOOKS_EVERY_S = 0.25
LONGEST_S = 200.0
PLACED, FULL, LATER = "placed", "full", "later"


class SaysNothing(Exception):
    """The run came to no end, so it proves nothing."""


@dataclass
class FarSide:
    """The platform's machine."""

    process: asyncio.subprocess.Process
    device: int
    endpoint: str

    @classmethod
    async def start(cls, platform: str) -> FarSide:
        """Returns when its sandbox listens."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.partition.far_side", platform, str(theirs.fileno())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )
            theirs.close()
            _, (device,), *_ = await asyncio.to_thread(socket.recv_fds, ours, 16, 1)
        far = cls(process, device, "")
        far.endpoint = await far._line()
        return far

    async def journal(self) -> list[Any]:
        """What the sandbox applied, oldest first."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        return [
            SimpleNamespace(**entry, changes=True, applied=True) for entry in await self._line()
        ]

    async def _line(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(await self.process.stdout.readline())

    async def close(self) -> None:
        """Ends it."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


def document(plan: Plan, endpoint: str, state_dir: Path) -> dict[str, Any]:
    """The server's settings: the defaults, but for a reconciler and a breaker that try often."""
    return {
        "server": {
            "state_dir": str(state_dir),
            "grpc_port": 0,
            "drain_pause_s": 0,
            "log_format": "json",
        },
        "reconciler": {"interval_s": 0.5, "max_interval_s": 1.0},
        "platforms": {
            plan.platform: {
                "endpoint": endpoint,
                "timeout_ms": plan.timeout_ms,
                "rate_limit": {"calls": 100_000},
                "circuit_breaker": {"open_s": 0.5},
                "budget": {"limit": str(LIMIT_USD), "window_s": 3_600},
            }
        },
    }


class Run:
    """One run, inside its namespace."""

    def __init__(self, plan: Plan, directory: Path, code: Path) -> None:
        self.plan = plan
        self.result = Result(plan)
        self.directory = directory
        self.code = code
        chance = random.Random(f"bids {plan.seed}")
        table = Table(chance, lambda _platform: CAMPAIGNS)
        bids = [table.new(plan.platform) for _ in range(OTHERS)]
        self.table = table
        self.victim = max(bids, key=lambda bid: bid.amount_micros)
        self.others = sorted(
            (bid for bid in bids if bid is not self.victim), key=lambda bid: -bid.amount_micros
        )
        self.server: ServerProcess
        self._lives: list[ServerProcess] = []
        self._until_s = watched_until_s(plan.partition_s, LATENCY_S)
        self.wire: Wire
        self.far: FarSide
        self._settings: Mapping[str, Any]

    async def play(self) -> Result:
        """From the first start to the count. Raises SaysNothing."""
        async with self._world():
            await self._fill_all_but(self.victim.amount_micros)
            caller = asyncio.create_task(self._try(self.victim, timeout_s=LONGEST_S))
            await self._meet_the_cut()
            healing = asyncio.create_task(self._heal())
            if self.plan.killed_after_s is not None:
                await self._sleep_until(self.plan.killed_after_s)
                await self._kill_and_restart()
            await self._sell_the_room_again()
            caller.cancel()
            await asyncio.gather(caller, healing, return_exceptions=True)
            self._count(await self.far.journal())
        return self.result

    @contextlib.asynccontextmanager
    async def _world(self) -> AsyncIterator[None]:
        near = namespaces.tun("near0", NEAR)
        self.far = await FarSide.start(self.plan.platform)
        self.wire = Wire(near, self.far.device)
        self.wire.open()
        self._settings = document(self.plan, self.far.endpoint, self.directory / "state")
        try:
            await self._start()
            yield
        finally:
            for server in self._lives:
                await server.close()
            self.wire.close()
            await self.far.close()

    async def _start(self) -> None:
        self.server = await ServerProcess.start(self.directory, self._settings, code=self.code)
        self._lives.append(self.server)
        if not await self.server.ready():
            raise SaysNothing((self.directory / "serve.log").read_text()[-2000:])

    # Time

    @staticmethod
    @contextlib.asynccontextmanager
    async def _within(seconds: float, otherwise: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise SaysNothing(otherwise) from None

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time() - self.wire.cut_at_s

    async def _sleep_until(self, since_cut_s: float) -> None:
        await asyncio.sleep(max(0.0, since_cut_s - self._now_s()))

    async def _heal(self) -> None:
        await self._sleep_until(self.plan.partition_s)
        last_s = self.wire.last_sent_at_s
        if self.plan.waits_for_retransmission:
            while self.wire.last_sent_at_s == last_s:  # noqa: ASYNC110 - the kernel's own timer
                await asyncio.sleep(0.02)
            await asyncio.sleep(2 * LATENCY_S)  # until it is lost
        self.wire.heal()
        self._until_s = max(self._until_s, watched_until_s(self._now_s(), LATENCY_S))

    # What happens

    async def _fill_all_but(self, room_micros: int) -> None:
        """Bids until no more than that is left, or less than another bid."""
        left = LIMIT_USD * USD - room_micros
        for bid in tuple(self.others):
            if bid.amount_micros <= left:
                async with self._within(PLACED_WITHIN_S, "a bid was not placed"):
                    while await self._try(bid) != PLACED:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(LOOKS_EVERY_S)
                left -= bid.amount_micros
                self.others.remove(bid)

    async def _meet_the_cut(self) -> None:
        """Cuts the network at the first request after the victim's money is held."""
        async with self._within(MET_WITHIN_S, "the change was not sent"):
            await self.wire.cut_at(partial(self._is_open, self.victim.request_id))

    async def _kill_and_restart(self) -> None:
        await self.server.close()
        await self._start()

    async def _sell_the_room_again(self) -> None:
        """Bids whenever there is room, until what was retransmitted must have arrived."""
        to_sell = [*([self.victim] if self.plan.retries else []), *self.others]
        sold_out = False
        while self._now_s() < self._until_s or not sold_out:
            if self._now_s() > LONGEST_S:
                raise SaysNothing("the change stays in doubt")
            await asyncio.sleep(LOOKS_EVERY_S)
            if await self._is_open(self.victim.request_id):
                continue
            if self.result.released_s is None:
                self.result.released_s = round(self._now_s(), 1)
            answers = [await self._try(bid) for bid in to_sell]
            sold_out = LATER not in answers
            to_sell = [
                bid for bid, said in zip(to_sell, answers, strict=True) if said is not PLACED
            ]

    # What the server says

    async def _try(self, bid: Bid, timeout_s: float = PLACED_WITHIN_S) -> str:
        try:
            answer = await self.server.place(self.plan.platform, bid.request, timeout_s)
        except grpc.aio.AioRpcError as error:
            return FULL if reason_of(error) == "BUDGET_EXCEEDED" else LATER
        return PLACED if answer.result.status == bid_pb2.BID_STATUS_PLACED else LATER

    async def _is_open(self, request_id: str) -> bool:
        request = budgets_pb2.ListHoldsRequest(page_size=1000)
        answer = await self.server.budgets.ListHolds(request, timeout=PLACED_WITHIN_S)
        return any(hold.request_id == request_id for hold in answer.holds)

    # What the platform says

    def _count(self, journal: Iterable[Any]) -> None:
        result = self.result
        result.last_sent_s = round(self.wire.last_sent_at_s - self.wire.cut_at_s, 1)
        applied = self.table.applied(self.plan.platform, journal)
        arrivals: list[float] = []
        counts: Counter[str] = Counter()
        spent = 0
        for change in applied:
            assert change.bid is not None, "a change that was not asked for"
            spent += change.bid.amount_micros
            counts[change.bid.request_id] += 1
            if change.bid is self.victim:
                arrivals.append(round((change.at_ns - self.wire.cut_wall_ns) / 1e9, 1))
        result.over_micros = max(0, spent - LIMIT_USD * USD)
        result.twice = sum(count > 1 for count in counts.values())
        result.arrived_s = max(arrivals, default=None)


async def play(plan: Plan, directory: Path, code: Path) -> Result:
    """Plays the plan; what keeps it from saying anything is in the result."""
    run = Run(plan, directory, code)
    try:
        return await run.play()
    except (SaysNothing, TimeoutError, grpc.aio.AioRpcError) as error:
        run.result.failed = str(error) or type(error).__name__
        return run.result
