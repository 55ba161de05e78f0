"""Servers with access control, as an attacker meets them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.access.conftest import Servers
from tests.server.access.stage import entry

from smartconnectors_server.clock import ManualClock


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """A tokens file: `reader`, `bidder` and `operator`, whose tokens are their roles."""
    path = tmp_path / "tokens.toml"
    path.write_text("".join(entry(role, role, f"{role}-er") for role in ("read", "bid", "operate")))
    return path


@pytest.fixture
async def serve(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Servers]:
    """Starts servers, with a clock that a test moves."""
    servers = Servers(tmp_path, clock)
    yield servers
    for app in servers.running:
        await app.stop()


@pytest.fixture
def guarded(tokens: Path) -> dict[str, Any]:
    """`[access]` with that file."""
    return {"tokens_file": str(tokens)}
