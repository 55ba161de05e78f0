"""A short soak from beginning to end: what `make soak` runs for hours."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.soak.report import document_of
from tests.soak.run import Outcome, Plan, soak


@pytest.mark.soak
async def test_half_a_minute_of_load_and_faults_loses_nothing_and_leaves_nothing_held(
    tmp_path: Path,
) -> None:
    outcomes: list[Outcome] = []
    await soak(Plan(minutes=0.5, bids_per_s=20, seed=1), tmp_path, outcomes.append)
    document = document_of(outcomes[0])
    assert (document["complete"], document["failures"], document["examples"]) == (True, [], [])
    assert document["bids"]["told_placed"] == document["bids"]["applied"] > 100
    assert document["bids"]["told_nothing_final"] == document["open_holds"] == 0
    assert document["answers"]["OVERLOADED"] > 0
