"""Real servers, killed in the middle of things: a few of the runs that `make crash` does."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.campaign import run_until_reached, started_sandboxes
from tests.crash.mixes import ANYWHEN

POINTS = (
    "reserve_after_commit",
    "settle_before_commit",
    "dispatch_after_commit",
    "resolve_by_reconciler_in_memory",
    ANYWHEN,
)


@pytest.mark.parametrize("point", POINTS)
async def test_a_server_that_dies_under_load_loses_doubles_and_overshoots_nothing(
    tmp_path: Path, point: str
) -> None:
    async with started_sandboxes() as sandboxes:
        result = await run_until_reached(1, point, sandboxes, tmp_path / "run")
    assert result is not None, f"{point} was not reached"
    assert not result.findings, result
    assert result.applied > 0
