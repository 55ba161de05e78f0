"""The control port, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import aiohttp
import pytest

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector.control import ControlServer
from smartconnectors_server.connector.sandbox import Billed, Fault, FaultKind, Journal, JournalEntry


class Recorder:
    """A sandbox of which only what the control port uses is there."""

    def __init__(self, clock: ManualClock) -> None:
        self.kept = Journal(clock)
        self.faults: list[Fault] = []
        self.resets = 0
        self.billed = Billed()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        return f"{host}:{port}"

    async def close(self) -> None:
        return None

    def journal(self) -> tuple[JournalEntry, ...]:
        return self.kept.read()

    def take_journal(self) -> tuple[JournalEntry, ...]:
        return self.kept.take()

    async def add_fault(self, fault: Fault) -> None:
        if fault.kind is FaultKind.DUPLICATE:
            raise ValueError("duplicate cannot be played here")
        self.faults.append(fault)

    async def clear_faults(self) -> None:
        self.faults.clear()

    async def reset(self) -> None:
        self.resets += 1


class Client:
    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def ask(self, method: str, path: str, document: Any = None) -> tuple[int, Any]:
        url = f"{self._base}{path}"
        data = document if isinstance(document, str) else None
        body = None if isinstance(document, str) else document
        async with self._session.request(method, url, json=body, data=data) as response:
            return response.status, await response.json()


@pytest.fixture
def sandbox(clock: ManualClock) -> Recorder:
    return Recorder(clock)


@pytest.fixture
async def client(sandbox: Recorder) -> AsyncIterator[Client]:
    server = ControlServer({"google_ads": sandbox})
    base = await server.start()
    async with aiohttp.ClientSession() as session:
        yield Client(session, base)
    await server.close()


async def test_the_journal_is_a_list_of_wire_facts(client: Client, sandbox: Recorder) -> None:
    sandbox.kept.append("Mutate", changes=True, applied=True, facts={"target_roas": 2.0})
    status, journal = await client.ask("GET", "/control/google_ads/journal")
    assert status == 200
    assert [(entry["sequence"], entry["method"], entry["facts"]) for entry in journal] == [
        (1, "Mutate", {"target_roas": 2.0})
    ]


async def test_a_journal_that_is_taken_away_is_told_once_and_goes_on_counting(
    client: Client, sandbox: Recorder
) -> None:
    numbers = []
    for _ in range(2):
        sandbox.kept.append("Mutate", changes=True, applied=True, facts={})
        _, journal = await client.ask("DELETE", "/control/google_ads/journal")
        numbers.append([entry["sequence"] for entry in journal])
    assert numbers == [[1], [2]]
    assert await client.ask("GET", "/control/google_ads/journal") == (200, [])


async def test_a_fault_is_played(client: Client, sandbox: Recorder) -> None:
    document = {"kind": "slow", "times": 3, "delay_ms": 40, "method": "change"}
    status, _ = await client.ask("POST", "/control/google_ads/faults", document)
    assert status == 201
    assert sandbox.faults == [Fault(FaultKind.SLOW, 3, 40, "change")]


async def test_faults_are_taken_back(client: Client, sandbox: Recorder) -> None:
    await client.ask("POST", "/control/google_ads/faults", {"kind": "hang"})
    status, _ = await client.ask("DELETE", "/control/google_ads/faults")
    assert status == 200
    assert sandbox.faults == []


async def test_a_reset_resets_every_sandbox(client: Client, sandbox: Recorder) -> None:
    status, answer = await client.ask("POST", "/control/reset")
    assert (status, answer) == (200, {"reset": ["google_ads"]})
    assert sandbox.resets == 1


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"kind": "explode"}, "kind: one of refuse, hang"),
        ({}, "kind: one of"),
        ({"kind": "hang", "time": 1}, "unknown key 'time'"),
        ({"kind": "hang", "times": "2"}, "times: a whole number"),
        ({"kind": "hang", "times": True}, "times: a whole number"),
        ({"kind": "hang", "delay_ms": -1}, "delay_ms: a whole number"),
        ({"kind": "hang", "method": 7}, "method:"),
        ({"kind": "duplicate"}, "cannot be played here"),
        ([1], "not a JSON object"),
        ("{", "not JSON"),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused_with_a_reason(
    client: Client, sandbox: Recorder, document: Any, words: str
) -> None:
    status, answer = await client.ask("POST", "/control/google_ads/faults", document)
    assert status == 400
    assert words in answer["error"]
    assert sandbox.faults == []


async def test_an_unknown_platform_is_named(client: Client) -> None:
    status, answer = await client.ask("GET", "/control/bing/journal")
    assert status == 404
    assert answer["error"] == "no sandbox is called 'bing'; known: google_ads"


async def test_an_unknown_path_is_json_too(client: Client) -> None:
    status, answer = await client.ask("GET", "/nowhere")
    assert status == 404
    assert answer["error"] == "/nowhere: Not Found"


async def test_a_sandbox_bills_what_it_is_told_to(client: Client, sandbox: Recorder) -> None:
    document = {"campaign_id": "1001", "day": "2026-11-24", "micros": 5, "time_zone": "Asia/Tokyo"}
    status, answer = await client.ask("POST", "/control/google_ads/spend", document)
    assert (status, answer) == (201, {"day": "2026-11-24", "micros": 5})
    assert sandbox.billed.micros == {("1001", date(2026, 11, 24)): 5}
    assert sandbox.billed.time_zone == "Asia/Tokyo"


@pytest.mark.parametrize(
    "changed",
    [
        {"campaign_id": ""},
        {"day": "yesterday"},
        {"micros": 1.5},
        {"micros": True},
        {"time_zone": "Nowhere"},
        {"currency": "USD"},
    ],
)
async def test_a_bill_that_makes_no_sense_is_refused(
    client: Client, sandbox: Recorder, changed: dict[str, Any]
) -> None:
    document = {"campaign_id": "1001", "day": "2026-11-24", "micros": 5, **changed}
    status, answer = await client.ask("POST", "/control/google_ads/spend", document)
    assert status == 400
    assert answer["error"]
    assert sandbox.billed.micros == {}
