"""What every interceptor is, and the engines that they share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from smartconnectors_server.alerts import UnknownIds
from smartconnectors_server.budget import Candidates, Courses, Keeper, Tallies
from smartconnectors_server.call import Call, MethodSpec
from smartconnectors_server.circuitbreaker import CircuitBreaker
from smartconnectors_server.clock import Clock
from smartconnectors_server.connector import (
    DEFAULT_ACCOUNT,
    AccountFacts,
    Connector,
    Mode,
    Platform,
    Traffic,
    account_named,
)
from smartconnectors_server.customers import Customers
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.interceptors.gate import orders_for
from smartconnectors_server.interceptors.link import Link
from smartconnectors_server.interceptors.targets import TargetLocks
from smartconnectors_server.ledger import Binding, Hold, shadow_of
from smartconnectors_server.ratelimit import LowPriority, RateLimiter
from smartconnectors_server.settings import PlatformSettings, Settings
from smartconnectors_server.telemetry import Telemetry

Next = Callable[[Any, Call], Awaitable[Any]]
"""The rest of the chain: request and call in, response out."""


@dataclass(slots=True, eq=False)
class PlatformRuntime:
    """One platform with its engines."""

    platform: Platform
    settings: PlatformSettings
    """Replaced as a whole when the configuration is reloaded, so it is read where it is used."""
    accounts: Mapping[str, Any]
    """Name -> the platform's own settings, for each ad account; the only one may have no name."""
    binding: Binding
    """Where its bids go."""
    mode: Mode
    currency_code: str
    breaker: CircuitBreaker
    limiter: RateLimiter
    reports: LowPriority
    """The share of its quota for reports."""
    link: Link
    """Its connection."""
    targets: TargetLocks = field(default_factory=TargetLocks)
    last_change_ns: dict[str, int] = field(default_factory=dict)
    """Target -> ledger time of its last change."""
    fallback_count: int = 0
    """Bids that the heuristic has priced."""
    facts: dict[str, AccountFacts] = field(default_factory=dict)
    """Name -> what the platform said of the account when it was connected, if it was asked."""

    @property
    def name(self) -> str:
        """The platform's name."""
        return self.platform.name

    @property
    def book(self) -> str:
        """What the ledger calls it, which is also its budget's id: its name, or in shadow mode that
        of its shadow.
        """
        return shadow_of(self.name) if self.mode is Mode.SHADOW else self.name

    def place_of(self, request: Any) -> str:
        """Where a request goes, as its hold carries it. Raises InvalidBid."""
        common = request.bid if "bid" in request.DESCRIPTOR.fields_by_name else request.update
        account = account_named(common.account, self.accounts)
        return self.binding.place(account or DEFAULT_ACCOUNT)

    def goes_to_place_of(self, hold: Hold, request: Any) -> bool:
        """False when a hold was meant for another mode, endpoint or account than its request would
        go to now: nothing of it may be sent, looked up or answered here.
        """
        try:
            return hold.place == self.place_of(request)
        except InvalidBid:
            return False

    @property
    def is_connected(self) -> bool:
        """True once the platform can be called."""
        return self.link.is_connected

    def obeys(self, request: Any) -> tuple[str, ...]:
        """Whose orders about quota bind a request: those for every account, and with several
        accounts those for the one that it names. A batch names none: each of its bids has asked
        for itself.
        """
        if len(self.accounts) < 2:
            return orders_for(None)
        fields = getattr(getattr(request, "DESCRIPTOR", None), "fields_by_name", ())
        field_name = next((name for name in ("bid", "update") if name in fields), None)
        if field_name is None:
            return orders_for(None)
        try:
            return orders_for(account_named(getattr(request, field_name).account, self.accounts))
        except InvalidBid:
            return orders_for(None)  # only a campaign's pause or resumption may name none here

    def throttled_s(self, traffic: Traffic) -> float:
        """Seconds for which the platform still asks this traffic, of one account at least, to wait;
        0: it does not.
        """
        engine = self.reports if traffic is Traffic.REPORTS else self.limiter
        accounts = (None, *self.accounts) if len(self.accounts) > 1 else (None,)
        return max(engine.ordered_wait_s(orders_for(one, traffic)) for one in accounts)

    async def connector(self, call: Call | None = None) -> Connector:
        """The connector, once it is connected. Waits for the first attempt to connect, but not
        beyond what the deadline of `call` leaves. Raises PlatformUnavailable.
        """
        return await self.link.connector(call, least_ms=self.settings.min_deadline_ms)

    async def first_attempt(self, call: Call) -> None:
        """Waits for the first attempt to connect, as `connector` does."""
        await self.link.wait(call, least_ms=self.settings.min_deadline_ms)


@dataclass(slots=True, eq=False)
class Engines:
    """What interceptors are made from."""

    settings: Settings
    """Replaced as a whole when the configuration is reloaded, so it is read where it is used."""
    clock: Clock
    keeper: Keeper
    telemetry: Telemetry
    runtimes: Mapping[str, PlatformRuntime]
    customers: Customers
    tallies: Tallies
    candidates: Candidates
    courses: Courses
    unknown_ids: UnknownIds

    def runtime(self, call: Call) -> PlatformRuntime:
        """The platform that a call is for."""
        return self.runtimes[call.spec.platform]


class Interceptor(Protocol):
    """One check on the way down, and what follows from it on the way up."""

    name: ClassVar[str]

    def __init__(self, engines: Engines) -> None: ...

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        """True when the interceptor has anything to do for a method."""
        ...

    async def intercept(self, call_next: Next, request: Any, call: Call) -> Any:
        """Calls `call_next` at most once. Raises only ConnectorError on purpose."""
        ...
