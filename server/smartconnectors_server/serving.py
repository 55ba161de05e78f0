"""A server as a process: from settings to signals."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from smartconnectors_server import failpoints
from smartconnectors_server.app import Application, Ready
from smartconnectors_server.checks import check_start
from smartconnectors_server.clock import Clock
from smartconnectors_server.http import Pages
from smartconnectors_server.ledger import NO_ADOPTION, Adoption
from smartconnectors_server.picture import picture, states
from smartconnectors_server.ratelimit import Slots
from smartconnectors_server.settings import Settings
from smartconnectors_server.startup import StartupError, hint_in_container, warn_if_open
from smartconnectors_server.telemetry import configure_logging
from smartconnectors_server.threads import NoThread, Pool, is_shortage, started

WORKERS = 4
"""Threads for what would stop the loop: reading settings and tokens, importing libraries."""
MOST_DASHBOARDS = 1000
"""Event streams of all callers together."""

Started = TypeVar("Started")

log = logging.getLogger(__name__)


def pages_of(application: Application) -> Pages:
    """What a server shows over HTTP."""
    core = application.core
    return Pages(
        application.telemetry.metrics,
        lambda: application.ready,
        lambda: states(core.engines),
        lambda: picture(core.engines, core.ledger.alerts, ready=application.ready),
        core.engines.clock,
        core.auth.gatekeeper,
        core.keeper,
        _viewers(core.engines.settings, core.engines.clock),
    )


def _viewers(settings: Settings, clock: Clock) -> Slots:
    """Event streams of the dashboard; without access control they are not counted by caller."""
    each = None if settings.access is None else settings.access.max_dashboards_per_caller
    return Slots(
        "dashboards are open",
        "http/dashboards",
        clock.monotonic_ns,
        most=MOST_DASHBOARDS,
        most_each=each,
    )


async def start_threads(loop: asyncio.AbstractEventLoop, pool: Pool = started) -> None:
    """Starts the threads of the loop itself, so that nothing waits later for one that the system
    does not give. Raises NoThread.
    """
    loop.set_default_executor(pool(WORKERS, "work"))
    with contextlib.suppress(OSError):
        # Of what resolves names; no name is, because this one would have to be a number.
        await loop.getaddrinfo("localhost", None, flags=socket.AI_NUMERICHOST)


async def unless_stopped(
    start: Coroutine[Any, Any, Started], stop: asyncio.Event
) -> Started | None:
    """What `start` returns. None: `stop` was set first, and what had been started is closed again.
    Raises what `start` raises.
    """
    starting, stopping = asyncio.ensure_future(start), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if not starting.done():
        starting.cancel()
    try:
        return await starting
    except asyncio.CancelledError:
        if stop.is_set():
            return None
        raise


async def serve(
    settings: Settings,
    *,
    on_ready: Callable[[Ready], None],
    read_again: Callable[[], Settings] | None = None,
    adoption: Adoption = NO_ADOPTION,
    pool: Pool = started,
) -> None:
    """Runs until SIGTERM or SIGINT, then drains. SIGHUP: takes what `read_again` returns.
    `adoption`: as `Application.start` has it. `pool` makes the threads of the loop.

    Raises StartupError when it cannot start.
    """
    configure_logging(settings.server.log_format)
    check_start(settings)
    warn_if_open(settings)
    failpoints.arm(settings.server.failpoint)
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    try:
        await start_threads(loop, pool)
        application = Application(settings)
        ready = await unless_stopped(application.start(adoption), asked_to_stop)
    except (RuntimeError, NoThread) as error:
        if not is_shortage(error):
            raise
        told = error if isinstance(error, NoThread) else NoThread("the server")
        raise StartupError(str(told)) from error
    if ready is None:
        log.info("stopped while starting (process %d)", os.getpid())
        return
    pages = pages_of(application)
    try:
        http_address = await pages.start(settings.http)
    except OSError as error:
        await application.stop()
        raise StartupError(
            f"cannot listen on {settings.http.host}:{settings.http.port} for HTTP: "
            f"{error.strerror or error}. Give it another --http-port."
        ) from None
    if read_again is not None:
        loop.add_signal_handler(signal.SIGHUP, application.core.reloader.ask, read_again)
    hint_in_container(settings)
    on_ready(dataclasses.replace(ready, http_address=http_address))
    await asked_to_stop.wait()
    log.info("draining (process %d)", os.getpid())
    await application.stop()
    await pages.stop()
