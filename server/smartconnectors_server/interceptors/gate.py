"""The way to the wire for a connector's reads: the same quota and the same breaker as for bids."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from smartconnectors_server.circuitbreaker import CircuitBreaker, CircuitOpen, State
from smartconnectors_server.clock import Clock
from smartconnectors_server.connector import QuotaSignal
from smartconnectors_server.errors import ConnectorError, PlatformUnavailable
from smartconnectors_server.ratelimit import LowPriority, RateLimiter
from smartconnectors_server.telemetry import Telemetry, current, names

_URGENT = ContextVar("_URGENT", default=False)
"""Whether the reads of the present task are on the way of a pause."""


class BreakerOpen(PlatformUnavailable):
    """A read was not sent because the breaker is open."""

    platform_fault = False


class WireGate:
    """A platform's gate. See `Gate` for what it promises."""

    def __init__(
        self,
        platform: str,
        limiter: RateLimiter,
        reports: LowPriority,
        breaker: CircuitBreaker,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._platform = platform
        self._limiter = limiter
        self._reports = reports
        self._breaker = breaker
        self._clock = clock
        self._telemetry = telemetry

    @asynccontextmanager
    async def read(self, what: str) -> AsyncIterator[None]:
        urgent = _URGENT.get()
        try:
            permit = self._breaker.acquire()
        except CircuitOpen as error:
            if urgent:
                await self._limiter.take(reserved=True)
                yield
                return
            raise BreakerOpen(
                f"{self._platform}: the circuit breaker is open, so the {what} was not read",
                retry_after_s=error.retry_after_s,
            ) from None
        try:
            await self._limiter.take(reserved=urgent)
            permit.restart()
            started_ns = self._clock.monotonic_ns()
            tracer = self._telemetry.tracer
            try:
                with tracer.inside(current.get(), names.SPAN_READ, self._clock, "client"):
                    yield
            finally:
                took_ns = self._clock.monotonic_ns() - started_ns
                self._telemetry.metrics.platform_call(self._platform, "read", took_ns)
        except ConnectorError as error:
            if error.platform_fault:
                permit.fail()
            else:
                permit.release()
            raise
        except BaseException:
            permit.release()
            raise
        permit.succeed_as_read()

    @asynccontextmanager
    async def report(self, what: str) -> AsyncIterator[None]:
        # Only while the breaker is closed: a probe of a half-open one belongs to a bid. Nothing is
        # told to the breaker, because a report that is slow or fails says nothing about bids.
        if self._breaker.state is not State.CLOSED:
            raise BreakerOpen(
                f"{self._platform}: the circuit breaker is not closed, so the {what} was not read",
                retry_after_s=self._breaker.retry_after_s() or None,
            )
        permit = self._breaker.acquire()
        try:
            await self._reports.take()
            started_ns = self._clock.monotonic_ns()
            try:
                with self._telemetry.tracer.inside(
                    current.get(), names.SPAN_READ, self._clock, "client"
                ):
                    yield
            finally:
                took_ns = self._clock.monotonic_ns() - started_ns
                self._telemetry.metrics.platform_call(self._platform, "report", took_ns)
        finally:
            permit.release()

    @contextmanager
    def urgent(self) -> Iterator[None]:
        token = _URGENT.set(True)
        try:
            yield
        finally:
            _URGENT.reset(token)

    def tighten(self, signal: QuotaSignal) -> None:
        self._limiter.tighten(
            retry_after_s=signal.retry_after_s, usage_percent=signal.usage_percent
        )
