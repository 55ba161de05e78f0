"""Plays a document with a fault through sockets: our connector here, the sandbox there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf import json_format

from smartconnectors_server.call import Call, MethodSpec
from smartconnectors_server.clock import SystemClock
from smartconnectors_server.connector import Context, Mode, QuotaSignal, Sent
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.platforms.trade_desk import PLATFORM
from smartconnectors_server.platforms.trade_desk.sandbox import TradeDeskSandbox
from smartconnectors_server.platforms.trade_desk.servicer import TradeDeskConnector
from smartconnectors_server.platforms.trade_desk.wiretests import (
    error_document,
    priced_of,
    request_of,
)

TIMEOUT_MS = 300


class _OpenGate:
    """Lets every read through."""

    @asynccontextmanager
    async def read(self, what: str) -> AsyncIterator[None]:
        del what
        yield

    def tighten(self, signal: QuotaSignal) -> None:
        del signal


async def play(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the fault makes of the document's request, and what a lookup then finds."""
    clock = SystemClock()
    sandbox = TradeDeskSandbox(clock)
    endpoint = await sandbox.start()
    options = PLATFORM.options.model_validate(document.get("options", {}))
    context = Context(Mode.SANDBOX, options, endpoint, TIMEOUT_MS, _OpenGate(), clock)
    connector = TradeDeskConnector(context)
    await connector.connect()
    try:
        return await _play(document, sandbox, connector)
    finally:
        await connector.close()
        await sandbox.close()


async def _play(
    document: Mapping[str, Any], sandbox: TradeDeskSandbox, connector: TradeDeskConnector
) -> dict[str, Any]:
    request = request_of(document)
    priced = priced_of(document, request)
    plan = await connector.plan(request, priced)
    fault = document["fault"]
    await sandbox.add_fault(
        Fault(FaultKind(fault["kind"]), delay_ms=fault.get("delay_ms", 0), method=CHANGES)
    )
    method = document["method"]
    spec = MethodSpec.of(PLATFORM.service.methods_by_name[method])
    call = Call(spec, 0, priced=priced, plan=plan)
    try:
        answer = await getattr(connector, method)(request, call)
        found = {"answer": json_format.MessageToDict(answer)}
    except ConnectorError as error:
        found = error_document(error)
    await sandbox.clear_faults()
    finding = await connector.lookup(Sent(request, priced, plan.target, plan.before))
    applied = sum(entry.changes and entry.applied for entry in sandbox.journal())
    return {**found, "applied": applied, "finding": finding.value}
