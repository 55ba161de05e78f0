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
from smartconnectors_server.platforms.google_ads import PLATFORM
from smartconnectors_server.platforms.google_ads.sandbox import GoogleAdsSandbox
from smartconnectors_server.platforms.google_ads.servicer import GoogleAdsConnector
from smartconnectors_server.platforms.google_ads.wiretests import (
    error_document,
    options_of,
    priced_of,
    quota_document,
    request_of,
)

TIMEOUT_MS = 500
"""Short, because a change that is never answered is nothing but waiting."""


class _OpenGate:
    """Lets every read through, and remembers what it was told of Google's quota."""

    def __init__(self) -> None:
        self.signals: list[QuotaSignal] = []

    @asynccontextmanager
    async def read(self, what: str) -> AsyncIterator[None]:
        del what
        yield

    def tighten(self, signal: QuotaSignal) -> None:
        self.signals.append(signal)


async def play(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the caller gets, what our limits are told, how often the sandbox applied it, and what a
    lookup finds.
    """
    sandbox, gate = GoogleAdsSandbox(), _OpenGate()
    endpoint = await sandbox.start()
    options = options_of(document)
    context = Context(Mode.SANDBOX, options, endpoint, TIMEOUT_MS, gate, SystemClock())
    connector = GoogleAdsConnector(context)
    await connector.connect()
    try:
        played = await _play(document, sandbox, connector)
    finally:
        await connector.close()
        await sandbox.close()
    for signal in gate.signals:
        played |= quota_document(signal)
    return played


async def _play(
    document: Mapping[str, Any], sandbox: GoogleAdsSandbox, connector: GoogleAdsConnector
) -> dict[str, Any]:
    request = request_of(document)
    priced = priced_of(document, request)
    plan = await connector.plan(request, priced)
    given = document["fault"]
    await sandbox.add_fault(
        Fault(FaultKind(given["kind"]), delay_ms=given.get("delay_ms", 0), method=CHANGES)
    )
    spec = MethodSpec.of(PLATFORM.service.methods_by_name[document["method"]])
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
