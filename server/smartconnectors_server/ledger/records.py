"""The records that a ledger keeps, and the figures that it tells."""

from __future__ import annotations

import dataclasses
import enum
import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from smartconnectors_server.ledger.totals import counted_in

Row = TypeVar("Row")

RequestKey = tuple[str, str, str]
"""Platform, caller and request id: each caller has its own ids."""


class HoldState(enum.Enum):
    """Where a hold stands. The first three count in the budget as what they are called."""

    HELD = "held"
    DEFERRED = "deferred"
    IN_DOUBT = "in_doubt"
    SETTLED = "settled"
    RELEASED = "released"
    """Nothing was sent; the request id may be used again."""
    REJECTED = "rejected"
    """The platform refused it; the answer is remembered."""
    EXPIRED = "expired"
    SUPERSEDED = "superseded"

    @property
    def is_open(self) -> bool:
        """True while the hold still counts as held, deferred or in doubt."""
        return self in OPEN_STATES


OPEN_STATES = frozenset({HoldState.HELD, HoldState.DEFERRED, HoldState.IN_DOUBT})


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """The trailing `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CalendarWindow:
    """The current "hour", "day" or "month" in `time_zone` (an IANA name)."""

    unit: str
    time_zone: str = "UTC"


Window = SlidingWindow | CalendarWindow


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `limit_micros` inside one window."""

    limit_micros: int
    window: Window


ALL = "all"
"""The scope of a pause that stops every bid."""


EVERY_CAMPAIGN = "*"
"""In the place of a campaign's id: the budget that each campaign without one gets of its own."""


def campaign_scope(platform: str, campaign_id: str) -> str:
    """What a campaign is called: its budget, if it has one, and the scope of a pause."""
    return f"{platform}/campaigns/{campaign_id}"


def platform_and_campaign(scope: str) -> tuple[str, str] | None:
    """What `campaign_scope` was given; None for the name of anything else."""
    platform, middle, campaign_id = scope.partition("/campaigns/")
    return (platform, campaign_id) if platform and middle and campaign_id else None


def campaign_in(budget_ids: tuple[str, ...]) -> str:
    """The scope of the campaign among the scopes of a hold; empty: it is for none."""
    return next((scope for scope in budget_ids if "/campaigns/" in scope), "")


@dataclass(frozen=True, slots=True)
class Pause:
    """No new bids on a scope: a budget, a campaign without one, or ALL. Times are ledger time."""

    scope: str
    reason: str
    at_ns: int
    actor: str = ""
    """Who paused it; empty: not known."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget as configured. The first limit is the one that statistics show first."""

    budget_id: str
    currency_code: str
    limits: tuple[Limit, ...]
    paused: bool = False


class _OfRequest:
    """What is made for one request of one caller."""

    __slots__ = ()
    platform: str
    actor: str
    request_id: str

    @property
    def key(self) -> RequestKey:
        """What its request id binds."""
        return (self.platform, self.actor, self.request_id)


@dataclass(frozen=True, slots=True)
class Reservation(_OfRequest):
    """What a bid asks the ledger to hold.

    `budget_ids` are the scopes that it counts in: the budgets, and its campaign's scope also when
    the campaign has no budget of its own. `amount_micros` 0 with `exempt` holds nothing and passes
    exhausted budgets and pauses: for changes that lower exposure. `defer_until_ns` set: the hold is
    written as deferred, supersedes an older deferred one of the same campaign and target, and
    expires then.
    """

    platform: str
    request_id: str
    fingerprint: str
    method: str
    target: str
    budget_ids: tuple[str, ...]
    amount_micros: int
    currency_code: str
    source: str
    request: bytes = b""
    before: str = ""
    ltv_micros: int = 0
    ai_bid_micros: int = 0
    uncapped_micros: int = 0
    exempt: bool = False
    defer_until_ns: int | None = None
    trace: str = ""
    """The traceparent of the sampled call that asked; empty: none."""
    actor: str = ""
    """Which caller asks, by its name. Request ids and prices belong to their caller."""
    customer: str = ""
    """The keyed hash of the end customer; empty: none."""
    place: str = ""
    """The mode, endpoint and account that it is for (see `bindings`)."""


