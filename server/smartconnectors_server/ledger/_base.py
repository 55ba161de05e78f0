"""What a ledger is: the verbs it has.

A ledger is the one place that says whether an amount fits and the one place that remembers that it
was admitted. Every verb is one atomic step. `reserve`, `defer_new` and `dispatch` return only when
the step is durable, because something is sent or promised on their word; the others are applied at
once and made durable behind the caller's back (a crash then leaves the hold in doubt: safe).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from smartconnectors_server.ledger.alert_log import AlertLog
from smartconnectors_server.ledger.alerts import AlertLevel
from smartconnectors_server.ledger.bindings import NO_ADOPTION, Adoption, Binding
from smartconnectors_server.ledger.campaigns import Stop
from smartconnectors_server.ledger.records import (
    Budget,
    BudgetState,
    Entry,
    Erased,
    Hold,
    HoldState,
    Page,
    Pause,
    Reservation,
    Tally,
)
from smartconnectors_server.ledger.reported import Reported


class Ledger(Protocol):
    """One store of budgets, holds and the audit ledger."""

    @property
    def alerts(self) -> AlertLog:
        """The alerts that were told."""
        ...

    def look_at_alerts(self) -> None:
        """Puts on record which levels of budgets have ended with time alone; waits for nothing."""
        ...

    @property
    def reported(self) -> Reported:
        """What platforms say they billed."""
        ...

    async def open(
        self,
        budgets: Sequence[Budget],
        bindings: Sequence[Binding] = (),
        adoption: Adoption = NO_ADOPTION,
    ) -> tuple[Budget, ...]:
        """Locks the store, recovers, and turns what was held at a crash into in doubt.

        `bindings`: where the bids of each platform go, on record from the first start on.
        `adoption`: for which platforms that may be somewhere else than until now.

        Returns the budgets as operators last changed them: the ledger wins over configuration for
        the amount of the first limit and for the pause; windows follow the configuration.

        Raises:
            StateDirectoryLocked: another process has it.
            BoundElsewhere: the store belongs to another mode, account or endpoint.
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

    async def set_limit(
        self, budget_id: str, limit_micros: int, note: str, *, actor: str = ""
    ) -> BudgetState:
        """Changes the first limit, durably. Raises KeyError for an unknown budget."""
        ...

    async def set_limits(self, limits: Mapping[str, int], note: str, *, actor: str = "") -> None:
        """Changes the first limits of several budgets, durably, all or none of them.

        Raises KeyError for an unknown budget, and Unavailable; when the new limits hold all the
        same, they are only not on disk yet.
        """
        ...

    async def set_paused(self, scope: str, paused: bool, note: str, *, actor: str = "") -> None:
        """Pauses or resumes a scope, durably: a budget, a campaign (see `campaign_scope`) without
        one, or ALL; `actor` is who wants it. From the call on nothing is admitted or dispatched in
        it; what is exempt is.
        """
        ...

    def record_campaign(self, scope: str, verb: str, note: str, *, actor: str = "") -> None:
        """Puts on record what was done to a campaign at its platform (the verbs are in
        `campaigns`); durable behind the caller's back.
        """
        ...

    async def campaigns(self) -> tuple[str, ...]:
        """The scopes of all campaigns that something was ever admitted to be sent for, or that a
        line is about; also of those whose holds are forgotten. Raises Unavailable.
        """
        ...

    async def paused_campaigns(self) -> Mapping[str, bool]:
        """What `campaigns.paused_campaigns` makes of all that is on record. Raises Unavailable."""
        ...

    async def stopped_campaigns(self) -> Mapping[str, Stop]:
        """The same of `campaigns.stopped_campaigns`."""
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
        self,
        hold_id: str,
        *,
        answer: bytes = b"",
        note: str = "",
        late: bool = False,
        actor: str = "",
    ) -> Hold:
        """Commits the full amount now. `late`: truth that arrives after the hold was given back;
        enters even above the limit, and durably. Raises HoldNotOpen; Unavailable when it has
        entered, but is not on disk yet and must not be told.
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
        actor: str = "",
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

    async def dispatch(self, hold_id: str, *, target: str, before: str, actor: str = "") -> Hold:
        """A deferred hold becomes held, about to be sent; durable on return.

        Raises HoldNotOpen, TargetBlocked, Paused, Unavailable.
        """
        ...

    async def doubt(self, hold_id: str, *, error: str = "", note: str = "") -> Hold:
        """A held hold becomes in doubt. Raises HoldNotOpen."""
        ...

    async def erase(self, customer: str, note: str, *, actor: str = "") -> Erased:
        """Takes out of holds, in memory and on disk, what tells who a customer is; of open ones
        when they close. `customer`: the keyed hash. Money and the audit ledger stay, but for a line
        that says so; durable on return. Raises Unavailable.
        """
        ...

    def veto(self, budget_ids: Sequence[str]) -> None:
        """Counts a refusal in the statistics of these budgets."""
        ...

    async def find(self, platform: str, request_id: str, actor: str = "") -> Hold | None:
        """The hold that binds this caller's request id (any state but RELEASED), or None."""
        ...

    async def knows_request(self, platform: str, request_id: str) -> bool:
        """Whether any line is about this request, of any caller and however old it is. Raises
        Unavailable.
        """
        ...

    async def get(self, hold_id: str) -> Hold | None:
        """One hold, open or not."""
        ...

    def state(self, budget_id: str) -> BudgetState:
        """One budget now. Raises KeyError."""
        ...

    def pause_of(self, scopes: Sequence[str]) -> Pause | None:
        """The pause that stops bids in any of these scopes; None: there is none."""
        ...

    def standing(self, budget_id: str) -> AlertLevel:
        """The alert level that was told last of a budget and stands."""
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
        """The audit ledger, oldest first, up to the newest change. Raises Unavailable."""
        ...

    def recent_settled(self, platform: str, actor: str | None = None) -> tuple[Hold, ...]:
        """The last 100 settled holds of a caller on the platform that carry an LTV or an AI bid,
        oldest first; without `actor` those of every caller that has such a history.
        """
        ...

    async def flush(self) -> None:
        """Returns when everything that was changed so far is durable. Raises Unavailable."""
        ...

    async def record_calls(self, platform: str, at_ns: int, count: int) -> None:
        """Remembers that `count` calls to the platform may be made until `at_ns`; durable on
        return. Raises Unavailable.
        """
        ...

    async def calls_since(self, platform: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        """(at_ns, count) of the calls remembered after `since_ns`, oldest first."""
        ...

    async def settled_since(self, budget_id: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        """(at_ns, amount) of what was committed in one budget after `since_ns`, oldest first.
        Raises Unavailable.
        """
        ...

    async def keep_tallies(self, tallies: Sequence[Tally]) -> None:
        """Remembers these in the place of what had their keys; durable on return. Raises
        Unavailable.
        """
        ...

    async def tallies(self) -> tuple[Tally, ...]:
        """Every tally, by subject and outcome. Raises Unavailable."""
        ...
