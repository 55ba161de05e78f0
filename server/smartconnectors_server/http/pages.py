"""Metrics and health over HTTP: for Prometheus, load balancers and orchestrators.

`/healthz` says that the process answers and nothing else, so that a ledger that is away starts no
storm of restarts; `/readyz` says whether bids are admitted.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from smartconnectors_server.settings import HttpSettings
from smartconnectors_server.telemetry import Metrics

STOPPED_WITHIN_S = 1.0


class Pages:
    """The HTTP port."""

    def __init__(self, metrics: Metrics, ready: Callable[[], bool]) -> None:
        self._metrics = metrics
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self, settings: HttpSettings) -> str:
        """Listens; returns `host:port`, or nothing when HTTP is switched off. Raises OSError."""
        if not settings.enabled:
            return ""
        app = web.Application()
        app.router.add_get("/metrics", self._exposition)
        app.router.add_get("/healthz", self._alive)
        app.router.add_get("/readyz", self._readiness)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOPPED_WITHIN_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, settings.host, settings.port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _exposition(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readiness(self, _request: web.Request) -> web.Response:
        if self._ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="nothing is admitted\n")
