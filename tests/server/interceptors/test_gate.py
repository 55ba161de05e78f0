"""The way to the wire: what reports take, what the breaker does not hear of them, and what a
platform's words about its quota bind.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from tests.server.ratelimit.test_low_priority import Quota

from smartconnectors_server.circuitbreaker import BreakerSettings, CircuitBreaker, State
from smartconnectors_server.connector import QuotaSignal, Traffic
from smartconnectors_server.errors import PlatformUnavailable, RateLimited
from smartconnectors_server.interceptors.gate import WireGate, orders_for
from smartconnectors_server.telemetry import Telemetry

SETTINGS = BreakerSettings(failure_threshold=1, slow_call_ms=500, open_s=30)


class Bench:
    def __init__(self) -> None:
        self.quota = Quota(100, 10)
        self.breaker = CircuitBreaker(SETTINGS, self.quota.clock)

    async def start(self) -> None:
        await self.quota.start()
        self.gate = self.of(None)

    def of(self, account: str | None) -> WireGate:
        return WireGate(
            "meta",
            self.quota.limiter,
            self.quota.reports,
            self.breaker,
            self.quota.clock,
            Telemetry(),
            account,
        )


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.start()
    return bench


async def test_a_slow_report_opens_no_breaker(bench: Bench) -> None:
    async with bench.gate.report("spend"):
        bench.quota.clock.advance(59)
    assert bench.breaker.state is State.CLOSED


async def test_a_report_that_fails_opens_no_breaker(bench: Bench) -> None:
    with pytest.raises(PlatformUnavailable):
        async with bench.gate.report("spend"):
            raise PlatformUnavailable("no answer in time")
    assert bench.breaker.state is State.CLOSED


async def test_a_good_report_excuses_no_bad_call(bench: Bench) -> None:
    bench.breaker = CircuitBreaker(BreakerSettings(failure_threshold=2), bench.quota.clock)
    await bench.start()
    bench.breaker.acquire().fail()
    async with bench.gate.report("spend"):
        pass
    bench.breaker.acquire().fail()
    assert bench.breaker.state is State.OPEN


async def test_a_half_open_breaker_keeps_its_probes_for_bids(bench: Bench) -> None:
    bench.breaker.acquire().fail()
    for wait_s in (0, 31):
        bench.quota.clock.advance(wait_s)
        with pytest.raises(PlatformUnavailable, match="not closed"):
            async with bench.gate.report("spend"):
                raise AssertionError("nothing may be sent")
    assert bench.breaker.state is State.HALF_OPEN
    assert bench.breaker.would_admit()
    assert bench.quota.limiter.used() == 0


WAIT = QuotaSignal(retry_after_s=1800.0)


async def passes(gate: WireGate, traffic: Traffic = Traffic.READS) -> bool:
    """Whether one call of a kind gets to the wire."""
    way = gate.report("x") if traffic is Traffic.REPORTS else gate.read("x", traffic)
    try:
        async with way:
            return True
    except RateLimited:
        return False


def bids_pass(bench: Bench, account: str | None = None) -> bool:
    return bench.quota.limiter.look(obeys=orders_for(account)) is None


@pytest.mark.parametrize(
    "binds", [(), (Traffic.BIDS,), (Traffic.BIDS, Traffic.REPORTS), (Traffic.LOGIN,)]
)
async def test_what_a_report_is_answered_binds_reports_alone_whatever_it_says(
    bench: Bench, binds: tuple[Traffic, ...]
) -> None:
    with suppress(PlatformUnavailable):
        async with bench.gate.report("spend"):
            bench.gate.tighten(QuotaSignal(1800.0, 100.0, binds=binds, every_account=True))
            raise PlatformUnavailable("throttled")
    assert bids_pass(bench)
    assert await passes(bench.gate)
    assert await passes(bench.gate, Traffic.LOGIN)
    assert not await passes(bench.gate, Traffic.REPORTS)


async def test_what_a_login_is_answered_binds_logins_alone(bench: Bench) -> None:
    async with bench.gate.read("token", Traffic.LOGIN):
        bench.gate.tighten(WAIT)
    assert bids_pass(bench)
    assert await passes(bench.gate)
    assert await passes(bench.gate, Traffic.REPORTS)
    assert not await passes(bench.gate, Traffic.LOGIN)


async def test_a_login_within_a_report_is_a_login(bench: Bench) -> None:
    async with bench.gate.report("spend"):
        async with bench.gate.read("token", Traffic.LOGIN):
            bench.gate.tighten(WAIT)
        bench.gate.tighten(QuotaSignal())
    assert await passes(bench.gate, Traffic.REPORTS)
    assert not await passes(bench.gate, Traffic.LOGIN)


async def test_a_login_is_made_although_bids_have_to_wait(bench: Bench) -> None:
    bench.gate.tighten(WAIT)
    assert await passes(bench.gate, Traffic.LOGIN)


async def test_a_throttled_bid_holds_up_bids_and_reads(bench: Bench) -> None:
    bench.gate.tighten(WAIT)
    assert not bids_pass(bench)
    assert not await passes(bench.gate)


async def test_a_quota_of_reads_alone_holds_up_no_change(bench: Bench) -> None:
    async with bench.gate.read("campaign"):
        bench.gate.tighten(QuotaSignal(1800.0, binds=(Traffic.READS,)))
    assert bids_pass(bench)
    assert await passes(bench.gate, Traffic.BIDS)
    assert not await passes(bench.gate)


async def test_a_bid_can_hear_that_reports_have_to_wait(bench: Bench) -> None:
    bench.gate.tighten(QuotaSignal(1800.0, binds=(Traffic.REPORTS,)))
    assert bids_pass(bench)
    assert not await passes(bench.gate, Traffic.REPORTS)


@pytest.mark.parametrize("traffic", list(Traffic))
async def test_what_is_said_to_one_account_binds_no_other(bench: Bench, traffic: Traffic) -> None:
    eu, us = bench.of("eu"), bench.of("us")
    eu.tighten(QuotaSignal(1800.0, binds=(traffic,)))
    assert not await passes(eu, traffic)
    assert await passes(us, traffic)
    assert await passes(bench.gate, traffic)
    assert bids_pass(bench, "eu") is (traffic is not Traffic.BIDS)
    assert bids_pass(bench, "us")


@pytest.mark.parametrize("traffic", list(Traffic))
async def test_what_is_said_of_the_application_binds_every_account(
    bench: Bench, traffic: Traffic
) -> None:
    bench.of("eu").tighten(QuotaSignal(1800.0, binds=(traffic,), every_account=True))
    for gate in (bench.of("eu"), bench.of("us"), bench.gate):
        assert not await passes(gate, traffic)


async def test_what_a_pause_needs_is_read_while_the_platform_asks_for_patience(
    bench: Bench,
) -> None:
    for traffic in Traffic:
        bench.gate.tighten(QuotaSignal(1800.0, 100.0, binds=(traffic,)))
    with bench.gate.urgent():
        assert await passes(bench.gate)
        assert await passes(bench.gate, Traffic.LOGIN)
    assert not await passes(bench.gate)


async def test_also_past_an_open_breaker_a_login_is_a_login(bench: Bench) -> None:
    bench.breaker.acquire().fail()
    with bench.gate.urgent():
        async with bench.gate.read("token", Traffic.LOGIN):
            bench.gate.tighten(WAIT)
    assert bids_pass(bench)


def test_no_account_can_be_taken_for_a_kind_of_traffic() -> None:
    names = [*Traffic, "login", "reads", "bids", ""]
    whose = [orders_for(str(name), traffic)[-1] for name in names for traffic in Traffic]
    assert not set(whose) & {orders_for(None, traffic)[-1] for traffic in Traffic}
