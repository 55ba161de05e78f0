"""The network is cut while a change is on its way: two of the runs that `make partition` does."""

from __future__ import annotations

import os

import pytest
from tests.partition import namespaces
from tests.partition.__main__ import plans_of, status
from tests.partition.plan import Plan, Result, draw
from tests.partition.series import play_all

NOT_HERE = namespaces.why_not()
MUST_RUN = bool(os.environ.get("CI")) and os.geteuid() == 0
PARTITION_S = 5.0


def plan(platform: str, *, cured: bool, killed_after_s: float | None = None) -> Plan:
    return Plan(
        seed=1,
        platform=platform,
        timeout_ms=1_000,
        partition_s=PARTITION_S,
        killed_after_s=killed_after_s,
        retries=False,
        cured=cured,
        waits_for_retransmission=not cured,
    )


def test_the_partition_test_is_not_skipped_in_ci() -> None:
    assert not (MUST_RUN and NOT_HERE), NOT_HERE


@pytest.mark.skipif(bool(NOT_HERE), reason=NOT_HERE)
async def test_a_change_that_meets_a_partition_is_never_delivered_after_its_room_was_sold() -> None:
    """And without the cure it is."""
    results: list[Result] = []
    plans = [
        plan("meta", cured=True),
        plan("trade_desk", cured=True, killed_after_s=0.5),
        plan("meta", cured=False),
    ]
    await play_all(plans, len(plans), results.append)
    assert [result.failed for result in results] == ["", "", ""]
    cured = [result for result in results if result.plan.cured]
    assert [(result.over_micros, result.twice) for result in cured] == [(0, 0), (0, 0)]
    assert all(result.released_s is not None for result in cured)
    (bare,) = (result for result in results if not result.plan.cured)
    assert bare.over_micros > 0
    assert status(results) == 0


def test_each_seed_is_one_run_whether_the_cure_is_there_or_not() -> None:
    cured, bare = sorted(plans_of(1, 7, None), key=lambda one: not one.cured)
    assert (cured, bare) == (draw(7), draw(7, cured=False))


@pytest.mark.parametrize(
    ("cured", "over_micros", "twice", "failed", "expected"),
    [
        (True, 0, 0, "", 0),
        (True, 1, 0, "", 1),
        (True, 0, 1, "", 1),
        (True, 0, 0, "it hangs", 1),
        (False, 1, 0, "", 0),
        (False, 0, 1, "", 0),
        (False, 0, 0, "", 1),
    ],
)
def test_the_exit_status_says_whether_the_cure_is_needed_and_enough(
    cured: bool, over_micros: int, twice: int, failed: str, expected: int
) -> None:
    result = Result(draw(1, cured=cured), over_micros=over_micros, twice=twice, failed=failed)
    assert status([result]) == expected
