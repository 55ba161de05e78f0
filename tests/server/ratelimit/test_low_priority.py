"""Reports take from the quota what nobody misses: their share at most, while it is free."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.ratelimit.test_limiter_properties import ListStore

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.ratelimit import LowPriority, RateLimiter


class Stores:
    """One store for each name."""

    def __init__(self) -> None:
        self.of: dict[str, ListStore] = {}

    async def meanwhile(self, platform: str) -> None:
        """What happens while calls are recorded."""

    async def record_calls(self, platform: str, at_ns: int, count: int) -> None:
        await self.meanwhile(platform)
        await self.of.setdefault(platform, ListStore()).record_calls(platform, at_ns, count)

    async def calls_since(self, platform: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        return await self.of.setdefault(platform, ListStore()).calls_since(platform, since_ns)


class Quota:
    """A platform's quota with its share for reports, which can be started again."""

    def __init__(self, limit: int, percent: float) -> None:
        self.clock, self.stores = ManualClock(), Stores()
        self.limit, self.percent = limit, percent

    async def start(self) -> None:
        self.limiter = RateLimiter(
            "meta", self.stores, self.clock.wall_ns, limit=self.limit, window_s=60.0
        )
        self.reports = LowPriority(
            "meta", self.limiter, self.stores, self.clock.wall_ns, percent=self.percent
        )
        await self.limiter.open()
        await self.reports.open()

    async def report(self) -> bool:
        try:
            await self.reports.take()
        except RateLimited:
            return False
        return True


async def test_in_a_window_reports_make_as_many_calls_as_their_share() -> None:
    quota = Quota(100, 10)
    await quota.start()
    assert [await quota.report() for _ in range(12)] == [True] * 10 + [False] * 2
    quota.clock.advance(61)
    assert await quota.report()


async def test_no_report_is_made_while_bids_have_left_less_than_the_share() -> None:
    quota = Quota(100, 10)
    await quota.start()
    await quota.limiter.take(90)
    assert await quota.report()
    assert not await quota.report()
    await quota.limiter.take(9)
    assert quota.limiter.headroom() == 0


async def test_a_share_of_one_call_is_one_call() -> None:
    quota = Quota(10, 10)
    await quota.start()
    assert quota.reports.share == 1
    assert [await quota.report() for _ in range(3)] == [True, False, False]


async def test_a_share_is_in_hundredths_of_the_limit_and_rounded_down() -> None:
    for limit, percent, share in ((1000, 10, 100), (1000, 0.55, 5), (99, 1, 0)):
        quota = Quota(limit, percent)
        await quota.start()
        assert quota.reports.share == share


async def test_a_report_that_bids_leave_no_room_for_uses_up_nothing_of_its_share() -> None:
    quota = Quota(100, 10)
    await quota.start()
    await quota.limiter.take(91)
    assert [await quota.report() for _ in range(3)] == [False] * 3
    assert await quota.stores.calls_since("meta/reports", 0) == ()


async def test_reports_that_the_platform_throttles_wait_and_leave_bids_alone() -> None:
    quota = Quota(100, 10)
    await quota.start()
    quota.reports.tighten(retry_after_s=1800.0, usage_percent=100.0)
    assert quota.limiter.look() is None
    assert quota.limiter.headroom() == 100
    assert quota.reports.ordered_wait_s() == 1800.0
    quota.clock.advance(0.5)
    with pytest.raises(RateLimited) as caught:
        await quota.reports.take()
    assert caught.value.retry_after_s == 1799.5
    assert caught.value.metadata == {"limited_by": "platform"}
    assert caught.value.quota_subject == "meta/reports"
    assert caught.value.message == (
        "meta: reports are throttled by the platform for another 1800 s; bids and pauses are not"
    )
    quota.clock.advance(1799.5)
    assert await quota.report()


async def test_reports_of_one_account_leave_those_of_another_alone() -> None:
    quota = Quota(100, 10)
    await quota.start()
    quota.reports.tighten(retry_after_s=1800.0, whose="eu")
    assert [quota.reports.ordered_wait_s(("eu",)), quota.reports.ordered_wait_s()] == [1800.0, 0.0]
    await quota.reports.take(("", "us"))
    with pytest.raises(RateLimited):
        await quota.reports.take(("", "eu"))


async def test_reports_of_an_account_that_has_used_most_of_its_quota_are_fewer() -> None:
    quota = Quota(100, 10)
    await quota.start()
    quota.reports.tighten(usage_percent=100.0, whose="eu")
    await quota.reports.take(("", "eu"))
    with pytest.raises(RateLimited):
        await quota.reports.take(("", "eu"))
    await quota.reports.take(("", "us"))


@pytest.mark.parametrize("whose", ["", "eu"])
async def test_reports_wait_while_the_platform_asks_bids_to_wait(whose: str) -> None:
    quota = Quota(100, 10)
    await quota.start()
    quota.limiter.tighten(retry_after_s=30.0, whose=whose)
    with pytest.raises(RateLimited) as caught:
        await quota.reports.take(("", "eu"))
    assert caught.value.retry_after_s == 30.0
    assert await quota.stores.calls_since("meta/reports", 0) == ()


async def test_what_an_account_is_told_while_a_report_is_recorded_holds_it_up() -> None:
    class Told(Stores):
        async def meanwhile(self, platform: str) -> None:
            if platform == "meta/reports":
                quota.limiter.tighten(retry_after_s=30.0, whose="eu")

    quota = Quota(100, 10)
    quota.stores = Told()
    await quota.start()
    with pytest.raises(RateLimited):
        await quota.reports.take(("", "eu"))
    assert quota.limiter.used() == 0


async def test_what_bids_take_while_a_report_is_recorded_is_left_to_them() -> None:
    class Busy(Stores):
        async def meanwhile(self, platform: str) -> None:
            if platform == "meta/reports":
                await quota.limiter.take(1)

    quota = Quota(100, 10)
    quota.stores = Busy()
    await quota.start()
    await quota.limiter.take(90)
    assert not await quota.report()
    assert quota.limiter.headroom() == 9


async def test_a_restart_forgets_no_report() -> None:
    quota = Quota(100, 3)
    await quota.start()
    assert [await quota.report() for _ in range(3)] == [True] * 3
    await quota.start()
    assert not await quota.report()


async def test_a_share_of_less_than_a_call_says_which_setting_to_raise() -> None:
    quota = Quota(5, 10)
    await quota.start()
    with pytest.raises(RateLimited, match=r"reported_spend\.quota_percent") as caught:
        await quota.reports.take()
    assert caught.value.retry_after_s == 60.0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["report", "report", "bid", "bids", "restart"]),
        st.floats(0, 40),
    ),
    max_size=60,
)


@given(limit=st.integers(1, 120), percent=st.floats(1, 50), steps=STEPS)
async def test_whatever_happens_reports_keep_their_share_and_leave_it_to_bids(
    limit: int, percent: float, steps: list[tuple[str, float]]
) -> None:
    quota = Quota(limit, percent)
    await quota.start()
    share = int(limit * percent / 100)
    made: list[int] = []
    for what, wait_s in steps:
        quota.clock.advance(wait_s)
        now_ns = quota.clock.wall_ns()
        if what == "restart":
            await quota.start()
        elif what == "report":
            free = quota.limiter.headroom()
            if await quota.report():
                made.append(now_ns)
                assert free >= share
        else:
            count = 1 if what == "bid" else max(1, limit // 3)
            if count <= quota.limiter.headroom():
                await quota.limiter.take(count)
        in_window = [at_ns for at_ns in made if at_ns > now_ns - 60 * 10**9]
        assert len(in_window) <= share
