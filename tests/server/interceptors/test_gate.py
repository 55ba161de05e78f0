"""The way to the wire for reports: what they take, and what the breaker does not hear of them."""

from __future__ import annotations

import pytest
from tests.server.ratelimit.test_low_priority import Quota

from smartconnectors_server.circuitbreaker import BreakerSettings, CircuitBreaker, State
from smartconnectors_server.errors import PlatformUnavailable
from smartconnectors_server.interceptors.gate import WireGate
from smartconnectors_server.telemetry import Telemetry

SETTINGS = BreakerSettings(failure_threshold=1, slow_call_ms=500, open_s=30)


class Bench:
    def __init__(self) -> None:
        self.quota = Quota(100, 10)
        self.breaker = CircuitBreaker(SETTINGS, self.quota.clock)

    async def start(self) -> None:
        await self.quota.start()
        self.gate = WireGate(
            "meta",
            self.quota.limiter,
            self.quota.reports,
            self.breaker,
            self.quota.clock,
            Telemetry(),
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
