"""Plays a document with a fault: the real connector, through sockets, against the sandbox."""

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
from smartconnectors_server.platforms import meta
from smartconnectors_server.platforms.meta.options import MetaOptions
from smartconnectors_server.platforms.meta.sandbox import MetaSandbox
from smartconnectors_server.platforms.meta.servicer import MetaConnector
from smartconnectors_server.platforms.meta.wiretests import (
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
    """What the caller gets, how often the sandbox applied it, and what a lookup finds."""
    sandbox = MetaSandbox()
    endpoint = await sandbox.start()
    options = MetaOptions.model_validate(document.get("options", {}))
    context = Context(Mode.SANDBOX, options, endpoint, TIMEOUT_MS, _OpenGate(), SystemClock())
    connector = MetaConnector(context)
    await connector.connect()
    try:
        return await _play(document, sandbox, connector)
    finally:
        await connector.close()
        await sandbox.close()


async def _play(
    document: Mapping[str, Any], sandbox: MetaSandbox, connector: MetaConnector
) -> dict[str, Any]:
    request = request_of(document)
    priced = priced_of(document, request)
    plan = await connector.plan(request, priced)
    given = document["fault"]
    await sandbox.add_fault(
        Fault(FaultKind(given["kind"]), delay_ms=given.get("delay_ms", 0), method=CHANGES)
    )
    spec = MethodSpec.of(meta.PLATFORM.service.methods_by_name[document["method"]])
    call = Call(spec, 0, request_id=priced.request_id, priced=priced, plan=plan)
    try:
        answer = await getattr(connector, document["method"])(request, call)
        found = {"answer": json_format.MessageToDict(answer)}
    except ConnectorError as error:
        found = error_document(error)
    await sandbox.clear_faults()
    applied = sum(entry.changes and entry.applied for entry in sandbox.journal())
    finding = await connector.lookup(Sent(request, priced, plan.target, plan.before))
    return {**found, "applied": applied, "finding": finding.value}
