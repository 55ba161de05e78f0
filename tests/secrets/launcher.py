"""`smart-connectors` in a world of its own: every name leads to the echo on this machine, and the
libraries log all they can.

    launcher.py HTTPS_PORT ARGUMENTS...
    launcher.py HTTPS_PORT crash CONFIG     a server whose connectors fail in a way nobody foresaw
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvloop

from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.cli import run
from smartconnectors_server.cli.serving import ready_line
from smartconnectors_server.connector import Context, Platform
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.telemetry.setup import configure_logging

HTTPS = 443
TALKATIVE = ("aiohttp", "asyncio", "google", "grpc", "opentelemetry", "requests", "urllib3")


class Failing:
    """A connector that trips over something with all its settings at hand."""

    def __init__(self, context: Context, inner: Any) -> None:
        self._context = context
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def plan(self, request: Any, priced: Any) -> Any:
        if request.bid.campaign_id == "1001":
            self._trip(request)
        return await self._inner.plan(request, priced)

    async def PlaceBid(self, request: Any, call: Any) -> Any:  # noqa: N802
        call.dispatched = True
        self._trip(request)

    def _trip(self, request: Any) -> None:
        secrets = {
            name: value.get_secret_value()
            for name, value in self._context.options
            if hasattr(value, "get_secret_value")
        }
        assert any(secrets.values())
        raise RuntimeError(f"nobody foresaw this: {self._context} {len(request.bid.campaign_id)}")


def failing(platform: Platform) -> Platform:
    """The platform with a connector that fails."""
    make = platform.connector
    return dataclasses.replace(platform, connector=lambda context: Failing(context, make(context)))


async def crash(config: Path) -> None:
    """Serves until SIGTERM."""
    settings = load_settings(config)
    configure_logging(settings.server.log_format)
    app = Application(settings, platforms={n: failing(p) for n, p in PLATFORMS.items()})
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    ready = await app.start()
    await app.tried()
    print(ready_line(ready, True), flush=True)  # noqa: T201
    await stopped.wait()
    await app.stop()


def main(echo_port: int, arguments: list[str]) -> int:
    """The exit code of the command."""
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        outside = port == HTTPS
        return real(
            "127.0.0.1" if outside else host, echo_port if outside else port, *rest, **named
        )

    socket.getaddrinfo = resolve
    # uvloop resolves names by itself.
    uvloop.run = asyncio.run  # type: ignore[assignment]
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.DEBUG)
    if arguments[0] == "crash":
        asyncio.run(crash(Path(arguments[1])), debug=True)
        return 0
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
