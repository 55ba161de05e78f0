"""What is in doubt is looked up until it is known, and never freed by time alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, sums
from tests.server.budget.conftest import House

from smartconnectors_server.budget import Finding, Reconciler
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.errors import PlatformUnavailable, RateLimited, UnknownTarget
from smartconnectors_server.interceptors.gate import BreakerOpen
from smartconnectors_server.ledger import Hold, HoldState

QUIET_S = 10.0
APPLIED, NOT_APPLIED, INCONCLUSIVE = Finding

Answer = Finding | Exception | Callable[[], Finding]


class Platforms:
    """Says of each request what the test wants it to, and keeps what was asked."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def lookup(self, hold: Hold) -> Finding:
        self.asked.append(hold.request_id)
        answer = self.answers[hold.request_id]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Finding) else answer()


def reconciler(house: House, platforms: Platforms, interval_s: float = 2.0) -> Reconciler:
    return reconciler_with(house, platforms.lookup, interval_s)


def reconciler_with(
    house: House, lookup: Callable[[Hold], Awaitable[Finding]], interval_s: float = 2.0
) -> Reconciler:
    return Reconciler(
        house.keeper,
        house.clock,
        lookup,
        interval_s=interval_s,
        max_interval_s=60.0,
        quiet_period_s=lambda _: QUIET_S,
    )


async def in_doubt(house: House, name: str, amount: int = USD, platform: str = PLATFORM) -> Hold:
    hold = await house.ledger.reserve(ask(name, amount, platform=platform, budget_ids=(platform,)))
    return await house.ledger.doubt(hold.hold_id)


async def state_of(house: House, hold: Hold) -> HoldState:
    found = await house.ledger.get(hold.hold_id)
    assert found is not None
    return found.state


async def test_what_was_applied_is_settled_at_once(house: House) -> None:
    hold = await in_doubt(house, "a", 5 * USD)
    await reconciler(house, Platforms(a=APPLIED)).look()
    assert await state_of(house, hold) is HoldState.SETTLED
    assert sums(house.ledger.state(PLATFORM)) == (5, 0, 0, 0)


@pytest.mark.parametrize(
    ("finding", "state", "sum_after"),
    [
        (NOT_APPLIED, HoldState.RELEASED, (0, 0, 0, 0)),
        (INCONCLUSIVE, HoldState.SETTLED, (5, 0, 0, 0)),
    ],
)
async def test_anything_else_waits_for_the_quiet_period(
    house: House, finding: Finding, state: HoldState, sum_after: tuple[int, int, int, int]
) -> None:
    hold = await in_doubt(house, "a", 5 * USD)
    looker = reconciler(house, Platforms(a=finding))
    for wait_s in (0.0, QUIET_S - 0.001):
        house.clock.advance(wait_s)
        await looker.look()
        assert await state_of(house, hold) is HoldState.IN_DOUBT
    house.clock.advance(0.001)
    await looker.look()
    assert await state_of(house, hold) is state
    assert sums(house.ledger.state(PLATFORM)) == sum_after


async def test_what_nobody_can_say_is_marked_as_assumed(house: House) -> None:
    hold = await in_doubt(house, "a")
    looker = reconciler(house, Platforms(a=INCONCLUSIVE))
    await looker.look()
    house.clock.advance(QUIET_S)
    await looker.look()
    settled = await house.ledger.get(hold.hold_id)
    assert settled is not None
    assert settled.note == "assumed: looked up 10.0 s after the call ended: inconclusive"


async def test_the_quiet_period_lies_between_two_looks(house: House) -> None:
    """From the end of the first to the beginning of the second."""

    def slow() -> Finding:
        house.clock.advance(QUIET_S)
        return NOT_APPLIED

    hold = await in_doubt(house, "a")
    platforms = Platforms(a=slow)
    looker = reconciler(house, platforms)
    for _ in range(2):
        await looker.look()
        assert await state_of(house, hold) is HoldState.IN_DOUBT
    house.clock.advance(QUIET_S)
    await looker.look()
    assert await state_of(house, hold) is HoldState.RELEASED


