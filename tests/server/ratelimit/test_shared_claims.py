"""Takers who share a claim that is used up before all of them had their turn."""

from __future__ import annotations

import asyncio

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ratelimit.claims import Claims


class _StoreThatAnswersAtOnce:
    def __init__(self) -> None:
        self.recorded: list[int] = []
        self.asked = asyncio.Event()

    async def record_calls(self, platform: str, at_ns: int, count: int) -> None:
        self.recorded.append(count)
        self.asked.set()

    async def calls_since(self, platform: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        return ()


async def test_who_finds_a_claim_used_up_in_the_turn_it_was_recorded_records_another(
    clock: ManualClock,
) -> None:
    store = _StoreThatAnswersAtOnce()
    claims = Claims("google_ads", store, clock.wall_ns, largest=1, validity_ns=10**9)
    recording = asyncio.ensure_future(claims.extend(1, 1))
    await store.asked.wait()
    # The claim is there, but nobody has yet been told that its recording is over.
    assert claims.use(clock.wall_ns(), 1)
    attempts = 0
    while not claims.use(clock.wall_ns(), 1):
        attempts += 1
        assert attempts < 10, "asking again never records another claim"
        await claims.extend(1, 1)
    await recording
    assert len(store.recorded) == 2
