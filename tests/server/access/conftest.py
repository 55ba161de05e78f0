"""Servers that ask who calls, started and stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.access.stage import application

from smartconnectors_server.app import Application
from smartconnectors_server.clock import ManualClock


class Servers:
    """Starts servers and says where they listen."""

    def __init__(self, directory: Path, clock: ManualClock) -> None:
        self._directory = directory
        self._clock = clock
        self.running: list[Application] = []

    async def __call__(self, **chosen: Any) -> str:
        app = application(self._directory, self._clock, **chosen)
        address = (await app.start()).grpc_address
        await app.tried()
        self.running.append(app)
        return address


@pytest.fixture
async def serve(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Servers]:
    """Its own state directory, and a clock that a test moves."""
    servers = Servers(tmp_path, clock)
    yield servers
    for app in servers.running:
        await app.stop()
