"""Real servers in hardship: a few of the runs that `make chaos` does."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.chaos.hardships import HARDSHIPS, possible_here
from tests.chaos.run import run
from tests.crash.campaign import started_sandboxes


@pytest.mark.parametrize("hardship", HARDSHIPS)
async def test_a_server_in_hardship_loses_doubles_and_overshoots_nothing(
    tmp_path: Path, hardship: str
) -> None:
    if not possible_here(hardship):
        pytest.skip("this machine allows no control group for threads")
    async with started_sandboxes() as sandboxes:
        result = await run(1, hardship, sandboxes, tmp_path / "run")
    assert not result.findings, result
    assert result.applied > 0