async def test_the_quiet_period_begins_when_the_platform_is_reached_again(house: House) -> None:
    """After a partition what waited may still arrive, however long ago its call ended."""
    hold = await in_doubt(house, "a")
    platforms = Platforms(a=PlatformUnavailable("partitioned"))
    looker = reconciler(house, platforms)
    await asked_at_s(house, looker, platforms, 100)
    platforms.answers["a"] = NOT_APPLIED
    for wait_ns in (60 * NANOS_PER_SECOND, round(QUIET_S * NANOS_PER_SECOND) - 1):
        house.clock.advance_ns(wait_ns)
        await looker.look()
        assert await state_of(house, hold) is HoldState.IN_DOUBT
    house.clock.advance_ns(1)
    await looker.look()
    assert await state_of(house, hold) is HoldState.RELEASED


@pytest.mark.parametrize(
    "error",
    [PlatformUnavailable("down"), BreakerOpen("open"), UnknownTarget("gone"), KeyError("odd")],
)
async def test_a_look_that_fails_starts_the_quiet_period_again(
    house: House, error: Exception
) -> None:
    hold = await in_doubt(house, "a")
    platforms = Platforms(a=NOT_APPLIED)
    looker = reconciler(house, platforms)
    for answer in (NOT_APPLIED, error, NOT_APPLIED):
        platforms.answers["a"] = answer
        await looker.look()
        house.clock.advance(QUIET_S - 0.001)
    await looker.look()
    assert await state_of(house, hold) is HoldState.IN_DOUBT
    house.clock.advance(0.001)
    await looker.look()
    assert await state_of(house, hold) is HoldState.RELEASED


async def test_a_look_that_a_quota_keeps_back_leaves_the_quiet_period_as_it_is(
    house: House,
) -> None:
    hold = await in_doubt(house, "a")
    platforms = Platforms(a=NOT_APPLIED)
    looker = reconciler(house, platforms)
    for answer in (NOT_APPLIED, RateLimited("all used", retry_after_s=0.1), NOT_APPLIED):
        platforms.answers["a"] = answer
        await looker.look()
        house.clock.advance(QUIET_S / 2)
    assert await state_of(house, hold) is HoldState.RELEASED


async def test_a_platform_that_was_not_reached_starts_the_quiet_period_of_all_its_holds_again(
    house: House,
) -> None:
    first, second = await in_doubt(house, "a"), await in_doubt(house, "b")
    other = await in_doubt(house, "c", platform="meta")
    platforms = Platforms(a=NOT_APPLIED, b=NOT_APPLIED, c=NOT_APPLIED)
    looker = reconciler(house, platforms)
    await looker.look()
    house.clock.advance(QUIET_S / 2)
    platforms.answers["a"] = PlatformUnavailable("down")
    await looker.look()  # and so the second is not asked for at all
    platforms.answers["a"] = NOT_APPLIED
    house.clock.advance(QUIET_S / 2)
    await looker.look()
    assert [await state_of(house, hold) for hold in (first, second, other)] == [
        HoldState.IN_DOUBT,
        HoldState.IN_DOUBT,
        HoldState.RELEASED,
    ]


@pytest.mark.parametrize(
    ("finding", "state"),
    [(NOT_APPLIED, HoldState.RELEASED), (INCONCLUSIVE, HoldState.SETTLED)],
)
async def test_another_finding_starts_the_quiet_period_again(
    house: House, finding: Finding, state: HoldState
) -> None:
    hold = await in_doubt(house, "a")
    platforms = Platforms(a=NOT_APPLIED if finding is INCONCLUSIVE else INCONCLUSIVE)
    looker = reconciler(house, platforms)
    await looker.look()
    platforms.answers["a"] = finding
    house.clock.advance(QUIET_S)
    await looker.look()
    assert await state_of(house, hold) is HoldState.IN_DOUBT
    house.clock.advance(QUIET_S)
    await looker.look()
    assert await state_of(house, hold) is state


