"""A platform's quota is shared between callers, and its emergency reserve belongs to operators."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import grpc.aio
import pytest
from tests.security.share_stage import HOSTILE, VICTIM, Refused, scene


async def test_dry_runs_of_pauses_use_up_neither_the_reserve_nor_what_others_bid_with(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as stage:
        outcomes = Counter([await stage.pause(HOSTILE, validate_only=True) for _ in range(130)])
        assert outcomes == {"OK": 45, "RATE_LIMITED caller": 85}, "half of all but the reserve"
        assert await stage.place(HOSTILE) == "OK", "dry runs come last, also of the same caller"
        assert await stage.place(VICTIM) == "OK"
        assert await stage.stop_everything() == "OK"
        assert stage.google.paused == ["1002"]


async def test_a_bidder_s_pauses_do_not_use_the_reserve_that_belongs_to_operators(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as stage:
        outcomes = Counter([await stage.pause(HOSTILE) for _ in range(130)])
        assert outcomes == {"OK": 90, "RATE_LIMITED window": 40}
        assert await stage.stop_everything() == "OK"


@pytest.mark.parametrize("validate_only", [False, True])
async def test_a_caller_keeps_its_share_of_the_quota_whatever_another_asks_for(
    tmp_path: Path, validate_only: bool
) -> None:
    async with scene(tmp_path) as stage:
        assert await stage.place(VICTIM) == "OK"
        hostile = Counter(
            [await stage.place(HOSTILE, validate_only=validate_only) for _ in range(100)]
        )
        assert hostile["OK"] == (22 if validate_only else 45)
        assert hostile["RATE_LIMITED caller"] == 100 - hostile["OK"]
        assert Counter([await stage.place(VICTIM) for _ in range(44)]) == {"OK": 44}
        assert await stage.stop_everything() == "OK"


async def test_a_refusal_says_that_it_is_the_caller_s_share_and_when_to_come_back(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, calls=4, reserve_percent=0) as stage:
        assert await stage.place(VICTIM) == "OK"
        assert [await stage.place(HOSTILE) for _ in range(2)] == ["OK", "OK"]
        person = stage.people[HOSTILE]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await person.ask(person.ads.PlaceBid, stage.bid(HOSTILE))
        refused = Refused(caught.value)
        assert str(refused) == "RATE_LIMITED caller"
        assert refused.metadata["caller_share_calls"] == "2"
        assert refused.metadata["caller_used_calls"] == "2"
        assert refused.retry.retry_delay.ToSeconds() == 60
        assert "victim" not in (caught.value.details() or "")


async def test_a_caller_that_is_alone_may_use_the_whole_quota(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        outcomes = Counter([await stage.place(HOSTILE) for _ in range(95)])
        assert outcomes == {"OK": 90, "RATE_LIMITED window": 5}


async def test_a_caller_that_joins_has_its_share_within_one_window(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        assert Counter([await stage.place(HOSTILE) for _ in range(90)]) == {"OK": 90}
        assert await stage.place(VICTIM) == "RATE_LIMITED window"
        stage.clock.advance(61)
        hostile = Counter([await stage.place(HOSTILE) for _ in range(90)])
        assert hostile == {"OK": 45, "RATE_LIMITED caller": 45}
        assert Counter([await stage.place(VICTIM) for _ in range(45)]) == {"OK": 45}


async def test_a_caller_that_was_silent_for_long_keeps_nothing_from_the_others(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, access={"active_caller_s": 300}) as stage:
        assert await stage.place(VICTIM) == "OK"
        stage.clock.advance(301)
        assert Counter([await stage.place(HOSTILE) for _ in range(90)]) == {"OK": 90}


async def test_a_burst_is_shared_as_the_quota_is(tmp_path: Path) -> None:
    async with scene(tmp_path, reserve_percent=0, rate_limit={"burst": 10}) as stage:
        assert await stage.place(VICTIM) == "OK"
        hostile = Counter([await stage.place(HOSTILE) for _ in range(20)])
        assert hostile == {"OK": 5, "RATE_LIMITED caller": 15}
        assert Counter([await stage.place(VICTIM) for _ in range(4)]) == {"OK": 4}
