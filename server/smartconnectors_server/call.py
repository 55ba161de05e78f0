"""One call on its way through the chain, and the table of methods that may be called."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from smartconnectors.common.v1 import options_pb2
from smartconnectors.common.v1.bid_pb2 import BidRequest
from smartconnectors.common.v1.campaign_pb2 import CampaignBudgetUpdate
from smartconnectors_server.access import ANYBODY, Caller, Credentials, Role
from smartconnectors_server.ledger import Hold
from smartconnectors_server.ratelimit import THE_SERVER, Asker
from smartconnectors_server.telemetry import Trace


class MethodTableError(Exception):
    """A method lacks what the server needs to know of it; the server must not start."""


class Kind(enum.Enum):
    """What a method asks for, told by the common message that its request carries."""

    BID = "bid"
    CAMPAIGN_BUDGET = "campaign_budget"
    MANY = "many"
    """Many requests of another method: a batch or a stream. Each goes through the chain itself."""
    OTHER = "other"


_KIND_OF_MESSAGE = {
    BidRequest.DESCRIPTOR.full_name: ("bid", Kind.BID),
    CampaignBudgetUpdate.DESCRIPTOR.full_name: ("update", Kind.CAMPAIGN_BUDGET),
}


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """What the chain knows of a method before any call."""

    path: str
    """`/package.Service/Method`"""
    name: str
    """`Method`"""
    platform: str
    """Whose budget, quota and breaker apply; empty: none."""
    spends: bool
    role: int
    kind: Kind
    client_streaming: bool
    server_streaming: bool
    urgent: bool
    """Passes an open breaker and, for the role `operate`, may use the reserved share of the quota.
    A dry run of it does neither."""
    request_class: type[Message]
    response_class: type[Message]

    @property
    def holds_money(self) -> bool:
        """True when one call of it is one hold."""
        return self.spends and self.kind is not Kind.MANY

    @property
    def reaches_platform(self) -> bool:
        """True when one call of it is one call of the platform."""
        return bool(self.platform) and self.kind is not Kind.MANY

    @classmethod
    def of(cls, method: MethodDescriptor) -> MethodSpec:
        """Reads the `guard` option. Raises MethodTableError when something is missing."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        options = method.GetOptions()
        if not options.HasExtension(options_pb2.guard):
            raise MethodTableError(f"{path} has no `guard` option")
        guard = options.Extensions[options_pb2.guard]
        if guard.role == options_pb2.ROLE_UNSPECIFIED:
            raise MethodTableError(f"{path}: its `guard` option names no role")
        kind = Kind.OTHER
        for request_field in method.input_type.fields:
            message = request_field.message_type
            if message is not None and message.full_name in _KIND_OF_MESSAGE:
                expected_name, kind = _KIND_OF_MESSAGE[message.full_name]
                if request_field.name != expected_name:
                    raise MethodTableError(
                        f"{path}: field {request_field.name} should be called {expected_name}"
                    )
            elif message is not None and _carries_a_bid(message):
                kind = Kind.MANY
        if guard.spends and (not guard.platform or kind is Kind.OTHER):
            raise MethodTableError(
                f"{path} spends, so its guard must name a platform and its request must carry "
                "a BidRequest, a CampaignBudgetUpdate or requests that do"
            )
        if method.client_streaming and kind is not Kind.MANY:
            raise MethodTableError(f"{path} streams requests that carry no bid")
        return cls(
            path=path,
            name=method.name,
            platform=guard.platform,
            spends=guard.spends,
            role=guard.role,
            kind=kind,
            client_streaming=method.client_streaming,
            server_streaming=method.server_streaming,
            urgent=guard.urgent,
            request_class=GetMessageClass(method.input_type),
            response_class=GetMessageClass(method.output_type),
        )


def _carries_a_bid(message: Descriptor) -> bool:
    return any(
        inner.message_type is not None
        and inner.message_type.full_name == BidRequest.DESCRIPTOR.full_name
        for inner in message.fields
    )


class MethodTable:
    """Every method that the chain guards, by path."""

    def __init__(self, services: Iterable[ServiceDescriptor], platforms: Iterable[str]) -> None:
        """Raises MethodTableError when a method of `services` is not fully described or names a
        platform that is not among `platforms`.
        """
        known = frozenset(platforms)
        specs = [MethodSpec.of(method) for service in services for method in service.methods]
        for spec in specs:
            if spec.platform and spec.platform not in known:
                raise MethodTableError(f"{spec.path}: no platform is called {spec.platform!r}")
        self._by_path: Mapping[str, MethodSpec] = {spec.path: spec for spec in specs}

    def get(self, path: str) -> MethodSpec | None:
        """The method at `path`, or None when it is not one of ours (health, reflection)."""
        return self._by_path.get(path)

    def __iter__(self) -> Any:
        return iter(self._by_path.values())

    def __len__(self) -> int:
        return len(self._by_path)


class Permit(Protocol):
    """What the innermost part of the chain does with a breaker's permit."""

    def restart(self) -> None:
        """Starts the permit's clock anew: what came before was not the platform."""
        ...

    def fail(self) -> None:
        """The platform is at fault, whatever else is said of the call afterwards."""
        ...


