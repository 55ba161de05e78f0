"""What every platform promises of pausing a campaign. Its sandbox is asked by resuming: that tells
whether the campaign was paused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smartconnectors_server.connector import Finding
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind
from smartconnectors_server.errors import OutcomeUnknown, PlatformUnavailable, UnknownTarget

if TYPE_CHECKING:
    from tests.conformance.platforms.conftest import Bench


async def test_a_campaign_is_paused_at_the_platform_until_it_is_resumed(bench: Bench) -> None:
    paused = await bench.set_paused("1001", paused=True)
    assert (paused.campaign_id, paused.paused, paused.changed) == ("1001", True, True)
    assert bench.applied() == 1
    resumed = await bench.set_paused("1001", paused=False)
    assert (resumed.campaign_id, resumed.paused, resumed.changed) == ("1001", False, True)
    assert bench.applied() == 2
    changes = [entry for entry in bench.sandbox.journal() if entry.changes]
    assert {str(entry.facts["campaign_id"]) for entry in changes} == {"1001"}


async def test_pausing_again_changes_nothing(bench: Bench) -> None:
    await bench.set_paused("1001", paused=True)
    again = await bench.set_paused("1001", paused=True)
    assert (again.paused, again.changed) == (True, False)
    assert (await bench.set_paused("1001", paused=False)).changed


async def test_resuming_what_runs_changes_nothing(bench: Bench) -> None:
    result = await bench.set_paused("1001", paused=False)
    assert (result.paused, result.changed) == (False, False)
    assert bench.applied() == 0


async def test_only_the_campaign_that_was_named_is_paused(bench: Bench) -> None:
    await bench.set_paused("1001", paused=True)
    assert not (await bench.set_paused("1002", paused=False)).changed


@pytest.mark.parametrize("paused", [True, False], ids=["pausing", "resuming"])
async def test_validating_a_pause_changes_nothing(bench: Bench, paused: bool) -> None:
    await bench.set_paused("1001", paused=paused, validate_only=True)
    assert bench.applied() == 0
    assert not (await bench.set_paused("1001", paused=False)).changed


async def test_a_paused_campaign_takes_bids(bench: Bench) -> None:
    await bench.set_paused("1001", paused=True)
    await bench.bid("1001", "while-paused")
    assert await bench.look() is Finding.APPLIED


async def test_an_unknown_campaign_cannot_be_paused(bench: Bench) -> None:
    with pytest.raises(UnknownTarget):
        await bench.set_paused("999999", paused=True)


async def test_a_pause_without_an_answer_is_in_doubt_and_can_be_asked_for_again(
    bench: Bench,
) -> None:
    await bench.sandbox.add_fault(Fault(FaultKind.HANG, method=CHANGES))
    with pytest.raises(OutcomeUnknown):
        await bench.set_paused("1001", paused=True)
    await bench.set_paused("1001", paused=True)
    assert (await bench.set_paused("1001", paused=False)).changed


async def test_a_pause_that_reached_nobody_says_so(bench: Bench) -> None:
    await bench.sandbox.add_fault(Fault(FaultKind.REFUSE))
    with pytest.raises(PlatformUnavailable):
        await bench.set_paused("1001", paused=True)
    await bench.sandbox.clear_faults()
    assert bench.applied() == 0