async def test_the_quiet_period_does_not_pass_while_the_machine_is_suspended(house: House) -> None:
    """What the kernel has yet to send is suspended with it."""
    hold = await in_doubt(house, "a")
    platforms = Platforms(a=NOT_APPLIED)
    looker = reconciler(house, platforms)
    await looker.look()
    house.clock.suspend(86_400)
    await looker.look()
    house.clock.advance(QUIET_S - 0.001)
    await looker.look()
    assert await state_of(house, hold) is HoldState.IN_DOUBT
    house.clock.advance(0.001)
    await looker.look()
    assert await state_of(house, hold) is HoldState.RELEASED


async def test_after_a_restart_the_two_looks_start_over(house: House) -> None:
    hold = await in_doubt(house, "a")
    await reconciler(house, Platforms(a=NOT_APPLIED)).look()
    house.clock.advance(QUIET_S)
    restarted = reconciler(house, Platforms(a=NOT_APPLIED))
    await restarted.look()
    assert await state_of(house, hold) is HoldState.IN_DOUBT
    house.clock.advance(QUIET_S)
    await restarted.look()
    assert await state_of(house, hold) is HoldState.RELEASED


async def test_time_without_a_look_frees_nothing(house: House) -> None:
    hold = await in_doubt(house, "a")
    looker = reconciler(house, Platforms(a=PlatformUnavailable("down")))
    for _ in range(10):
        house.clock.advance(86_400)
        await looker.look()
    assert await state_of(house, hold) is HoldState.IN_DOUBT
    assert house.ledger.state(PLATFORM).in_doubt_micros == USD


async def test_a_platform_that_cannot_be_asked_does_not_stop_another(house: House) -> None:
    await in_doubt(house, "a")
    other = await in_doubt(house, "b", platform="meta")
    await reconciler(house, Platforms(a=PlatformUnavailable("down"), b=APPLIED)).look()
    assert await state_of(house, other) is HoldState.SETTLED


async def test_a_platform_that_is_down_is_asked_once_a_look(house: House) -> None:
    for name in "abc":
        await in_doubt(house, name)
    down = PlatformUnavailable("down")
    platforms = Platforms(a=down, b=down, c=down)
    await reconciler(house, platforms).look()
    assert len(platforms.asked) == 1


@pytest.mark.parametrize(
    "error",
    [PlatformUnavailable("only for this one"), UnknownTarget("gone"), KeyError("unforeseen")],
)
async def test_a_hold_that_can_never_be_looked_up_does_not_keep_the_others_in_doubt(
    house: House, error: Exception
) -> None:
    first = await in_doubt(house, "a")
    others = [await in_doubt(house, name) for name in "bcd"]
    looker = reconciler(house, Platforms(a=error, b=APPLIED, c=APPLIED, d=APPLIED))
    for _ in range(2):
        await looker.look()
        house.clock.advance(2.0)
    assert [await state_of(house, hold) for hold in others] == [HoldState.SETTLED] * 3
    assert await state_of(house, first) is HoldState.IN_DOUBT


async def test_what_an_operator_ended_during_the_look_stays_ended(house: House) -> None:
    hold = await in_doubt(house, "a")
    house.clock.advance(QUIET_S)

    async def lookup(_hold: Hold) -> Finding:
        await house.keeper.end_by_operator(hold.hold_id, settled=False, reason="I looked")
        return INCONCLUSIVE

    looker = reconciler_with(house, lookup)
    await looker.look()
    assert await state_of(house, hold) is HoldState.RELEASED