class Gathering(Protocol):
    """A batch of bids that are sent as one. It goes out when none of its bids is still on its way:
    a bid that waits for something outside of the batch says so.
    """

    def pause(self, call: Call) -> None:
        """The bid waits for something that only happens when others are done."""
        ...

    def resume(self, call: Call) -> None:
        """The bid is on its way again."""
        ...


class Source(enum.Enum):
    """Who decided the amount."""

    AI = "ai"
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class Priced:
    """What is to be bid, decided before anything is planned. Amounts in micros."""

    request_id: str
    bid_micros: int
    """The amount to bid. 0 for a campaign budget update: the plan says what it commits."""
    ltv_micros: int
    """The predicted lifetime value; 0: none."""
    currency_code: str
    source: Source = Source.AI
    uncapped_micros: int = 0
    ai_bid_micros: int = 0
    """The caller's own bid; 0: none."""
    defer: bool = False
    """True: the breaker is open; hold the amount, send nothing."""

    def with_bid(self, bid_micros: int) -> Priced:
        """The same for another amount."""
        return dataclasses.replace(self, bid_micros=bid_micros)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a connector would do for one request, decided before any money is held.

    Attributes:
        target: what would change, for example `campaigns/1001` or `portfolios/77`. At most one
            dispatch is in flight or in doubt for each.
        amount_micros: what this commits when it is accepted.
        before: the platform's state that this would replace, in the connector's own form; kept in
            the ledger and handed back to `lookup`.
        wire: the request as it would be sent, for the connector's servicer.
        before_value: the setting now, in the connector's unit; None when it is not known.
        after_value: the setting afterwards, in the same unit.
        roas_millionths: the ROAS that is set; 0: none is.
        beside: what else changes, each as it is now and afterwards; now 0: not set.
        lowers_exposure: True when less can be spent afterwards.
        unchanged: True when the platform already has exactly this.
        may_move_others: True when further campaigns can share what is changed.
        marker: the request id that the platform shows for the last change of the target; empty: it
            shows none.
    """

    target: str
    amount_micros: int
    before: str = ""
    wire: Any = None
    before_value: int | None = None
    after_value: int = 0
    roas_millionths: int = 0
    beside: tuple[tuple[int, int], ...] = ()
    lowers_exposure: bool = False
    unchanged: bool = False
    may_move_others: bool = False
    marker: str = ""


@dataclass(slots=True, eq=False)
class Call:
    """One call. Made when it arrives; each interceptor adds what it decides."""

    spec: MethodSpec
    started_ns: int
    """Monotonic."""
    deadline_ns: int | None = None
    """Monotonic; None: the caller set none."""
    caller: Caller = ANYBODY
    shown: Credentials | None = None
    """What the caller shows, where it is looked at again: with each message of a stream."""
    request_id: str = ""
    campaign_id: str = ""
    currency_code: str = ""
    validate_only: bool = False
    reduce_only: bool = False
    fingerprint: str = ""
    priced: Priced | None = None
    plan: Plan | None = None
    hold: Hold | None = None
    task: asyncio.Task[Message] | None = None
    """The server's own task that the call runs in, once there is one."""
    held: bool = False
    """True from the instant the ledger is asked for a hold: from here on a caller that hangs up
    changes nothing."""
    dispatched: bool = False
    """True from the instant that bytes may have left for the platform."""
    platform_latency_ns: int = 0
    replayed: bool = False
    circuit: str = "closed"
    weight: int = 1
    """How many calls of the platform's quota it takes."""
    batch: Gathering | None = None
    """The batch that the bid is sent with; None: it is sent alone."""
    customer: str = ""
    """The keyed hash of the customer that the bid is for; empty: none."""
    traceparent: str = ""
    """The caller's W3C trace context; empty: none."""
    trace: Trace | None = None
    """None: the caller has none, and this call is not sampled."""
    permit: Permit | None = None
    """The breaker's permit, while the platform is being asked."""
    attributes: dict[str, str | int] = field(default_factory=dict)
    """What telemetry says of this call beside the fields above."""

    @property
    def actor(self) -> str:
        """Who asked; `anonymous` without access control."""
        return self.caller.name

    @property
    def urgent(self) -> bool:
        """True when it makes things safer; a dry run changes nothing, so it is not urgent."""
        return self.spec.urgent and not self.validate_only

    @property
    def reserved(self) -> bool:
        """True when it may use the reserved share of the quota: that belongs to `operate`."""
        return self.urgent and self.caller.role >= Role.OPERATE

    @property
    def asker(self) -> Asker:
        """Whose share of the quota it uses; without access control nobody has one."""
        if self.caller.name in ("", ANYBODY.name):
            return THE_SERVER
        return Asker(self.caller.name, dry_run=self.validate_only)

    def remaining_ns(self, now_ns: int) -> int | None:
        """Time left to the caller's deadline; None: no deadline."""
        return None if self.deadline_ns is None else self.deadline_ns - now_ns

    def present_price(self) -> Priced:
        """The price, which the fallback interceptor has set."""
        if self.priced is None:
            raise RuntimeError(f"{self.spec.path} was not priced")
        return self.priced

    def settled_plan(self) -> tuple[Priced, Plan]:
        """Price and plan, which the outer interceptors have set."""
        if self.plan is None:
            raise RuntimeError(f"{self.spec.path} was not planned")
        return self.present_price(), self.plan
