"""The servers under test as processes, and h2load, the load generator, on another core."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from bench.collector import collecting, scraping
from bench.messages import METHOD, body, request

from smartconnectors.common.v1 import bid_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2_grpc

ROOT = Path(__file__).resolve().parent.parent
LOAD_CORE = 1
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 60.0
SPANS_SENT_EVERY_S = 1.0


class BenchError(Exception):
    """The figures would not mean anything; the message says why."""


@dataclass(frozen=True, slots=True)
class Load:
    """How many calls are in flight: on how many connections, how many on each."""

    name: str
    connections: int
    calls_each: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of h2load. Latencies in milliseconds."""

    calls_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Of the server, for each call; 0 where that cannot be told."""

    @classmethod
    def mean_of(cls, several: Sequence[Measured]) -> Measured:
        """Their means."""
        rows = [dataclasses.astuple(one) for one in several]
        return cls(*(statistics.fmean(column) for column in zip(*rows, strict=True)))


def h2load_path() -> str:
    """Raises BenchError when it is not installed."""
    path = shutil.which("h2load")
    if path is None:
        raise BenchError("h2load is not installed: apt-get install nghttp2-client")
    return path


def cores() -> list[int]:
    """The cores that may be used; empty where processes cannot be pinned."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))


@dataclass(slots=True)
class Server:
    """One variant, running."""

    variant: str
    process: subprocess.Popen[str]
    port: int = 0
    http: str = ""
    """Where its metrics are scraped while it is observed; empty: nowhere."""
    collector: str = ""
    """Where its spans go."""
    sent: int = 0
    """Calls that were sent to it; each must have been answered when it stops."""

    def verify(self) -> None:
        """One call by a real client. Raises BenchError unless it was placed."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            stub = google_ads_service_pb2_grpc.GoogleAdsServiceStub(channel)
            try:
                answer = stub.PlaceBid(request(), timeout=START_TIMEOUT_S)
            except grpc.RpcError as error:
                raise BenchError(f"{self.variant}: {error}") from error
        self.sent += 1
        if answer.result.status != bid_pb2.BID_STATUS_PLACED or not answer.result.request_id:
            raise BenchError(f"{self.variant}: not placed but {answer.result}")

    def observe(self, on: bool) -> None:
        """Switches its metrics and traces."""
        self.process.send_signal(signal.SIGUSR1 if on else signal.SIGUSR2)

    def cpu_ns(self) -> int:
        """What all its threads have used of the processors; 0 where that cannot be told."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(one.read_text().split()[0]) for one in threads)

    def stop(self) -> int:
        """How many calls it answered with OK, by its own account. Raises BenchError."""
        self.process.send_signal(signal.SIGTERM)
        try:
            output, _ = self.process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise BenchError(f"{self.variant}: did not stop") from None
        if self.process.returncode != 0:
            raise BenchError(f"{self.variant}: ended with code {self.process.returncode}")
        return int(json.loads(output.splitlines()[-1])["answered"])


def _start(variant: str, state_dir: Path, collector: str) -> Server:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.server", variant, str(state_dir), collector],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OTEL_BSP_SCHEDULE_DELAY": f"{SPANS_SENT_EVERY_S * 1000:.0f}"},
        # Ctrl-C is for the benchmark, which then ends its servers.
        start_new_session=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise BenchError(f"{variant}: did not start; what it said is above")
    ready = json.loads(line)
    return Server(variant, process, int(ready["port"]), ready["http"], collector)


@contextlib.contextmanager
def running(variants: list[str], state_dir: Path) -> Iterator[dict[str, Server]]:
    """Starts every variant; what is still running at the end is killed."""
    servers: dict[str, Server] = {}
    try:
        with collecting() as collector:
            for variant in variants:
                servers[variant] = _start(variant, state_dir / variant, collector)
            yield servers
    finally:
        for server in servers.values():
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()


class Generator:
    """Runs h2load."""

    def __init__(self, scratch: Path) -> None:
        """`scratch`: an existing directory for the request's body and the latencies."""
        self._h2load = h2load_path()
        self._body = scratch / "request"
        self._body.write_bytes(body())
        self._latencies = scratch / "latencies"

    def run(
        self, server: Server, load: Load, calls: int, *, observed: bool | None = None
    ) -> Measured:
        """Sends exactly `calls` calls. Raises BenchError when one fails on the wire; a gRPC status
        is not seen here but counted by the server. `observed`: whether the server is; it is then
        measured until all spans are sent.
        """
        self._latencies.unlink(missing_ok=True)
        before_ns = server.cpu_ns()
        with scraping(server.http if observed else ""):
            output = self._call(server, load, calls)
        if observed is not None:
            time.sleep(2 * SPANS_SENT_EVERY_S)
        cpu_ns = server.cpu_ns() - before_ns
        server.sent += calls
        done = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", output)
        finished = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", output)
        if done is None or finished is None or f"{calls} 2xx" not in output:
            raise BenchError(f"{server.variant}, {load.name}: {output}")
        if [int(n) for n in done.groups()] != [calls, calls, 0, 0]:
            raise BenchError(f"{server.variant}, {load.name}: {done.group(0)} of {calls}")
        lines = self._latencies.read_text().splitlines()
        micros = sorted(int(line.split("\t")[2]) for line in lines)
        return Measured(
            float(finished.group(1)),
            _quantile(micros, 0.50) / 1000,
            _quantile(micros, 0.99) / 1000,
            cpu_ns / calls / 1000,
        )

    def _call(self, server: Server, load: Load, calls: int) -> str:
        pinned = cores()
        command: list[str] = []
        if len(pinned) > LOAD_CORE and shutil.which("taskset"):
            command = ["taskset", "-c", str(pinned[LOAD_CORE])]
        command += [self._h2load, "-t", "1", "-n", str(calls)]
        command += ["-c", str(load.connections), "-m", str(load.calls_each)]
        command += ["-d", str(self._body), f"--log-file={self._latencies}"]
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        command += [f"http://127.0.0.1:{server.port}{METHOD}"]
        # Ten calls a second would be a server that hangs.
        timeout_s = 30 + calls / 10
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=timeout_s
            )
        except subprocess.TimeoutExpired:
            raise BenchError(
                f"{server.variant}, {load.name}: no end after {timeout_s:.0f} s"
            ) from None
        if done.returncode != 0:
            raise BenchError(f"{server.variant}, {load.name}: {done.stdout}{done.stderr}")
        return done.stdout


def _quantile(ordered: list[int], fraction: float) -> int:
    """The nearest-rank quantile."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))]
