"""The bucket: aiolimiter's, in ledger time."""

from __future__ import annotations

import pytest

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ratelimit.burst import BurstLimit


async def test_a_full_bucket_leaks_at_the_average_rate(clock: ManualClock) -> None:
    bucket = BurstLimit(3, 10.0, clock.wall_ns)
    for _ in range(3):
        assert bucket.wait_ns() == 0
        await bucket.take()
    assert bucket.wait_ns() == pytest.approx(100_000_000, rel=1e-3)
    clock.advance(0.05)
    assert bucket.wait_ns() == pytest.approx(50_000_000, rel=1e-3)
    clock.advance(0.05)
    await bucket.take()
    assert bucket.wait_ns() > 0
    clock.advance(10.0)
    for _ in range(3):
        assert bucket.wait_ns() == 0
        await bucket.take()
    assert bucket.wait_ns() > 0


@pytest.mark.parametrize("calls_per_s", [1 / 3, 9_973.0])
async def test_its_wait_is_enough_however_often_it_has_leaked(
    calls_per_s: float, clock: ManualClock
) -> None:
    bucket = BurstLimit(7, calls_per_s, clock.wall_ns)
    for _ in range(20_000):
        if wait_ns := bucket.wait_ns():
            clock.advance_ns(wait_ns)
            assert bucket.wait_ns() == 0
        await bucket.take()


async def test_a_full_bucket_asks_for_a_wait_however_fast_it_leaks(clock: ManualClock) -> None:
    bucket = BurstLimit(1, 4e9, clock.wall_ns)
    await bucket.take()
    assert bucket.wait_ns() == 1


async def test_a_restored_bucket_is_as_full_as_it_was(clock: ManualClock) -> None:
    before, after = (BurstLimit(5, 10.0, clock.wall_ns) for _ in range(2))
    calls = []
    for pause_s in (0.0, 0.02, 0.3, 0.01, 0.0, 0.05):
        clock.advance(pause_s)
        assert before.wait_ns() == 0
        await before.take()
        calls.append((clock.wall_ns(), 1))
    clock.advance(0.01)
    await after.restore(calls, clock.wall_ns())
    assert before.wait_ns() == after.wait_ns() == 0
    await before.take()
    await after.take()
    assert after.wait_ns() == pytest.approx(before.wait_ns(), rel=1e-3)


async def test_more_calls_than_it_holds_restore_a_full_bucket(clock: ManualClock) -> None:
    bucket = BurstLimit(5, 10.0, clock.wall_ns)
    await bucket.restore([(clock.wall_ns(), 1000)], clock.wall_ns())
    assert bucket.wait_ns() == pytest.approx(100_000_000, rel=1e-3)


@pytest.mark.parametrize(("level", "room"), [(0, 7), (2, 5), (7, 0), (50, 0)])
async def test_a_bucket_can_be_filled_at_any_time(
    level: float, room: int, clock: ManualClock
) -> None:
    bucket = BurstLimit(7, 10.0, clock.wall_ns)
    clock.advance(10.0)
    bucket.fill(level)
    for _ in range(room):
        assert bucket.wait_ns() == 0
        await bucket.take()
    assert bucket.wait_ns() == pytest.approx(100_000_000, rel=1e-3)
