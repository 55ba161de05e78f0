"""Fails unless an installed server starts, takes a call, shows its dashboard and drains: what a
wheel has to do.

    python .ci/serves.py build/wheel-check/bin

The argument is the `bin` folder of the environment that it is installed in. Runs in an empty
directory with an empty environment, so that nothing of the checkout can help.
"""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

READY_WITHIN_S = 30
DRAINED_WITHIN_S = 30
ASK = """
import sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(sys.argv[1]))
answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
sys.exit(answer.status != health_pb2.HealthCheckResponse.SERVING)
"""


def addresses_when_ready(server: subprocess.Popen[str]) -> tuple[str, str]:
    """Where the server says it listens, for gRPC and HTTP. Raises SystemExit when it says none."""
    assert server.stdout is not None
    readable, _, _ = select.select([server.stdout], [], [], READY_WITHIN_S)
    line = server.stdout.readline() if readable else ""
    if not line:
        raise SystemExit(f"the server was not ready within {READY_WITHIN_S} s")
    ready = json.loads(line)
    return str(ready["grpc"]), str(ready["http"])


def check_dashboard(http: str) -> None:
    """Raises SystemExit unless the page is served, and the figures that it shows."""
    with urllib.request.urlopen(f"http://{http}/", timeout=10) as page:
        if b"<title>Smart connectors</title>" not in page.read():
            raise SystemExit("the dashboard is not at /")
    with urllib.request.urlopen(f"http://{http}/events", timeout=10) as events:
        picture = json.loads(events.readline().removeprefix(b"data: "))
    if not picture["platforms"]:
        raise SystemExit("the dashboard has no platform to show")


def main() -> int:
    """Starts, asks, stops; returns the exit code."""
    folder = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as empty:
        started = time.perf_counter()
        server = subprocess.Popen(
            [
                folder / "smart-connectors",
                "serve",
                "--grpc-port=0",
                "--http-port=0",
                "--log-format=json",
            ],
            cwd=empty,
            env={"PATH": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            address, http = addresses_when_ready(server)
            ready_s = time.perf_counter() - started
            subprocess.run([folder / "python", "-c", ASK, address], cwd=empty, check=True)
            check_dashboard(http)
            server.send_signal(signal.SIGTERM)
            code = server.wait(DRAINED_WITHIN_S)
        finally:
            server.kill()
    if code != 0:
        print(f"SIGTERM ended the server with exit code {code}", file=sys.stderr)
        return 1
    print(f"ready in {ready_s:.1f} s at {address}, healthy, dashboard shown, drained on SIGTERM")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
