"""Metrics, health and the dashboard over HTTP: for Prometheus, load balancers, and people.

`/healthz` says that the process answers and nothing else, so that a ledger that is away starts no
storm of restarts; `/readyz` says whether bids are admitted, and which platforms are not as they
should be (`/readyz?verbose`: how each of them is).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from smartconnectors_server.access import Gatekeeper
from smartconnectors_server.clock import Clock
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.http.desk import Desk, Pauses, refused
from smartconnectors_server.http.live import Live
from smartconnectors_server.ratelimit import Slots
from smartconnectors_server.settings import HttpSettings
from smartconnectors_server.telemetry import Metrics

STOPPED_WITHIN_S = 1.0
_DASHBOARD = Path(__file__).with_name("dashboard.html")


class Pages:
    """The HTTP port."""

    def __init__(
        self,
        metrics: Metrics,
        ready: Callable[[], bool],
        states: Callable[[], Mapping[str, str]],
        picture: Callable[[], dict[str, Any]],
        clock: Clock,
        gatekeeper: Gatekeeper,
        pauses: Pauses,
        viewers: Slots,
    ) -> None:
        """`states`: platform -> how it is; `picture`: what the dashboard shows now; `pauses`: who
        pauses and resumes for it; `viewers`: how many event streams there may be, by caller.
        """
        self._metrics = metrics
        self._viewers = viewers
        self._ready = ready
        self._states = states
        guarded = {"guarded": not gatekeeper.open}
        self._live = Live(lambda: {**picture(), **guarded}, clock)
        self._desk = Desk(gatekeeper, pauses)
        self._runner: web.AppRunner | None = None
        self._dashboard = _DASHBOARD.read_text(encoding="utf-8")
        self._headers = _headers_for(self._dashboard)

    async def start(self, settings: HttpSettings) -> str:
        """Listens; returns `host:port`, or nothing when HTTP is switched off. Raises OSError."""
        if not settings.enabled:
            return ""
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/events", self._events)
        app.router.add_post("/pause", self._desk.pause)
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
        """Ends what is watched, and stops listening."""
        self._live.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._dashboard, content_type="text/html", headers=self._headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        try:
            caller = self._desk.reader(request)
            with contextlib.nullcontext() if caller is None else self._viewers.of(caller.name):
                return await self._stream(request)
        except ConnectorError as error:
            return refused(error)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        # Who closes a page hangs up in the middle of it.
        with contextlib.suppress(ConnectionResetError):
            async for event in self._live.events():
                await response.write(event)
        return response

    async def _exposition(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readiness(self, request: web.Request) -> web.Response:
        """A state in one word for each platform: whoever asks need not be known, so no reasons."""
        ready = self._ready()
        lines = ["ready" if ready else "nothing is admitted"]
        lines += [
            f"{name}: {state}"
            for name, state in self._states().items()
            if "verbose" in request.query or state != "operational"
        ]
        text = "".join(f"{line}\n" for line in lines)
        return web.Response(status=200 if ready else 503, text=text)


def _headers_for(page: str) -> dict[str, str]:
    """Lets the page run what stands in it and nothing else, and load nothing from elsewhere."""
    script, style = (_hash_of(page, tag) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def _hash_of(page: str, tag: str) -> str:
    found = re.search(f"<{tag}>(.*)</{tag}>", page, re.DOTALL)
    assert found is not None
    digest = hashlib.sha256(found[1].encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
