"""Metrics, health and the dashboard over HTTP: for Prometheus, load balancers, and people.

`/healthz` says that the process answers and nothing else, so that a ledger that is away starts no
storm of restarts; `/readyz` says whether bids are admitted, and which platforms are not as they
should be (`/readyz?verbose`: how each of them is).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from smartconnectors_server.access import Gatekeeper, Refusals
from smartconnectors_server.clock import Clock
from smartconnectors_server.errors import ConnectorError, Overloaded, PermissionDenied
from smartconnectors_server.http.certificates import Certificates
from smartconnectors_server.http.connections import Connections, HttpRules, counted
from smartconnectors_server.http.desk import Desk, Pauses, refused
from smartconnectors_server.http.hosts import check_host_header
from smartconnectors_server.http.live import Live, ended
from smartconnectors_server.http.quiet import QuietLog
from smartconnectors_server.settings import HttpSettings
from smartconnectors_server.telemetry import Metrics

STOPPED_WITHIN_S = 1.0
BACKLOG = 32
"""Connections that the system accepts before this server has seen them."""
MOST_CONNECTIONS = 256
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
        refusals: Refusals,
        *,
        connections: int = MOST_CONNECTIONS,
        rules: HttpRules | None = None,
    ) -> None:
        """`states`: platform -> how it is; `picture`: what the dashboard shows now; `pauses`: who
        pauses and resumes for it; `connections`: the most at once, unless the settings say it.
        """
        self._metrics = metrics
        self._ready = ready
        self._states = states
        self._clock = clock
        self._gatekeeper = gatekeeper
        self._most_connections = connections
        self._rules = rules
        guarded = {"guarded": not gatekeeper.open}
        self._live = Live(lambda: {**picture(), **guarded}, clock)
        self._desk = Desk(gatekeeper, pauses, refusals)
        self._viewers: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._timing: asyncio.Task[None] | None = None
        self._settings = HttpSettings()
        self._dashboard = _DASHBOARD.read_text(encoding="utf-8")
        self._headers = _headers_for(self._dashboard)

    async def start(self, settings: HttpSettings) -> str:
        """Listens; returns `host:port`, or nothing when HTTP is switched off. Raises OSError, and
        StartupError for a certificate that cannot be used.
        """
        if not settings.enabled:
            return ""
        self._settings = settings
        certificates = None if settings.tls is None else Certificates(settings.tls, self._clock)
        self._connections = Connections(
            settings.max_connections or self._most_connections,
            self._clock,
            partial(self._metrics.turned_away, "http"),
            self._rules,
        )
        app = web.Application(middlewares=[counted(self._connections)])
        app.router.add_get("/", self._page)
        app.router.add_get("/events", self._events)
        app.router.add_post("/pause", self._desk.pause)
        app.router.add_get("/metrics", self._exposition)
        app.router.add_get("/healthz", self._alive)
        app.router.add_get("/readyz", self._readiness)
        quiet: Any = QuietLog(logging.getLogger(__name__), self._clock)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=STOPPED_WITHIN_S, logger=quiet
        )
        await self._runner.setup()
        make: Any = self._runner.server
        encryption = None if certificates is None else certificates.context
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: self._connections.protocol(make, encryption),
                settings.host,
                settings.port,
                backlog=BACKLOG,
            )
        except BaseException:
            await self.stop()
            raise
        self._timing = asyncio.create_task(self._connections.run(), name="http connections")
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Ends what is watched, and stops listening."""
        self._live.close()
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._timing is not None:
            self._timing.cancel()
            self._timing = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            self._connections.close()

    def _check_name(self, request: web.Request) -> None:
        """Raises PermissionDenied for a name that another site could have, unless a token is needed
        here, which no other site's page has.
        """
        try:
            check_host_header(
                request.headers.get("Host", ""), self._settings.host, self._settings.allowed_hosts
            )
        except PermissionDenied as error:
            self._desk.log_refusal(request, "", error)
            raise

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._dashboard, content_type="text/html", headers=self._headers)

    @contextlib.contextmanager
    def _viewer(self, request: web.Request) -> Iterator[None]:
        """One of those who watch. Raises ConnectorError."""
        if self._gatekeeper.open:
            self._check_name(request)
        caller = self._desk.reader(request)
        viewer = f"token {caller.name}" if caller is not None else f"address {request.remote}"
        most = self._settings.max_event_streams
        if self._viewers.total() >= most or self._viewers[viewer] >= max(1, most // 2):
            raise Overloaded(
                f"the dashboard is watched by as many as this server takes, {most} in total and "
                "half of them for one token or address; close some, or raise http.max_event_streams"
            )
        self._viewers[viewer] += 1
        try:
            yield
        finally:
            self._viewers[viewer] -= 1
            if not self._viewers[viewer]:
                del self._viewers[viewer]

    async def _events(self, request: web.Request) -> web.StreamResponse:
        try:
            with self._viewer(request):
                return await self._watched(request)
        except ConnectorError as error:
            return refused(error)

    async def _watched(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        connection = self._connections.of(request)
        # Who closes a page hangs up in the middle of it.
        with contextlib.suppress(ConnectionResetError):
            async for event in self._live.events():
                if connection is None:
                    break
                last = self._why_no_more(request)
                connection.writes()
                await response.write(last or event)
                connection.streams()
                if last:
                    break
        return response

    def _why_no_more(self, request: web.Request) -> bytes:
        """The last event for a viewer whose token was revoked, restricted, or has expired since."""
        try:
            self._desk.reader(request)
        except ConnectorError as error:
            return ended(error.reason)
        return b""

    async def _exposition(self, request: web.Request) -> web.Response:
        try:
            if self._settings.metrics_require_token:
                self._desk.reader(request)
            else:
                self._check_name(request)
        except ConnectorError as error:
            return refused(error)
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
