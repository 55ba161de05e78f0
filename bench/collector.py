"""Who looks at a server: an OTLP collector as a process, and a scrape of its metrics each second.

Both stand on the load generator's core, so that a server pays only for being looked at.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

ROOT = Path(__file__).resolve().parent.parent
CORE = 1
SCRAPE_EVERY_S = 1.0
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def _stay_on_the_other_core() -> None:
    """The calling thread alone, where that can be said."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[min(CORE, len(cores) - 1)]})


@contextlib.contextmanager
def collecting() -> Iterator[str]:
    """A collector; where it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.collector"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def scraping(http: str) -> Iterator[None]:
    """Scrapes each second, as Prometheus would, from the middle of the first on: as often as there
    are seconds. Not at all without an address.
    """
    ended = threading.Event()

    def scrape() -> None:
        _stay_on_the_other_core()
        request = urllib.request.Request(f"http://{http}/metrics", headers={"Accept": OPENMETRICS})
        wait_s = SCRAPE_EVERY_S / 2
        while not ended.wait(wait_s):
            with urllib.request.urlopen(request, timeout=30) as page:
                page.read()
            wait_s = SCRAPE_EVERY_S

    thread = threading.Thread(target=scrape)
    if http:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if http:
            thread.join()


class _Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name on the wire
        """Takes spans and forgets them."""
        del request, context
        return trace_service_pb2.ExportTraceServiceResponse()


def main() -> None:
    """Collects until it is killed."""
    _stay_on_the_other_core()
    server = grpc.server(ThreadPoolExecutor(1))
    register: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    register(_Collector(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
