"""Call slots are shared between callers: none is shut out because another holds many."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from tests.security.share_stage import HOSTILE, VICTIM, scene

SLOTS = {"max_in_flight": 8}


async def test_a_caller_s_bids_in_flight_leave_the_others_their_share_of_the_slots(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, server=SLOTS) as stage:
        assert await stage.place(VICTIM) == "OK"
        stage.google.go_on.clear()
        hostile = [await stage.begin(HOSTILE) for _ in range(20)]
        victim = [await stage.begin(VICTIM) for _ in range(4)]
        stage.google.go_on.set()
        assert await asyncio.gather(*victim) == ["OK"] * 4
        outcomes = Counter(await asyncio.gather(*hostile))
        assert outcomes == {"OK": 4, "OVERLOADED caller": 16}


async def test_a_caller_that_is_alone_may_hold_every_slot(tmp_path: Path) -> None:
    async with scene(tmp_path, server=SLOTS) as stage:
        stage.google.go_on.clear()
        bids = [await stage.begin(HOSTILE) for _ in range(9)]
        stage.google.go_on.set()
        assert Counter(await asyncio.gather(*bids)) == {"OK": 8, "OVERLOADED": 1}


async def test_slots_come_back_when_calls_end(tmp_path: Path) -> None:
    async with scene(tmp_path, server={"max_in_flight": 2}) as stage:
        for _ in range(3):
            assert await stage.place(HOSTILE) == "OK"
            assert await stage.place(VICTIM) == "OK"
