"""Whatever the calls, the crashes and the platform's orders: no window holds too many calls."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.ratelimit import RateLimiter


@dataclass
class ListStore:
    """Claims that outlive the limiter."""

    claims: list[tuple[int, int]] = field(default_factory=list)

    async def record_calls(self, platform: str, at_ns: int, count: int) -> None:
        self.claims.append((at_ns, count))

    async def calls_since(self, platform: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        return tuple(sorted(claim for claim in self.claims if claim[0] > since_ns))


@dataclass(frozen=True)
class Settings:
    limit: int
    window_s: float
    burst: int | None
    reserve_percent: float

    def limiter(self, clock: ManualClock, store: ListStore) -> RateLimiter:
        return RateLimiter(
            "meta",
            store,
            clock.wall_ns,
            limit=self.limit,
            window_s=self.window_s,
            burst=self.burst,
            reserve_percent=self.reserve_percent,
        )


settings = st.builds(
    Settings,
    limit=st.one_of(st.sampled_from([100, 150, 200]), st.integers(1, 120)),
    window_s=st.sampled_from([0.05, 1.0, 60.0]),
    burst=st.one_of(st.none(), st.none(), st.integers(1, 120)),
    reserve_percent=st.sampled_from([0.0, 0.0, 10.0, 60.0]),
)
# (what, how many, then wait for this share of the window). A claim is valid for a sixtieth of it.
steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "take reserved", "retry", "crash", "tighten"]),
        st.one_of(st.integers(1, 3), st.integers(1, 60), st.just(200)),
        st.one_of(
            st.sampled_from([0.0, 0.0, 0.0, 1e-9, 0.008, 0.016, 1 / 60, 0.5, 0.983, 0.99, 1.0]),
            st.floats(0.0, 0.1),
            st.floats(0.0, 1.1),
        ),
    ),
    min_size=3,
    max_size=30,
)


async def played(
    chosen: Settings, play: list[tuple[str, int, float]]
) -> tuple[list[int], list[int]]:
    """The instants of the calls that were admitted, all of them and the ordinary ones."""
    clock, store = ManualClock(), ListStore()
    limiter = chosen.limiter(clock, store)
    await limiter.open()
    admitted: list[int] = []
    ordinary: list[int] = []
    for what, count, wait in play:
        if what == "crash":
            limiter = chosen.limiter(clock, store)
            await limiter.open()
        elif what == "tighten":
            limiter.tighten(usage_percent=float(count + 60), retry_after_s=wait / 10)
        elif what == "retry":
            looked = limiter.look()
            if looked is not None:
                clock.advance(looked)
        else:
            reserved = what == "take reserved"
            results = await asyncio.gather(
                *(limiter.take(reserved=reserved) for _ in range(count)), return_exceptions=True
            )
            assert all(result is None or isinstance(result, RateLimited) for result in results)
            admitted += [clock.wall_ns()] * results.count(None)
            ordinary += [clock.wall_ns()] * (0 if reserved else results.count(None))
        clock.advance(wait * chosen.window_s)
    return admitted, ordinary


def most_in_any_window(instants: list[int], window_s: float) -> int:
    width = round(window_s * 10**9)
    return max(
        (index + 1 - bisect_right(instants, at - width) for index, at in enumerate(instants)),
        default=0,
    )


@given(settings, steps)
def test_no_window_ever_holds_more_calls_than_the_limit_crashes_included(
    chosen: Settings, play: list[tuple[str, int, float]]
) -> None:
    admitted, _ = asyncio.run(played(chosen, play))
    assert most_in_any_window(admitted, chosen.window_s) <= chosen.limit


@given(settings, steps)
def test_ordinary_calls_never_use_the_reserve(
    chosen: Settings, play: list[tuple[str, int, float]]
) -> None:
    _, ordinary = asyncio.run(played(chosen, play))
    reserve = min(int(chosen.limit * chosen.reserve_percent / 100), chosen.limit - 1)
    assert most_in_any_window(ordinary, chosen.window_s) <= chosen.limit - reserve


@given(settings, steps)
def test_a_burst_is_never_larger_than_allowed(
    chosen: Settings, play: list[tuple[str, int, float]]
) -> None:
    admitted, _ = asyncio.run(played(chosen, play))
    together = max((admitted.count(at) for at in set(admitted)), default=0)
    assert together <= (chosen.burst or chosen.limit)


@given(settings, steps, st.sampled_from(["ordinary", "reserved"]))
def test_at_the_retry_time_a_call_is_admitted(
    chosen: Settings, play: list[tuple[str, int, float]], kind: str
) -> None:
    async def proof() -> None:
        clock, reserved = ManualClock(), kind == "reserved"
        limiter = chosen.limiter(clock, ListStore())
        await limiter.open()
        for what, count, wait in play:
            if what == "tighten":
                limiter.tighten(usage_percent=float(count + 60), retry_after_s=wait * 10)
            for _ in range(count):
                retry_after_s = limiter.look(reserved=reserved)
                if retry_after_s is None:
                    await limiter.take(reserved=reserved)
                    continue
                clock.advance_ns(round(retry_after_s * 10**9) - 1)
                still_s = limiter.look(reserved=reserved)
                # The bucket's level is a float, so there the last nanosecond is not decided.
                assert still_s is not None or chosen.burst is not None
                clock.advance_ns(1)
                assert limiter.look(reserved=reserved) is None
                break
            clock.advance(wait * chosen.window_s)

    asyncio.run(proof())


@given(settings, steps)
def test_a_bucket_as_large_as_the_limit_would_never_refuse_what_the_window_admits(
    chosen: Settings, play: list[tuple[str, int, float]]
) -> None:
    """Why the limiter leaves it out: a leaky bucket in whole numbers, beside what was admitted."""
    admitted, _ = asyncio.run(played(chosen, play))
    width = round(chosen.window_s * 10**9)
    level, level_at = 0, 0  # in calls times nanoseconds of window
    for at in admitted:
        level = max(0, level - (at - level_at) * chosen.limit) + width
        level_at = at
        assert level <= chosen.limit * width
