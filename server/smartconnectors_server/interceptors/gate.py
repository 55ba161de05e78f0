"""The way to the wire for a connector's reads: the same quota and the same breaker as for bids."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from smartconnectors_server.call import Call
from smartconnectors_server.circuitbreaker import CircuitBreaker, CircuitOpen, State
from smartconnectors_server.clock import Clock
from smartconnectors_server.connector import QuotaSignal, Traffic
from smartconnectors_server.errors import ConnectorError, PlatformUnavailable
from smartconnectors_server.ratelimit import EVERYONE, THE_SERVER, LowPriority, RateLimiter
from smartconnectors_server.telemetry import Telemetry, current, names

_URGENT = ContextVar("_URGENT", default=False)
"""Whether the reads of the present task are on the way of a pause."""
_CALL: ContextVar[Call | None] = ContextVar("_CALL", default=None)
"""The call that the reads of the present task are made for; None: the server's own work."""
_TRAFFIC = ContextVar("_TRAFFIC", default=Traffic.BIDS)
"""What the present call to the platform counts as there."""


def orders_for(account: str | None, traffic: Traffic = Traffic.BIDS) -> tuple[str, ...]:
    """Whose orders a call of the account obeys at the rate limiter: those for every account, and
    the account's own. Reads obey those for bids too; logins obey none but their own.

    `account` None: it is not known, so orders for single accounts are left to the platform.
    """
    own = _whose(account, traffic)
    everyones = _whose(None, traffic)
    obeyed = (everyones,) if account is None else (everyones, own)
    return (*orders_for(account), *obeyed) if traffic is Traffic.READS else obeyed


def _whose(account: str | None, traffic: Traffic) -> str:
    """The name that orders for this traffic have at the rate limiter. Reports have one of their
    own, so there they are everyone's.
    """
    kind = EVERYONE if traffic in (Traffic.BIDS, Traffic.REPORTS) else traffic.value
    # No account's name has a blank, so none can be taken for a kind of traffic.
    return kind if account is None else f"{kind} of {account}"


@contextmanager
def reading_for(call: Call) -> Iterator[None]:
    """Inside of it reads use the share of the quota that the call's own change would use."""
    token = _CALL.set(call)
    try:
        yield
    finally:
        _CALL.reset(token)


@contextmanager
def _counts_as(traffic: Traffic) -> Iterator[None]:
    # Most platforms count reads and changes together; one that does not says so.
    token = _TRAFFIC.set(Traffic.BIDS if traffic is Traffic.READS else traffic)
    try:
        yield
    finally:
        _TRAFFIC.reset(token)


class BreakerOpen(PlatformUnavailable):
    """A read was not sent because the breaker is open."""

    platform_fault = False


class WireGate:
    """The gate of one account of a platform. See `Gate` for what it promises."""

    def __init__(
        self,
        platform: str,
        limiter: RateLimiter,
        reports: LowPriority,
        breaker: CircuitBreaker,
        clock: Clock,
        telemetry: Telemetry,
        account: str | None = None,
    ) -> None:
        """`account`: its name in the settings; None: the platform has one account, or it is for
        calls of no account in particular.
        """
        self._platform = platform
        self._limiter = limiter
        self._reports = reports
        self._breaker = breaker
        self._clock = clock
        self._telemetry = telemetry
        self._account = account

    @asynccontextmanager
    async def read(self, what: str, traffic: Traffic = Traffic.READS) -> AsyncIterator[None]:
        call = _CALL.get()
        urgent = _URGENT.get() and (call is None or call.urgent)
        reserved = urgent and (call is None or call.reserved)
        # A login serves every caller, so it is the server's own.
        asker = THE_SERVER if call is None or traffic is Traffic.LOGIN else call.asker
        obeys = () if urgent else orders_for(self._account, traffic)
        try:
            permit = self._breaker.acquire()
        except CircuitOpen as error:
            if urgent:
                await self._limiter.take(reserved=reserved, obeys=obeys, asker=asker)
                with _counts_as(traffic):
                    yield
                return
            raise BreakerOpen(
                f"{self._platform}: the circuit breaker is open, so the {what} was not read",
                retry_after_s=error.retry_after_s,
            ) from None
        try:
            await self._limiter.take(reserved=reserved, obeys=obeys, asker=asker)
            permit.restart()
            started_ns = self._clock.monotonic_ns()
            tracer = self._telemetry.tracer
            try:
                with (
                    tracer.inside(current.get(), names.SPAN_READ, self._clock, "client"),
                    _counts_as(traffic),
                ):
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
            await self._reports.take(orders_for(self._account, Traffic.REPORTS))
            started_ns = self._clock.monotonic_ns()
            try:
                with (
                    self._telemetry.tracer.inside(
                        current.get(), names.SPAN_READ, self._clock, "client"
                    ),
                    _counts_as(Traffic.REPORTS),
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
        heard_on = _TRAFFIC.get()
        # Whatever the answer to a report says of bids, the answers to bids say it too.
        bound = signal.binds if heard_on is Traffic.BIDS and signal.binds else (heard_on,)
        account = None if signal.every_account else self._account
        for traffic in bound:
            engine = self._reports if traffic is Traffic.REPORTS else self._limiter
            whose = _whose(account, traffic)
            engine.tighten(signal.retry_after_s, signal.usage_percent, whose=whose)