@dataclass(frozen=True, slots=True)
class Hold(_OfRequest):
    """Money that is reserved for one request, and afterwards the memory of it.

    Times are ledger time in nanoseconds. `before` is the platform state recorded before the
    dispatch, in the platform's own form. `answer` is the stored answer (a serialized response) and
    `error` a stored refusal (JSON); both empty while there is none.
    """

    hold_id: str
    platform: str
    request_id: str
    fingerprint: str
    method: str
    target: str
    budget_ids: tuple[str, ...]
    amount_micros: int
    currency_code: str
    source: str
    state: HoldState
    created_ns: int
    updated_ns: int
    request: bytes = b""
    before: str = ""
    ltv_micros: int = 0
    ai_bid_micros: int = 0
    uncapped_micros: int = 0
    expires_ns: int = 0
    dispatched_ns: int = 0
    answer: bytes = b""
    error: str = ""
    note: str = ""
    trace: str = ""
    customer: str = ""
    erase: bool = False
    """True: what tells who the customer is goes when it closes."""
    place: str = ""
    actor: str = ""
    """The caller that asked for it."""

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back unchanged."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        record: dict[str, Any] = {name: getattr(self, name) for name in _HOLD_FIELDS}
        record["state"] = self.state.value
        record["budget_ids"] = list(self.budget_ids)
        record["request"] = self.request.hex()
        record["answer"] = self.answer.hex()
        return record

    @classmethod
    def begun(cls, asked: Reservation, hold_id: str, now_ns: int) -> Hold:
        """What a reservation becomes when it is admitted."""
        deferred = asked.defer_until_ns is not None
        return cls(
            hold_id=hold_id,
            platform=asked.platform,
            request_id=asked.request_id,
            fingerprint=asked.fingerprint,
            method=asked.method,
            target=asked.target,
            budget_ids=asked.budget_ids,
            amount_micros=asked.amount_micros,
            currency_code=asked.currency_code,
            source=asked.source,
            state=HoldState.DEFERRED if deferred else HoldState.HELD,
            created_ns=now_ns,
            updated_ns=now_ns,
            request=asked.request,
            before=asked.before,
            ltv_micros=asked.ltv_micros,
            ai_bid_micros=asked.ai_bid_micros,
            uncapped_micros=asked.uncapped_micros,
            expires_ns=asked.defer_until_ns or 0,
            dispatched_ns=0 if deferred else now_ns,
            trace=asked.trace,
            customer=asked.customer,
            place=asked.place,
            actor=asked.actor,
        )

    @property
    def priced(self) -> bool:
        """True when it tells of a price: it carries an LTV or an AI bid."""
        return bool(self.ltv_micros or self.ai_bid_micros)

    @property
    def counts_in(self) -> tuple[str, ...]:
        """The budgets that it counts in, a total that was configured later included."""
        return counted_in(self.platform, self.budget_ids)

    @classmethod
    def from_json(cls, text: str) -> Hold:
        """The hold that `to_json` wrote."""
        record = json.loads(text)
        record["state"] = HoldState(record["state"])
        record["budget_ids"] = tuple(record["budget_ids"])
        record["request"] = bytes.fromhex(record["request"])
        record["answer"] = bytes.fromhex(record["answer"])
        return cls(**record)


_HOLD_FIELDS = tuple(field.name for field in dataclasses.fields(Hold))


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit ledger. `hash` is given when it is written (see `chain`).

    `actor` is who asked for it, by the name that callers are known by; empty: the server did it by
    itself; of an alert about a bid in doubt, the caller whose bid it is. `customer` is the keyed
    hash of the end customer that the hold is for; empty: none.
    """

    at_ns: int
    verb: str
    budget_ids: tuple[str, ...]
    hold_id: str
    platform: str
    request_id: str
    amount_micros: int
    currency_code: str
    note: str = ""
    actor: str = ""
    customer: str = ""
    sequence: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something has happened, for a report. No money hangs on it. Times are ledger time.

    `subject` says of what it is counted, `outcome` what happened; together they are the key.
    """

    subject: str
    outcome: str
    count: int = 0
    sum_micros: int = 0
    worst_micros: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def and_one(self, at_ns: int, amount_micros: int, worst_micros: int = 0) -> Tally:
        """The same after it has happened once more."""
        return Tally(
            self.subject,
            self.outcome,
            self.count + 1,
            self.sum_micros + amount_micros,
            max(self.worst_micros, worst_micros),
            self.first_ns or at_ns,
            at_ns,
        )


@dataclass(frozen=True, slots=True)
class Erased:
    """How many holds tell no more who their customer is, and how many will not once they close."""

    holds: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Step:
    """What one verb changed: made durable together or not at all."""

    holds: tuple[Hold, ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def hold(self) -> Hold:
        """The hold that the verb was about."""
        return self.holds[-1]


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit of a budget at one instant, in micros."""

    limit: Limit
    committed_micros: int
    next_release_ns: int | None


@dataclass(frozen=True, slots=True)
class ReportedPeriod:
    """What the platform says it billed in a period: reported, not committed. In micros."""

    spend_micros: int
    as_of_ns: int
    period: str


@dataclass(frozen=True, slots=True)
class BudgetState:
    """One budget at one instant, in micros; the four sums are disjoint."""

    budget_id: str
    currency_code: str
    limits: tuple[LimitState, ...]
    held_micros: int
    deferred_micros: int
    in_doubt_micros: int
    accepted_count: int
    vetoed_count: int
    paused: bool
    at_ns: int
    sequence: int
    reported: ReportedPeriod | None = None
    """Of the present day of the ad account; None: not known."""

    @property
    def open_micros(self) -> int:
        """Held, deferred and in doubt together."""
        return self.held_micros + self.deferred_micros + self.in_doubt_micros

    def used_micros(self, index: int = 0) -> int:
        """Everything that counts against the limit at `index`."""
        return self.limits[index].committed_micros + self.open_micros

    def remaining_micros(self) -> int:
        """What fits the tightest of the limits."""
        rooms = (s.limit.limit_micros - self.used_micros(i) for i, s in enumerate(self.limits))
        return max(0, min(rooms))


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows and, when there are more, the token of the next page."""

    rows: tuple[Row, ...]
    next_token: str = ""
