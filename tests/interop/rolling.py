"""Restarts two servers behind a proxy, one after the other, while callers keep bidding.

    python -m tests.interop.rolling [haproxy nginx] [--rounds 2] [--json]

Each server has its own state directory and budget; the sandbox, a process of its own, keeps the
journal that counts. A call that fails with UNAVAILABLE is tried again with its request id, by our
Python client. Prints a table; exits with 1 when a bid that was answered as placed is not in the
journal, one is there twice, a call finally failed, a server did not drain, or the servers' budgets
do not add up to the journal; with 3 when a proxy is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance.clients.authority import Files, write_certificate
from tests.interop.accounting import PLACED, Account, account
from tests.interop.processes import Failed, Sandboxes, Server, sandboxes
from tests.interop.proxies import Proxy, program_of, write_proxys_certificate

from smartconnectors import aio
from smartconnectors.common.v1.bid_pb2 import BidStatus
from smartconnectors.credentials import tls
from smartconnectors.errors import ServiceError
from smartconnectors.money import to_decimal
from smartconnectors_server.cli.demo.sent import SentTable
from smartconnectors_server.cli.output import print_table

PROXIES = ("haproxy", "nginx")
CONNECTIONS = 4
CALLERS_EACH = 2
CAMPAIGNS = ("1001", "1002", "1003")
BETWEEN_BIDS_S = 0.02
BETWEEN_RESTARTS_S = 1.5
ANSWERED_WITHIN_S = 60.0
MOST_TRIES = 1000
NOT_INSTALLED = 3
PLATFORM = "google_ads"
SETTINGS = {
    "platforms": {
        PLATFORM: {
            "rate_limit": {"calls": 1_000_000},
            "budget": {"limit": "100000"},
            # A busy machine is not a sick platform.
            "circuit_breaker": {"slow_call_ms": 60_000},
        }
    }
}


@dataclass(slots=True)
class Callers:
    """They bid until they are told to stop, and write down the last word on each bid."""

    table: SentTable = field(default_factory=SentTable)
    told: dict[str, str] = field(default_factory=dict)
    tries_again: int = 0
    longest_s: float = 0.0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: Any = field(default_factory=itertools.count)

    async def pause(self, seconds: float) -> None:
        """Between two tries of one bid."""
        self.tries_again += 1
        await asyncio.sleep(seconds)

    async def bid_on(self, service: aio.Connection) -> None:
        """One caller, one bid after the other."""
        while not self.stopped.is_set():
            number = next(self._numbers)
            roas = f"{2 + number / 1000:.3f}"  # no other bid has it: journals tell them apart
            sent = self.table.bid(PLATFORM, CAMPAIGNS[number % len(CAMPAIGNS)], "1.00", roas)
            self.told[sent.request_id] = "no answer"
            started = time.monotonic()
            try:
                answer = await service.bid(
                    sent.request, timeout_s=ANSWERED_WITHIN_S, max_attempts=MOST_TRIES
                )
                word = BidStatus.Name(answer.result.status).removeprefix("BID_STATUS_")
            except ServiceError as error:
                word = f"{error.code.name} {error.reason} {error.message}"
            self.told[sent.request_id] = word
            self.longest_s = max(self.longest_s, time.monotonic() - started)
            await asyncio.sleep(BETWEEN_BIDS_S * random.uniform(0.5, 1.5))


@dataclass(frozen=True, slots=True)
class Rolled:
    """What came of it behind one proxy.

    Attributes:
        took: how many bids each server committed, by its own budget.
        drained: the exit code of each server that was stopped.
        seconds: for each restart, from SIGTERM until it is ready again.
    """

    account: Account
    told: dict[str, str]
    tries_again: int
    longest_s: float
    took: list[int]
    drained: list[int]
    seconds: list[float]

    @property
    def placed(self) -> int:
        """How many callers were told so."""
        return Counter(self.told.values())[PLACED]

    @property
    def wrong(self) -> list[str]:
        """Every violation, in words."""
        found = self.account.words()
        failures = Counter(self.told[name] for name in self.account.failed)
        found += [f"{many} ended with {word}" for word, many in failures.items()]
        if any(self.drained):
            found.append(f"servers did not drain: exit codes {self.drained}")
        if sum(self.took) != self.placed:
            found.append(f"the servers committed {self.took} of {self.placed}")
        if not all(self.took):
            found.append(f"the proxy did not spread the bids: {self.took}")
        if not self.tries_again:
            found.append("no call noticed the restarts, so nothing was shown")
        return found


async def roll(name: str, rounds: int, folder: Path) -> Rolled:
    """Plays it behind one proxy. Raises Failed."""
    certificates = write_certificate(folder)
    write_proxys_certificate(certificates, folder)
    callers = Callers()
    async with AsyncExitStack() as stack:
        where = await stack.enter_async_context(sandboxes(folder))
        servers = await _servers(stack, folder, certificates, where)
        proxy = Proxy(name, folder, servers)
        await proxy.listen()
        stack.push_async_callback(proxy.stop)
        drained, seconds = [], []
        async with asyncio.TaskGroup() as tasks, AsyncExitStack() as connections:
            bidding = []
            for _ in range(CONNECTIONS):
                connection = aio.connect(
                    proxy.address, credentials=tls(certificates.authority), sleep=callers.pause
                )
                service = await connections.enter_async_context(connection)
                bidding += [tasks.create_task(callers.bid_on(service)) for _ in range(CALLERS_EACH)]
            for server in [*servers] * rounds:
                await asyncio.sleep(BETWEEN_RESTARTS_S)
                started = time.monotonic()
                drained.append(await server.stop())
                await server.start()
                seconds.append(time.monotonic() - started)
            await asyncio.sleep(BETWEEN_RESTARTS_S)
            callers.stopped.set()
            await asyncio.gather(*bidding)
        took = [await _bids_of(server, certificates) for server in servers]
        applied = callers.table.applied(PLATFORM, await where.control.journal(PLATFORM))
        taken = [bid.request_id for bid in applied.bids] + [""] * applied.unknown
    return Rolled(
        account(callers.told, taken),
        callers.told,
        callers.tries_again,
        callers.longest_s,
        took,
        drained,
        seconds,
    )


async def roll_all(names: Sequence[str], rounds: int) -> dict[str, Rolled]:
    """Plays it behind several at once, which is mostly waiting. Raises a group of Failed."""
    with tempfile.TemporaryDirectory(prefix="rolling-") as folder:
        async with asyncio.TaskGroup() as tasks:
            rolling = {}
            for name in names:
                (own := Path(folder) / name).mkdir()
                rolling[name] = tasks.create_task(roll(name, rounds, own))
    return {name: task.result() for name, task in rolling.items()}


async def _servers(
    stack: AsyncExitStack, folder: Path, certificates: Files, where: Sandboxes
) -> list[Server]:
    servers = [Server(name, folder, certificates, where, SETTINGS) for name in ("a", "b")]
    for server in servers:
        await server.start()
        stack.push_async_callback(server.stop)
    return servers


async def _bids_of(server: Server, certificates: Files) -> int:
    """How many bids of one unit the server's own budget has."""
    credentials = tls(certificates.authority)
    async with aio.connect(server.grpc, credentials=credentials) as service:
        return int(to_decimal((await service.budgets.get(PLATFORM)).committed_micros))