async def test_what_an_operator_gave_back_in_error_enters_when_it_was_applied(house: House) -> None:
    hold = await in_doubt(house, "a")

    async def lookup(_hold: Hold) -> Finding:
        await house.keeper.end_by_operator(hold.hold_id, settled=False, reason="wrong")
        return APPLIED

    looker = reconciler_with(house, lookup)
    await looker.look()
    assert await state_of(house, hold) is HoldState.SETTLED
    assert sums(house.ledger.state(PLATFORM)) == (1, 0, 0, 0)


async def asked_at_s(
    house: House, looker: Reconciler, platforms: Platforms, s: int, name: str = ""
) -> list[int]:
    """Looks every second, for so long; at which of them the platform was asked: of this request, or
    of any.
    """
    at_s = []
    for now_s in range(s):
        before = len(platforms.asked)
        await looker.look()
        at_s += [now_s for asked in platforms.asked[before:] if name in ("", asked)]
        house.clock.advance(1)
    return at_s


async def test_a_platform_that_stays_down_is_asked_less_and_less_and_for_ever(
    house: House,
) -> None:
    await in_doubt(house, "a")
    await in_doubt(house, "b")
    down = PlatformUnavailable("down")
    platforms = Platforms(a=down, b=down)
    looker = reconciler(house, platforms)
    assert await asked_at_s(house, looker, platforms, 300) == [
        *(0, 2, 6, 14, 30, 62),
        *(122, 182, 242),
    ]


async def test_a_platform_that_is_back_is_asked_at_the_old_pace(house: House) -> None:
    first, second = await in_doubt(house, "a"), await in_doubt(house, "b")
    platforms = Platforms(a=PlatformUnavailable("down"), b=PlatformUnavailable("down"))
    looker = reconciler(house, platforms)
    await asked_at_s(house, looker, platforms, 62)
    platforms.answers = {"a": APPLIED, "b": APPLIED, "c": NOT_APPLIED}
    await looker.look()
    assert await state_of(house, first) is HoldState.SETTLED
    house.clock.advance(2)
    await looker.look()
    assert await state_of(house, second) is HoldState.SETTLED
    await in_doubt(house, "c")
    assert await asked_at_s(house, looker, platforms, 8) == [0, 2, 6]


async def test_what_is_not_known_yet_is_looked_up_as_soon_as_the_quiet_period_has_passed(
    house: House,
) -> None:
    hold = await in_doubt(house, "a")
    platforms = Platforms(a=NOT_APPLIED)
    looker = reconciler(house, platforms)
    assert await asked_at_s(house, looker, platforms, 12) == [0, 2, 6, 10]
    assert await state_of(house, hold) is HoldState.RELEASED


@pytest.mark.parametrize(
    "error",
    [RateLimited("all used", retry_after_s=33.0), BreakerOpen("open", retry_after_s=33.0)],
)
async def test_what_our_own_quota_or_breaker_keeps_back_is_asked_when_they_say(
    house: House, error: Exception
) -> None:
    await in_doubt(house, "a")
    platforms = Platforms(a=error)
    looker = reconciler(house, platforms)
    assert await asked_at_s(house, looker, platforms, 100) == [0, 33, 66, 99]


@pytest.mark.parametrize(
    "error",
    [RateLimited("all used", retry_after_s=0.2), BreakerOpen("open", retry_after_s=0.2)],
)
async def test_a_short_wait_for_our_own_quota_or_breaker_grows_no_longer(
    house: House, error: Exception
) -> None:
    await in_doubt(house, "a")
    platforms = Platforms(a=error)
    looker = reconciler(house, platforms)
    assert await asked_at_s(house, looker, platforms, 20) == list(range(20))


async def test_a_platform_that_says_how_long_it_will_be_down_is_not_asked_before(
    house: House,
) -> None:
    await in_doubt(house, "a")
    platforms = Platforms(a=PlatformUnavailable("down", retry_after_s=33.0))
    looker = reconciler(house, platforms)
    # Longer than it says, once its own wait has grown to that.
    assert await asked_at_s(house, looker, platforms, 300) == [0, 33, 66, 99, 132, 165, 225, 285]


