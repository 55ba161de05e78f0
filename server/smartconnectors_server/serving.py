"""A server as a process: from settings to signals."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from smartconnectors_server import failpoints
from smartconnectors_server.app import Application, Ready
from smartconnectors_server.http import Pages
from smartconnectors_server.picture import picture, states
from smartconnectors_server.settings import Settings
from smartconnectors_server.startup import StartupError, check_host, warn_if_open
from smartconnectors_server.telemetry import configure_logging

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
    )


async def _first_of(*works: Coroutine[Any, Any, Any]) -> None:
    """Returns when one of them has ended; the others are given up."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def serve(
    settings: Settings,
    *,
    on_ready: Callable[[Ready], None],
    read_again: Callable[[], Settings] | None = None,
) -> None:
    """Runs until SIGTERM or SIGINT, then drains. `on_ready` is called once every platform has been
    tried, as health tells it; calls are taken before. SIGHUP: takes what `read_again` returns.

    Raises StartupError when it cannot start.
    """
    check_host(settings.server)
    configure_logging(settings.server.log_format)
    warn_if_open(settings)
    failpoints.arm(settings.server.failpoint)
    application = Application(settings)
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    ready = await application.start()
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
    await _first_of(application.tried(), asked_to_stop.wait())
    if not asked_to_stop.is_set():
        on_ready(dataclasses.replace(ready, http_address=http_address))
    await asked_to_stop.wait()
    log.info("draining (process %d)", os.getpid())
    await application.stop()
    await pages.stop()
