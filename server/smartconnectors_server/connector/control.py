"""The control port of the sandboxes: what they were asked, and faults to play.

    GET    /control/{platform}/journal
    DELETE /control/{platform}/journal   answers with it, too, and forgets it
    POST   /control/{platform}/faults    {"kind": "hang", "times": 1, "delay_ms": 0, "method": ""}
    DELETE /control/{platform}/faults
    POST   /control/{platform}/spend     {"campaign_id": "1001", "day": "2026-11-24", "micros": 1}
                                         also "time_zone": the account's from now on
    POST   /control/reset

Every answer is JSON; a refusal is `{"error": "..."}`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from smartconnectors_server.connector.sandbox import Fault, FaultKind, JournalEntry, Sandbox
from smartconnectors_server.connector.spend import (
    UnreadableReport,
    day_of,
    id_of,
    time_zone_of,
    whole_micros_of,
)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Refusal(Exception):
    """The request makes no sense; the message says why."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@web.middleware
async def _errors_as_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except _Refusal as refusal:
        return web.json_response({"error": str(refusal)}, status=refusal.status)
    except web.HTTPException as error:
        return web.json_response({"error": f"{request.path}: {error.reason}"}, status=error.status)


class ControlServer:
    """One HTTP port over any number of sandboxes."""

    def __init__(self, sandboxes: Mapping[str, Sandbox]) -> None:
        """`sandboxes`: platform name -> its sandbox, started by the caller."""
        self._sandboxes = dict(sandboxes)
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens, and returns the base address, for example `http://127.0.0.1:8090`.

        Raises OSError when the port is taken.
        """
        app = web.Application(middlewares=[_errors_as_json])
        app.router.add_get("/control/{platform}/journal", self._journal)
        app.router.add_delete("/control/{platform}/journal", self._take_journal)
        app.router.add_post("/control/{platform}/faults", self._add_fault)
        app.router.add_delete("/control/{platform}/faults", self._clear_faults)
        app.router.add_post("/control/{platform}/spend", self._bill)
        app.router.add_post("/control/reset", self._reset)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = self._runner.addresses[0]
        return f"http://{bound[0]}:{bound[1]}"

    async def close(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _sandbox(self, request: web.Request) -> Sandbox:
        platform = request.match_info["platform"]
        try:
            return self._sandboxes[platform]
        except KeyError:
            known = ", ".join(sorted(self._sandboxes)) or "none"
            raise _Refusal(f"no sandbox is called {platform!r}; known: {known}", 404) from None

    async def _journal(self, request: web.Request) -> web.Response:
        return _as_json(self._sandbox(request).journal())

    async def _take_journal(self, request: web.Request) -> web.Response:
        return _as_json(self._sandbox(request).take_journal())

    async def _add_fault(self, request: web.Request) -> web.Response:
        sandbox = self._sandbox(request)
        fault = _fault_of(await _json_object(request))
        try:
            await sandbox.add_fault(fault)
        except ValueError as error:
            raise _Refusal(str(error)) from None
        return web.json_response({"kind": fault.kind.value, "times": fault.times}, status=201)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        await self._sandbox(request).clear_faults()
        return web.json_response({})

    async def _bill(self, request: web.Request) -> web.Response:
        billed = self._sandbox(request).billed
        document = await _json_object(request)
        if unknown := sorted(document.keys() - {"campaign_id", "day", "micros", "time_zone"}):
            raise _Refusal(f"unknown key {unknown[0]!r}")
        try:
            campaign_id = id_of(document.get("campaign_id"))
            day, micros = day_of(document.get("day")), whole_micros_of(document.get("micros"))
            time_zone = time_zone_of(document.get("time_zone", billed.time_zone))
        except UnreadableReport as error:
            raise _Refusal(str(error)) from None
        billed.time_zone = time_zone
        billed.bill(campaign_id, day, micros)
        return web.json_response({"day": day.isoformat(), "micros": micros}, status=201)

    async def _reset(self, _request: web.Request) -> web.Response:
        for sandbox in self._sandboxes.values():
            await sandbox.reset()
        return web.json_response({"reset": sorted(self._sandboxes)})


def _as_json(entries: Sequence[JournalEntry]) -> web.Response:
    return web.json_response([dataclasses.asdict(entry) for entry in entries])


async def _json_object(request: web.Request) -> dict[str, Any]:
    try:
        document = json.loads(await request.text())
    except (ValueError, LookupError, RecursionError):
        raise _Refusal("the body is not JSON") from None
    if not isinstance(document, dict):
        raise _Refusal("the body is not a JSON object")
    return document


def _fault_of(document: Mapping[str, Any]) -> Fault:
    """The fault that the document describes. Raises _Refusal naming the key that is wrong."""
    known = {field.name for field in dataclasses.fields(Fault)}
    if unknown := sorted(document.keys() - known):
        raise _Refusal(f"unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    kinds = [kind.value for kind in FaultKind]
    if document.get("kind") not in kinds:
        raise _Refusal(f"kind: one of {', '.join(kinds)}")
    times, delay_ms = document.get("times", 1), document.get("delay_ms", 0)
    for key, value in (("times", times), ("delay_ms", delay_ms)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise _Refusal(f"{key}: a whole number, not negative")
    method = document.get("method", "")
    if not isinstance(method, str):
        raise _Refusal("method: a method's name, or empty")
    return Fault(FaultKind(document["kind"]), times=times, delay_ms=delay_ms, method=method)
