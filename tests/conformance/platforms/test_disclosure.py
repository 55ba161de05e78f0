"""What a platform is told of a bid: exactly what the table in its README says.

Each field of a bid gets a value that no other has. Every byte that the connector sends is kept on
its way, so that a value is seen wherever it went. What is only derived from a field, as a ROAS from
an LTV, is seen by what the platform took when that field alone is another.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.conformance.platforms.conftest import Bench, OpenGate

import smartconnectors_server.platforms
from smartconnectors.common.v1.bid_pb2 import BidRequest
from smartconnectors_server.clock import SystemClock
from smartconnectors_server.connector import Context, Mode
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from smartconnectors_server.connector import Platform

TITLE = "## What the platform is told"
NOWHERE = "nowhere"
PATIENCE_MS = 10_000
"""A machine that is busy with something else is not a failure of ours."""

IN_NO_TABLE = {
    "account": "names one of our own accounts, by a name that stays here",
    "campaign_id": "names the platform's own object",
    "currency_code": "is compared with the account's, and says nothing of anybody",
    "reduce_only": "says what may be done, and nothing of anybody",
    "validate_only": "says what may be done, and nothing of anybody",
}
"""Field of a bid -> why."""

FIRST: Mapping[str, Any] = {
    "request_id": "qzReqOne",
    "customer_id": "qzCustomerOne",
    "audience_id": "qzAudienceOne",
    "predicted_ltv_micros": 30_123_400,
    "bid_micros": 15_010_000,
    "explanation": {"qzKeyOne": "qzReasonOne"},
}
SECOND: Mapping[str, Any] = {
    "request_id": "qzReqTwo",
    "customer_id": "qzCustomerTwo",
    "audience_id": "qzAudienceTwo",
    "predicted_ltv_micros": 45_671_200,
    "bid_micros": 16_020_000,
    "explanation": {"qzKeyTwo": "qzReasonTwo"},
}
MARKS = {
    "request_id": (b"qzReqOne",),
    "customer_id": (b"qzCustomerOne",),
    "audience_id": (b"qzAudienceOne",),
    "predicted_ltv_micros": (b"30123400",),
    "bid_micros": (b"15010000",),
    "explanation": (b"qzKeyOne", b"qzReasonOne"),
}
"""How the first value of a field looks on a wire that takes it as it is."""


def _auction(request: Any) -> None:
    document = {"id": "a-1", "site": {}, "imp": [{"id": "i", "banner": {"w": 300, "h": 250}}]}
    request.open_rtb.bid_request_json = json.dumps(document)
    request.open_rtb.price_cpm_micros = 8_500_000


WAYS: Mapping[tuple[str, str], Callable[[Any], None]] = {("trade_desk", "`open_rtb`"): _auction}
"""(platform, column of its table) -> what makes a bid one of these; else it is the barest."""


@dataclass(frozen=True)
class Row:
    """One field, in one way to bid. `switch`: the option that leaves its value out; empty: none."""

    where: str
    switch: str


def table_of(platform: str) -> dict[str, dict[str, Row]]:
    """Way to bid -> field -> where it goes."""
    folder = Path(smartconnectors_server.platforms.__file__).parent / platform
    _, found, rest = (folder / "README.md").read_text(encoding="utf-8").partition(f"{TITLE}\n")
    assert found, f"{platform}/README.md has no part called {TITLE!r}"
    lines = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return {
        way: {row[0].strip("`"): Row(row[column], row[-1].strip("`")) for row in rows}
        for column, way in enumerate(head[1:-1], start=1)
    }


ALL_WAYS = [(name, way) for name in sorted(PLATFORMS) for way in table_of(name)]


class Tap:
    """Forwards connections to a sandbox, and keeps every byte that its client sends."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self.sent = bytearray()

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, there = await asyncio.open_connection(*self._there)
        answering = asyncio.create_task(self._copy(answers, writer))
        await self._copy(reader, there, self.sent)
        await answering

    @staticmethod
    async def _copy(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None = None
    ) -> None:
        try:
            while data := await reader.read(65536):
                if kept is not None:
                    kept += data
                writer.write(data)
        except ConnectionError:
            pass  # one side is done; the other is told so below
        writer.close()


@asynccontextmanager
async def tapped(
    platform: Platform, options: Mapping[str, Any]
) -> AsyncIterator[tuple[Bench, Tap]]:
    """A connector, its sandbox, and what listens in between."""
    sandbox = platform.sandbox()
    before, _, address = (await sandbox.start()).rpartition("//")
    host, _, port = address.rpartition(":")
    tap = Tap(host, int(port))
    listening = await asyncio.start_server(tap.forward, "127.0.0.1", 0)
    endpoint = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    endpoint = f"{before}//{endpoint}" if before else endpoint
    chosen, gate = platform.options.model_validate(options), OpenGate()
    context = Context(Mode.SANDBOX, chosen, endpoint, PATIENCE_MS, gate, SystemClock())
    connector = platform.connector(context)
    await connector.connect()
    try:
        yield Bench(platform, sandbox, connector, gate), tap
    finally:
        await connector.close()
        listening.close()
        await sandbox.close()


async def told(
    name: str, way: str, values: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[bytes, list[Any]]:
    """Every byte that was sent for a bid with these values, and what the platform took of it."""
    async with tapped(PLATFORMS[name], options) as (bench, tap):
        request = bench.request("1001", "")
        for field, value in values.items():
            if field == "explanation":
                request.bid.explanation.update(value)
            else:
                setattr(request.bid, field, value)
        WAYS.get((name, way), lambda _request: None)(request)
        await bench.send(request, *await bench.plan(request))
        changes = [e for e in bench.sandbox.journal() if e.changes and e.applied]
        assert changes
        return bytes(tap.sent), [(entry.method, dict(entry.facts)) for entry in changes]


def test_every_field_of_a_bid_is_in_every_table() -> None:
    fields = {field.name for field in BidRequest.DESCRIPTOR.fields} - IN_NO_TABLE.keys()
    assert fields == FIRST.keys() == SECOND.keys() == MARKS.keys()
    for name, way in ALL_WAYS:
        assert table_of(name)[way].keys() == fields, (name, way)


@pytest.mark.parametrize(("name", "way"), ALL_WAYS)
async def test_what_leaves_is_what_the_table_says(name: str, way: str) -> None:
    rows = table_of(name)[way]
    sent, took = await told(name, way, FIRST, {})
    for field, row in rows.items():
        _, otherwise = await told(name, way, {**FIRST, field: SECOND[field]}, {})
        goes = otherwise != took or any(mark in sent for mark in MARKS[field])
        assert goes == (row.where != NOWHERE), f"{field}: {row.where}"


@pytest.mark.parametrize(("name", "way"), ALL_WAYS)
async def test_what_a_switch_is_said_to_leave_out_is_left_out(name: str, way: str) -> None:
    rows = {f: r for f, r in table_of(name)[way].items() if r.switch and r.where != NOWHERE}
    sent, _ = await told(name, way, FIRST, {})
    for field, row in rows.items():
        option, _, value = row.switch.partition(" = ")
        assert value == "false"
        assert all(mark in sent for mark in MARKS[field]), f"{field} is not told anyway"
        without, _ = await told(name, way, FIRST, {option: False})
        assert not any(mark in without for mark in MARKS[field]), f"{field} with {row.switch}"
