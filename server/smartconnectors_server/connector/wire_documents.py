"""What the wire documents of all platforms have in common: how a request and its price are written
down, how an error and a quota signal are, and how a document with a fault is played.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from google.protobuf import json_format

from smartconnectors_server.call import Call, MethodSpec, Priced, Source
from smartconnectors_server.clock import SystemClock
from smartconnectors_server.connector import (
    CampaignFacts,
    Connector,
    Context,
    Mode,
    Platform,
    QuotaSignal,
    Sent,
    Traffic,
)
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind, Sandbox
from smartconnectors_server.errors import ConnectorError

Document = Mapping[str, Any]

TIMEOUT_MS = 500
"""Short, because a change that is never answered is nothing but waiting."""


def request_of(platform: Platform, document: Document) -> Any:
    """The request message. Raises KeyError for a method that the service does not have."""
    return json_format.ParseDict(document["request"], _spec(platform, document).request_class())


def priced_of(document: Document, request: Any) -> Priced:
    """The price that the document gives, else the caller's own."""
    if "bid" in request.DESCRIPTOR.fields_by_name:
        bid = request.bid
        currency_code = bid.currency_code or "USD"
        priced = Priced(bid.request_id, bid.bid_micros, bid.predicted_ltv_micros, currency_code)
    else:
        priced = Priced(request.update.request_id, 0, 0, request.update.currency_code or "USD")
    given = dict(document.get("priced", {}))
    if "source" in given:
        given["source"] = Source(given["source"])
    return dataclasses.replace(priced, **given)


def told_document(campaign: CampaignFacts) -> dict[str, Any]:
    """What is told of a campaign, without what is empty."""
    told = {**dataclasses.asdict(campaign), "knobs": list(campaign.knobs)}
    return {name: value for name, value in told.items() if value}


def error_document(error: ConnectorError) -> dict[str, Any]:
    """What a caller sees of an error."""
    said: dict[str, Any] = {"reason": error.reason, "message": error.message}
    if error.violations:
        said["field"] = error.violations[0].field
    if error.metadata:
        said["metadata"] = error.metadata
    if error.retry_after_s is not None:
        said["retry_after_s"] = error.retry_after_s
    return {"error": said}


def quota_document(*signals: QuotaSignal | None) -> dict[str, Any]:
    """What our own limits are told: one signal, or a list of several; nothing when they are told
    nothing. What a signal binds is left out when it is what was answered, for one account.
    """
    told = []
    for signal in filter(None, signals):
        one = dataclasses.asdict(signal)
        one["binds"] = [traffic.value for traffic in signal.binds]
        told.append({k: v for k, v in one.items() if v or k not in ("binds", "every_account")})
    if not told:
        return {}
    return {"quota": told[0] if len(told) == 1 else told}


async def play(platform: Platform, document: Document) -> dict[str, Any]:
    """Plays a document with a fault: the real connector, through sockets, against the sandbox.

    Returns what the caller gets, the pause that the answer orders, if any, how often the sandbox
    applied it, and what a lookup finds.
    """
    sandbox, gate = platform.sandbox(), _OpenGate()
    endpoint = await sandbox.start()
    options = platform.options.model_validate(document.get("options", {}))
    context = Context(Mode.SANDBOX, options, endpoint, TIMEOUT_MS, gate, SystemClock())
    connector = platform.connector(context)
    await connector.connect()
    try:
        return await _play(platform, document, sandbox, connector, gate)
    finally:
        await connector.close()
        await sandbox.close()


class _OpenGate:
    """Lets every read through, and remembers the last pause that the platform ordered."""

    def __init__(self) -> None:
        self.ordered: QuotaSignal | None = None

    @asynccontextmanager
    async def read(self, what: str, traffic: Traffic = Traffic.READS) -> AsyncIterator[None]:
        del traffic
        del what
        yield

    @asynccontextmanager
    async def report(self, what: str) -> AsyncIterator[None]:
        del what
        yield

    @contextmanager
    def urgent(self) -> Iterator[None]:
        yield

    def tighten(self, signal: QuotaSignal) -> None:
        if signal.retry_after_s:
            self.ordered = signal


async def _play(
    platform: Platform,
    document: Document,
    sandbox: Sandbox,
    connector: Connector,
    gate: _OpenGate,
) -> dict[str, Any]:
    request = request_of(platform, document)
    priced = priced_of(document, request)
    plan = await connector.plan(request, priced)
    given = document["fault"]
    await sandbox.add_fault(
        Fault(FaultKind(given["kind"]), delay_ms=given.get("delay_ms", 0), method=CHANGES)
    )
    spec = _spec(platform, document)
    call = Call(spec, 0, request_id=priced.request_id, priced=priced, plan=plan)
    try:
        answer = await getattr(connector, document["method"])(request, call)
        found = {"answer": json_format.MessageToDict(answer)}
    except ConnectorError as error:
        found = error_document(error)
    found |= quota_document(gate.ordered)
    await sandbox.clear_faults()
    applied = sum(entry.changes and entry.applied for entry in sandbox.journal())
    finding = await connector.lookup(Sent(request, priced, plan.target, plan.before))
    return {**found, "applied": applied, "finding": finding.value}


def _spec(platform: Platform, document: Document) -> MethodSpec:
    return MethodSpec.of(platform.service.methods_by_name[document["method"]])
