"""What a platform says of its quota limits the traffic that it was said to, and nothing else: a
throttled report, login or other account never stops bids, and nothing stops a pause.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.conformance.platforms.conftest import TIMEOUT_MS, Bench, OpenGate
from tests.server.ratelimit.test_low_priority import Stores

from smartconnectors_server.circuitbreaker import BreakerSettings, CircuitBreaker
from smartconnectors_server.clock import SystemClock
from smartconnectors_server.connector import Context, Mode, Platform
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind, Sandbox
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.interceptors.gate import WireGate, orders_for
from smartconnectors_server.ratelimit import LowPriority, RateLimiter
from smartconnectors_server.telemetry import Telemetry

SINCE = datetime.now(UTC).date() - timedelta(days=3)
HALF_AN_HOUR_MS = 1_800_000


@dataclass
class Throttled:
    """A platform with the server's own limiter and gates, one for each of two accounts."""

    platform: Platform
    sandbox: Sandbox
    limiter: RateLimiter
    reports: LowPriority
    endpoint: str
    gates: dict[str, WireGate]
    benches: dict[str, Bench]

    async def report(self, account: str = "") -> Any:
        return await self.benches[account].connector.reported_spend(SINCE)

    async def throttle_reports(self) -> None:
        """Has the platform refuse one report for half an hour."""
        await self.report()
        await self.sandbox.add_fault(Fault(FaultKind.QUOTA, delay_ms=HALF_AN_HOUR_MS))
        with pytest.raises(RateLimited):
            await self.report()
        await self.sandbox.clear_faults()

    async def throttle_bids(self) -> None:
        """Has the platform refuse one bid for half an hour."""
        quota = Fault(FaultKind.QUOTA, delay_ms=HALF_AN_HOUR_MS, method=CHANGES)
        await self.sandbox.add_fault(quota)
        with pytest.raises(RateLimited):
            await self.benches[""].bid("1001", "throttled")
        await self.sandbox.clear_faults()


async def _throttled(platform: Platform, accounts: tuple[str, ...]) -> Throttled:
    sandbox, clock, stores = platform.sandbox(), SystemClock(), Stores()
    limiter = RateLimiter(platform.name, stores, clock.wall_ns, limit=1000, window_s=3600.0)
    reports = LowPriority(platform.name, limiter, stores, clock.wall_ns, percent=10.0)
    await limiter.open()
    await reports.open()
    breaker = CircuitBreaker(BreakerSettings(failure_threshold=100), clock)
    made = Throttled(platform, sandbox, limiter, reports, await sandbox.start(), {}, {})
    for account in accounts:
        name = None if len(accounts) == 1 else account
        gate = WireGate(platform.name, limiter, reports, breaker, clock, Telemetry(), name)
        options = platform.options.model_validate({})
        context = Context(Mode.SANDBOX, options, made.endpoint, TIMEOUT_MS, gate, clock, TIMEOUT_MS)
        connector = platform.connector(context)
        await connector.connect()
        made.gates[account] = gate
        made.benches[account] = Bench(platform, sandbox, connector, OpenGate())
    return made


async def _opened(platform: Platform, *accounts: str) -> AsyncIterator[Throttled]:
    made = await _throttled(platform, accounts)
    yield made
    for bench in made.benches.values():
        await bench.connector.close()
    await made.sandbox.close()


@pytest.fixture
async def throttled(platform: Platform) -> AsyncIterator[Throttled]:
    """With one account."""
    async for made in _opened(platform, ""):
        yield made


@pytest.fixture
async def two_accounts(platform: Platform) -> AsyncIterator[Throttled]:
    async for made in _opened(platform, "", "other"):
        yield made


async def test_a_throttled_report_leaves_bids_alone(throttled: Throttled) -> None:
    await throttled.throttle_reports()
    throttled.limiter.check()
    assert throttled.limiter.headroom() > 900
    await throttled.benches[""].bid("1001", "beside-a-throttled-report")
    assert throttled.benches[""].applied() == 1


async def test_a_throttled_report_is_not_asked_for_again_before_its_time(
    throttled: Throttled,
) -> None:
    await throttled.throttle_reports()
    asked = len(throttled.sandbox.journal())
    with pytest.raises(RateLimited, match="reports are throttled") as caught:
        await throttled.report()
    assert 1790 < (caught.value.retry_after_s or 0) <= 1860
    assert len(throttled.sandbox.journal()) == asked


async def test_a_throttled_bid_holds_up_the_bids_after_it(throttled: Throttled) -> None:
    await throttled.throttle_bids()
    with pytest.raises(RateLimited, match="the platform asks for fewer"):
        throttled.limiter.check()


async def test_a_pause_is_tried_while_the_platform_asks_for_patience(throttled: Throttled) -> None:
    bench = throttled.benches[""]
    await bench.set_paused("1002", paused=False)  # so that whoever has to log in has done so
    await throttled.throttle_bids()
    await throttled.limiter.take(reserved=True)
    paused = await bench.set_paused("1002", paused=True)
    assert paused.changed
    assert bench.applied() == 1


async def test_reports_of_one_account_leave_bids_of_every_account_alone(
    two_accounts: Throttled,
) -> None:
    await two_accounts.throttle_reports()
    for account, bench in two_accounts.benches.items():
        two_accounts.limiter.check(obeys=orders_for(account))
        await bench.bid("1001", f"for-{account}")


async def test_a_refused_read_of_a_bid_is_not_asked_for_again_before_its_time(
    throttled: Throttled,
) -> None:
    bench = throttled.benches[""]
    await bench.set_paused("1001", paused=False)
    await throttled.sandbox.add_fault(Fault(FaultKind.QUOTA, delay_ms=HALF_AN_HOUR_MS))
    with pytest.raises(RateLimited):
        await bench.bid("1002", "refused")
    asked = len(throttled.sandbox.journal())
    with pytest.raises(RateLimited):
        await bench.bid("1003", "not-asked")
    assert len(throttled.sandbox.journal()) == asked