def report(results: dict[str, Rolled]) -> None:
    """The table, and what is wrong."""
    rows = [
        (
            name,
            str(len(rolled.seconds)),
            f"{max(rolled.seconds):.1f} s",
            str(len(rolled.told)),
            str(rolled.placed),
            " + ".join(str(many) for many in rolled.took),
            str(rolled.tries_again),
            f"{rolled.longest_s:.1f} s",
            str(len(rolled.account.lost)),
            str(len(rolled.account.twice)),
            str(len(rolled.account.failed)),
        )
        for name, rolled in results.items()
    ]
    columns = ("proxy", "restarts", "slowest", "bids", "placed", "by server")
    ends = ("tries again", "longest wait", "lost", "twice", "failed")
    print_table((*columns, *ends), rows, empty="No proxy was tried.")
    for name, rolled in results.items():
        sys.stdout.writelines(f"{name}: {what}\n" for what in rolled.wrong)


def machine_report(results: dict[str, Rolled]) -> dict[str, Any]:
    """The same for machines."""
    return {
        name: {
            "restarts_s": [round(one, 2) for one in rolled.seconds],
            "bids": len(rolled.told),
            "placed": rolled.placed,
            "by_server": rolled.took,
            "tries_again": rolled.tries_again,
            "longest_wait_s": round(rolled.longest_s, 2),
            "wrong": rolled.wrong,
        }
        for name, rolled in results.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays the proxies that were named, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop.rolling")
    parser.add_argument("proxies", nargs="*", metavar="PROXY", help=", ".join(PROXIES))
    parser.add_argument("--rounds", type=int, default=2, help="restarts of each server")
    parser.add_argument("--json", action="store_true", help="results for machines")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.proxies) - set(PROXIES):
        parser.error(f"no proxy is called {', '.join(sorted(unknown))}")
    names = chosen.proxies or PROXIES
    if absent := [name for name in names if not program_of(name)]:
        sys.stderr.write(f"not installed: {', '.join(absent)}\n")
        return NOT_INSTALLED
    results: dict[str, Rolled] = {}
    try:
        results = asyncio.run(roll_all(names, chosen.rounds))
    except* Failed as failures:
        sys.stderr.writelines(f"{one}\n" for one in failures.exceptions)
    if chosen.json:
        sys.stdout.write(json.dumps(machine_report(results)) + "\n")
    else:
        report(results)
    return int(not results or any(rolled.wrong for rolled in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