@pytest.mark.parametrize("error", [PlatformUnavailable("down"), UnknownTarget("gone")])
async def test_a_short_interval_is_where_waiting_begins(house: House, error: Exception) -> None:
    await in_doubt(house, "a")
    platforms = Platforms(a=error)
    looker = reconciler(house, platforms, interval_s=0.25)
    looks = []
    for number in range(16):
        before = len(platforms.asked)
        await looker.look()
        looks += [number] * (len(platforms.asked) - before)
        house.clock.advance(0.25)
    assert looks == [0, 1, 3, 7, 15]


async def test_an_interval_above_the_longest_is_the_longest(house: House) -> None:
    await in_doubt(house, "a")
    platforms = Platforms(a=PlatformUnavailable("down"))
    looker = reconciler(house, platforms, interval_s=100.0)
    assert await asked_at_s(house, looker, platforms, 350) == [0, 100, 200, 300]


@pytest.mark.parametrize(
    "error", [PlatformUnavailable("for this one", retry_after_s=1.0), KeyError("unforeseen")]
)
async def test_a_hold_that_cannot_be_looked_up_is_asked_for_less_and_less_while_others_can_be(
    house: House, error: Exception
) -> None:
    await in_doubt(house, "a")
    house.clock.advance(1_000_000)
    others = [await in_doubt(house, name) for name in "bc"]
    platforms = Platforms(a=error, b=NOT_APPLIED, c=NOT_APPLIED)
    looker = Reconciler(
        house.keeper,
        house.clock,
        platforms.lookup,
        interval_s=2.0,
        max_interval_s=60.0,
        quiet_period_s=lambda _: 1_000_000.0,
    )
    assert await asked_at_s(house, looker, platforms, 40, "a") == [0, 2, 6, 14, 30]
    assert [await state_of(house, hold) for hold in others] == [HoldState.IN_DOUBT] * 2


async def test_a_platform_that_fails_again_after_it_was_back_waits_as_at_first(
    house: House,
) -> None:
    await in_doubt(house, "a")
    down = PlatformUnavailable("down")
    platforms = Platforms(a=down, b=down)
    looker = reconciler(house, platforms)
    await asked_at_s(house, looker, platforms, 14)
    platforms.answers["a"] = APPLIED
    await looker.look()
    await in_doubt(house, "b")
    assert await asked_at_s(house, looker, platforms, 14) == [0, 2, 6]


async def test_the_log_says_what_was_found_and_what_was_not(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="smartconnectors_server.budget.reconciler")
    for name in "abc":
        await in_doubt(house, name)
    looker = reconciler(
        house, Platforms(a=APPLIED, b=KeyError("odd"), c=PlatformUnavailable("down"))
    )
    await looker.look()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "request a: settle (looked up 0.0 s after the call ended: applied)"),
        ("ERROR", "request b stays in doubt"),
        ("INFO", "request c stays in doubt: down"),
    ]


async def test_it_looks_every_interval(house: House) -> None:
    await in_doubt(house, "a")
    await in_doubt(house, "b")
    platforms = Platforms(a=UnknownTarget("gone"), b=NOT_APPLIED)
    running = asyncio.ensure_future(reconciler(house, platforms, interval_s=2.0).run())
    asked = []
    for _ in range(3):
        for _ in range(20):
            await asyncio.sleep(0)
        asked.append("".join(platforms.asked))
        house.clock.advance(2.0)
    assert asked == ["ab", "abab", "abab"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_only_what_is_in_doubt_is_looked_up(house: House) -> None:
    await house.ledger.reserve(ask("held", USD))
    until_ns = house.ledger.now_ns() + NANOS_PER_SECOND
    await house.ledger.reserve(ask("deferred", USD, defer_until_ns=until_ns))
    platforms = Platforms()
    await reconciler(house, platforms).look()
    assert platforms.asked == []
