"""The servers that are measured, each a process of its own: `python -m bench.server VARIANT DIR
COLLECTOR`.

Prints one line of JSON when it takes calls, `{"port": n, "http": "..."}` (empty: nobody scrapes
it), and one when it has been stopped by SIGTERM, `{"answered": n}`: how many calls it answered with
OK. The chain reads that number from the audit ledger on disk, so a bid that was refused, replayed
or lost is not in it. COLLECTOR is where its spans go, when it makes any.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, ClassVar

import grpc
import grpc.aio
import uvloop
from bench.messages import BID_MICROS, METHOD, Numbering
from bench.null_platform import PLATFORM
from google.protobuf.message import Message

from smartconnectors.common.v1 import bid_pb2, budget_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.app import Application
from smartconnectors_server.call import Call, MethodSpec
from smartconnectors_server.interceptors import Engines, Next
from smartconnectors_server.ledger.store import FILE_NAME
from smartconnectors_server.serving import pages_of
from smartconnectors_server.settings import HttpSettings, Settings
from smartconnectors_server.telemetry import Metrics, Telemetry, configure_logging
from smartconnectors_server.telemetry.otlp import OtlpSpans
from smartconnectors_server.telemetry.tracing import Tracer

SERVER_CORE = 0
SAMPLED = 0.01


class NumberFirst:
    """Outermost of all interceptors: see `bench/messages.py`."""

    name: ClassVar[str] = "number"

    def __init__(self, engines: Engines) -> None:
        del engines
        self._numbering = Numbering()

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        return spec.path == METHOD

    async def intercept(self, call_next: Next, request: Any, call: Call) -> Message:
        answer: Message = await call_next(self._numbering.number(request), call)
        return answer


class NumberedApplication(Application):
    """The server as it is, behind the numbering of requests."""

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        super().__init__(settings, platforms={PLATFORM.name: PLATFORM}, telemetry=telemetry)
        self.core.chain.insert(0, NumberFirst(self.core.engines))


COUNTING = ("bid", "change", "committed", "platform_call", "circuit", "commit", "alert_delivery")


def _nothing(*_: Any, **__: Any) -> None:
    """Counts nothing."""


class SwitchedMetrics(Metrics):
    """Counts while it is switched on, by the very methods that a server has."""

    def switch(self, on: bool) -> None:
        """From the next count on."""
        for name in COUNTING:
            setattr(self, name, getattr(super(), name) if on else _nothing)


class SwitchedTelemetry(Telemetry):
    """Metrics, and one call of a hundred traced to a collector, while it is switched on."""

    def __init__(self, collector: str) -> None:
        self._counting = SwitchedMetrics()
        super().__init__(spans=OtlpSpans(collector, insecure=True), metrics=self._counting)
        self._tracers = {False: Tracer(0.0), True: Tracer(SAMPLED)}
        self.switch(False)

    def switch(self, on: bool) -> None:
        """From the next call on."""
        self._counting.switch(on)
        self.tracer = self._tracers[on]

    def switched_by_signals(self) -> None:
        """SIGUSR1: on; SIGUSR2: off."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self.switch, True)
        loop.add_signal_handler(signal.SIGUSR2, self.switch, False)


def settings_in(state_dir: Path) -> Settings:
    """Nothing refuses: a budget and a quota that a benchmark does not use up."""
    return Settings.model_validate(
        {
            "server": {"grpc_port": 0, "state_dir": str(state_dir), "drain_pause_s": 0},
            "platforms": {
                PLATFORM.name: {
                    "endpoint": "127.0.0.1:1",
                    "budget": {"limit": str(10**9)},
                    "rate_limit": {"calls": 10_000_000, "window_s": 60},
                }
            },
        }
    )


def settled_in(state_dir: Path) -> int:
    """How many bids the ledger on disk has committed."""
    with sqlite3.connect(f"file:{state_dir / FILE_NAME}?mode=ro", uri=True) as ledger:
        rows = ledger.execute(
            "SELECT count(DISTINCT request_id) FROM entries WHERE verb = 'settle'"
        )
        return int(rows.fetchone()[0])


async def chain(state_dir: Path, telemetry: Telemetry, *, scraped: bool = False) -> int:
    """The whole chain; returns how many bids it committed."""
    application = NumberedApplication(settings_in(state_dir), telemetry)
    ready = await application.start()
    pages = pages_of(application)
    http = await pages.start(HttpSettings(port=0, enabled=scraped))
    await _serve_until_stopped(int(ready.grpc_address.rpartition(":")[2]), http)
    await pages.stop()
    await application.stop()
    return settled_in(state_dir)


async def chain_switched(state_dir: Path, collector: str) -> int:
    """The same, observed or not; returns how many bids it committed."""
    telemetry = SwitchedTelemetry(collector)
    telemetry.switched_by_signals()
    return await chain(state_dir, telemetry, scraped=True)


def _example() -> pb.PlaceBidResponse:
    """An answer as large as the chain's."""
    response = pb.PlaceBidResponse()
    result = response.result
    result.status = bid_pb2.BID_STATUS_PLACED
    result.source = bid_pb2.BID_SOURCE_AI
    result.bid_micros = BID_MICROS
    result.currency_code = "USD"
    result.platform_bid_id = "campaigns/9000000000"
    result.circuit_state = bid_pb2.CIRCUIT_STATE_CLOSED
    result.platform_latency.nanos = 100_000
    result.placed_at.GetCurrentTime()
    result.budget.CopyFrom(
        budget_pb2.BudgetStats(
            budget_id="google_ads",
            limit_micros=10**18,
            committed_micros=10**12,
            held_micros=10**8,
            remaining_micros=10**18 - 10**12,
            utilization=0.000001,
            currency_code="USD",
            accepted_count=100_000,
            alert_level=budget_pb2.ALERT_LEVEL_NONE,
            sequence=200_000,
        )
    )
    result.budget.window.seconds = 600
    result.budget.as_of.GetCurrentTime()
    result.budget.next_release_at.GetCurrentTime()
    return response


async def echo() -> int:
    """A bare grpc.aio server: parses the same request, answers with an answer of the same size."""
    numbering = Numbering()
    example = _example().result
    answered = 0

    async def place_bid(raw: bytes, context: Any) -> pb.PlaceBidResponse:
        nonlocal answered
        del context
        request = pb.PlaceBidRequest.FromString(numbering.number(raw))
        response = pb.PlaceBidResponse(result=example)
        response.result.request_id = request.bid.request_id
        answered += 1
        return response

    handler: Any = grpc.unary_unary_rpc_method_handler(
        place_bid, response_serializer=pb.PlaceBidResponse.SerializeToString
    )
    service, _, name = METHOD.strip("/").partition("/")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {name: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await _serve_until_stopped(port)
    await server.stop(1.0)
    return answered


async def _serve_until_stopped(port: int, http: str = "") -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print(json.dumps({"port": port, "http": http}), flush=True)
    await stopped.wait()


def main() -> None:
    """Serves the variant named on the command line."""
    variant, state_dir, collector = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[SERVER_CORE]})
    variants: Mapping[str, Callable[[], Coroutine[Any, Any, int]]] = {
        "echo": echo,
        "chain": lambda: chain(state_dir, Telemetry()),
        "chain-switched": lambda: chain_switched(state_dir, collector),
    }
    # Nobody reads the log here, but each line is made and written all the same.
    with Path(os.devnull).open("w") as nowhere:
        configure_logging("text", nowhere)
        answered = uvloop.run(variants[variant]())
    print(json.dumps({"answered": answered}), flush=True)


if __name__ == "__main__":
    main()
