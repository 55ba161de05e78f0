"""What a ledger is: the records it keeps and the verbs it has.

A ledger is the one place that says whether an amount fits and the one place that remembers that it
was admitted. Every verb is one atomic step. `reserve`, `defer_new` and `dispatch` return only when
the step is durable, because something is sent or promised on their word; the others are applied at
once and made durable behind the caller's back (a crash then leaves the hold in doubt: safe).
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Row = TypeVar("Row")


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


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget as configured. The first limit is the one that statistics show first."""

    budget_id: str
    currency_code: str
    limits: tuple[Limit, ...]
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a bid asks the ledger to hold.

    `amount_micros` 0 with `exempt` holds nothing and passes exhausted and paused budgets: for
    changes that lower exposure. `defer_until_ns` set: the hold is written as deferred, supersedes
    an older deferred one of the same target, and expires then.
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


@dataclass(frozen=True, slots=True)
class Hold:
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
    """One line of the audit ledger. `sequence` is given when it is written."""

    at_ns: int
    verb: str
    budget_ids: tuple[str, ...]
    hold_id: str
    platform: str
    request_id: str
    amount_micros: int
    currency_code: str
    note: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit of a budget at one instant, in micros."""

    limit: Limit
    committed_micros: int
    next_release_ns: int | None


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


class LedgerError(Exception):
    """Base of what a ledger raises."""


class Refused(LedgerError):
    """The amount does not fit.

    Attributes:
        state: the tightest budget that refused, as it was at that instant.
        limit_index: which of its limits.
        amount_micros: what was asked.
        fits_at_ns: the earliest ledger time at which this amount fits every scope if open holds
            stay open and nobody else bids; None when that never happens.
        blocked_by: "limit" (can never fit), "holds" (only open holds are in the way), or "".
    """

    def __init__(
        self,
        state: BudgetState,
        limit_index: int,
        amount_micros: int,
        fits_at_ns: int | None,
        blocked_by: str,
    ) -> None:
        super().__init__(f"{state.budget_id}: {amount_micros} micros do not fit")
        self.state = state
        self.limit_index = limit_index
        self.amount_micros = amount_micros
        self.fits_at_ns = fits_at_ns
        self.blocked_by = blocked_by


class Paused(LedgerError):
    """A budget in scope is paused."""

    def __init__(self, budget_id: str) -> None:
        super().__init__(f"{budget_id} is paused")
        self.budget_id = budget_id


class DuplicateRequest(LedgerError):
    """The request id is already known; `hold` is what it belongs to."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(f"request {hold.request_id} is known")
        self.hold = hold


class TargetBlocked(LedgerError):
    """An in-doubt hold is on the target; `hold` is that one."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(f"{hold.target} is in doubt")
        self.hold = hold


class HoldNotOpen(LedgerError):
    """The verb does not apply to a hold in this state."""

    def __init__(self, hold: Hold | None, hold_id: str) -> None:
        super().__init__(f"hold {hold_id} is {hold.state.value if hold else 'not known'}")
        self.hold = hold


class Unavailable(LedgerError):
    """The store cannot be read or written; nothing was admitted."""


class Damaged(LedgerError):
    """Committed data is missing from the store; the message says what and what to do."""


class StateDirectoryLocked(LedgerError):
    """Another server has the state directory; the message names it."""


class Ledger(Protocol):
    """One store of budgets, holds and the audit ledger."""

    async def open(self, budgets: Sequence[Budget]) -> tuple[Budget, ...]:
        """Locks the store, recovers, and turns what was held at a crash into in doubt.

        Returns the budgets as operators last changed them: the ledger wins over configuration for
        the amount of the first limit and for the pause; windows follow the configuration.

        Raises:
            StateDirectoryLocked: another process has it.
            Damaged: committed data is missing.
            Unavailable: the store cannot be read.
        """
        ...

    async def close(self) -> None:
        """Makes everything durable and releases the store."""
        ...

    @property
    def available(self) -> bool:
        """False while the store cannot be written."""
        ...

    def now_ns(self) -> int:
        """Ledger time."""
        ...

    async def set_limit(self, budget_id: str, limit_micros: int, note: str) -> BudgetState:
        """Changes the first limit, durably. Raises KeyError for an unknown budget."""
        ...

    async def set_paused(self, budget_id: str, paused: bool, note: str) -> BudgetState:
        """Pauses or resumes, durably. Raises KeyError for an unknown budget."""
        ...

    async def reserve(self, reservation: Reservation) -> Hold:
        """Admits and holds, in every budget in scope, in one step; durable on return.

        Raises:
            Refused, Paused, DuplicateRequest, TargetBlocked, Unavailable.
        """
        ...

    async def check(self, reservation: Reservation) -> None:
        """Raises what `reserve` would raise for the amount or the target; holds nothing."""
        ...

    async def settle(
        self, hold_id: str, *, answer: bytes = b"", note: str = "", late: bool = False
    ) -> Hold:
        """Commits the full amount now. `late`: truth that arrives after the hold was given back;
        enters even above the limit. Raises HoldNotOpen.
        """
        ...

    async def release(
        self,
        hold_id: str,
        state: HoldState = HoldState.RELEASED,
        *,
        answer: bytes = b"",
        error: str = "",
        note: str = "",
    ) -> Hold:
        """Gives the amount back, into one of the closed states but SETTLED. Raises HoldNotOpen."""
        ...

    async def defer(
        self,
        hold_id: str,
        *,
        amount_micros: int,
        until_ns: int,
        source: str,
        uncapped_micros: int = 0,
        note: str = "",
    ) -> Hold:
        """A held hold, provably not sent, becomes deferred, for at most what it held.

        Raises HoldNotOpen.
        """
        ...

    async def dispatch(self, hold_id: str, *, target: str, before: str) -> Hold:
        """A deferred hold becomes held, about to be sent; durable on return.

        Raises HoldNotOpen, TargetBlocked, Paused, Unavailable.
        """
        ...

    async def doubt(self, hold_id: str, *, error: str = "", note: str = "") -> Hold:
        """A held hold becomes in doubt. Raises HoldNotOpen."""
        ...

    async def remember(self, hold_id: str, *, answer: bytes) -> Hold:
        """Stores the answer of a hold without changing where it stands."""
        ...

    def veto(self, budget_ids: Sequence[str]) -> None:
        """Counts a refusal in the statistics of these budgets."""
        ...

    async def find(self, platform: str, request_id: str) -> Hold | None:
        """The hold that binds this request id (any state but RELEASED), or None."""
        ...

    async def get(self, hold_id: str) -> Hold | None:
        """One hold, open or not."""
        ...

    def state(self, budget_id: str) -> BudgetState:
        """One budget now. Raises KeyError."""
        ...

    def budget_ids(self) -> tuple[str, ...]:
        """All budgets, sorted."""
        ...

    def open_holds(self, state: HoldState | None = None) -> tuple[Hold, ...]:
        """Open holds, oldest first."""
        ...

    async def entries(
        self, *, budget_id: str = "", request_id: str = "", size: int = 100, token: str = ""
    ) -> Page[Entry]:
        """The audit ledger, oldest first."""
        ...

    def recent_settled(self, platform: str) -> tuple[Hold, ...]:
        """The last 100 settled holds of the platform that carry an LTV, oldest first."""
        ...

    async def record_calls(self, platform: str, at_ns: int, count: int) -> None:
        """Remembers that `count` calls to the platform may be made until `at_ns`; durable on
        return. Raises Unavailable.
        """
        ...

    async def calls_since(self, platform: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        """(at_ns, count) of the calls remembered after `since_ns`, oldest first."""
        ...
