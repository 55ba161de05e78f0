"""The keeper of budgets: which budgets a bid counts in, one atomic step for each change, and what a
refusal says. The ledger decides whether an amount fits; the keeper speaks to callers about it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from smartconnectors_server.budget.campaigns import CampaignRecords
from smartconnectors_server.budget.dispatches import Dispatches
from smartconnectors_server.budget.refusal import (
    exceeded,
    paused,
    spoken,
    target_in_doubt,
    unavailable,
)
from smartconnectors_server.budget.resolution import Verb
from smartconnectors_server.budget.scopes import check_scope, scopes_of
from smartconnectors_server.budget.watch import Watch
from smartconnectors_server.errors import (
    InternalError,
    LedgerUnavailable,
    NotFound,
    OutcomeUnknown,
    RequestIdReused,
    RequestInProgress,
)
from smartconnectors_server.ledger import (
    BY_OPERATOR,
    BudgetState,
    DuplicateRequest,
    Entry,
    Erased,
    Hold,
    HoldNotOpen,
    HoldState,
    Ledger,
    Page,
    Pause,
    Paused,
    Refused,
    Reservation,
    TargetBlocked,
    Unavailable,
)

log = logging.getLogger(__name__)

_CLOSED_BY_VERB = {Verb.RELEASE: HoldState.RELEASED, Verb.REJECT: HoldState.REJECTED}


class Keeper:
    """Holds money for bids and resolves each hold exactly once.

    Attributes:
        dispatches: what is being sent.
        campaigns: what is remembered of campaigns at their platforms.
    """

    def __init__(
        self, ledger: Ledger, watch: Watch, settled: Callable[[Hold], None] = lambda _: None
    ) -> None:
        """`settled` is told of every hold that is committed, once, as it is."""
        self._ledger = ledger
        self._watch = watch
        self.dispatches = Dispatches(ledger, watch)
        self.campaigns = CampaignRecords(ledger)
        self._settled = settled

    # Looking

    @property
    def available(self) -> bool:
        """False while nothing can be admitted because the ledger cannot be written."""
        return self._ledger.available

    def now_ns(self) -> int:
        """Ledger time."""
        return self._ledger.now_ns()

    def budget_ids_of(self, book: str, campaign_id: str) -> tuple[str, ...]:
        """Every scope that a bid on this campaign counts in: the budgets that there are, and the
        campaign's scope, which can be paused without one. `book`: a platform or its shadow.
        """
        return scopes_of(book, campaign_id, self._ledger.budget_ids())

    def budget_ids(self) -> tuple[str, ...]:
        """All budgets, sorted."""
        return self._ledger.budget_ids()

    def state(self, budget_id: str) -> BudgetState:
        """One budget now. Raises NotFound."""
        try:
            return self._ledger.state(budget_id)
        except KeyError:
            raise NotFound(
                f"no budget is called {budget_id!r}; there are: "
                + ", ".join(self._ledger.budget_ids())
            ) from None

    def pause_of(self, scopes: Sequence[str]) -> Pause | None:
        """The pause that stops bids in any of these scopes; None: there is none."""
        return self._ledger.pause_of(scopes)

    def open_holds(self, state: HoldState | None = None) -> tuple[Hold, ...]:
        """Open holds, oldest first."""
        return self._ledger.open_holds(state)

    def recent_settled(self, platform: str, actor: str | None = None) -> tuple[Hold, ...]:
        """The last 100 settled bids of a caller on a platform that carry an LTV or an AI bid,
        oldest first; without `actor` those of all callers.
        """
        return self._ledger.recent_settled(platform, actor)

    async def find(self, platform: str, request_id: str, *, actor: str) -> Hold | None:
        """The hold that binds a request id of this caller. Raises LedgerUnavailable."""
        with spoken():
            return await self._ledger.find(platform, request_id, actor)

    async def hold(self, hold_id: str) -> Hold | None:
        """One hold, open or not. Raises LedgerUnavailable."""
        with spoken():
            return await self._ledger.get(hold_id)

    async def record_calls(self, platform: str, at_ns: int, count: int) -> None:
        """Remembers calls to a platform, durably, for its limiter. Raises LedgerUnavailable."""
        with spoken():
            await self._ledger.record_calls(platform, at_ns, count)

    async def calls_since(self, platform: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        """(at_ns, count) of the calls remembered after `since_ns`, oldest first."""
        with spoken():
            return await self._ledger.calls_since(platform, since_ns)

    async def entries(
        self, *, budget_id: str, request_id: str, size: int, token: str
    ) -> Page[Entry]:
        """The audit ledger, oldest first. Raises LedgerUnavailable."""
        with spoken():
            return await self._ledger.entries(
                budget_id=budget_id, request_id=request_id, size=size, token=token
            )

    # Changing

    async def check(self, reservation: Reservation) -> None:
        """Raises what `reserve` would raise; holds nothing."""
        try:
            await self._ledger.check(reservation)
        except (Refused, Paused, TargetBlocked, Unavailable) as error:
            raise self._veto(error, reservation.budget_ids, reservation.actor) from error

    async def reserve(self, reservation: Reservation) -> Hold:
        """Holds the amount in every budget in scope, durably, or raises and holds nothing.

        Raises:
            BudgetExceeded, BudgetPaused, TargetInDoubt, RequestIdReused, LedgerUnavailable.
        """
        try:
            hold = await self._ledger.reserve(reservation)
        except DuplicateRequest as error:
            raise RequestIdReused(
                f"request id {reservation.request_id!r} is already in use"
            ) from error
        except (Refused, Paused, TargetBlocked, Unavailable) as error:
            raise self._veto(error, reservation.budget_ids, reservation.actor) from error
        self._watch.changed()
        return hold

    async def resolve(
        self,
        hold: Hold,
        verb: Verb,
        *,
        answer: bytes = b"",
        error: str = "",
        note: str = "",
        actor: str = "",
    ) -> Hold:
        """Ends a held or in-doubt hold by `verb`, or puts it in doubt. `actor`: the operator who
        said so; empty: the server found out by itself.

        A hold that was already ended (by an operator, while the platform was being asked what had
        become of it) stays so; when the platform turns out to have accepted it, that truth enters
        the ledger all the same.
        """
        try:
            changed = await self._apply(hold, verb, answer, error, note, actor)
        except HoldNotOpen as closed:
            changed = await self._apply_late(hold, closed.hold, verb, answer)
        self._watch.changed()
        return changed

    async def _apply(
        self, hold: Hold, verb: Verb, answer: bytes, error: str, note: str, actor: str
    ) -> Hold:
        if verb in (Verb.SETTLE, Verb.SETTLE_ASSUMED):
            if verb is Verb.SETTLE_ASSUMED:
                note = f"assumed: {note or 'the platform could not say'}"
                actor = ""
            settled = await self._ledger.settle(hold.hold_id, answer=answer, note=note, actor=actor)
            self._settled(settled)
            return settled
        if verb is Verb.DOUBT:
            return await self._ledger.doubt(hold.hold_id, error=error, note=note)
        state = _CLOSED_BY_VERB[verb]
        return await self._ledger.release(
            hold.hold_id, state, answer=answer, error=error, note=note, actor=actor
        )

    async def _apply_late(self, hold: Hold, now: Hold | None, verb: Verb, answer: bytes) -> Hold:
        if now is None:
            raise InternalError(f"hold {hold.hold_id} is not known to the ledger")
        if verb is not Verb.SETTLE or now.state is HoldState.SETTLED:
            return now
        note = "accepted after it was given back"
        try:
            return await self.settle_late(now, answer=answer, note=note)
        except LedgerUnavailable as error:
            raise OutcomeUnknown(
                f"{hold.platform} accepted request {hold.request_id}, which an operator had given "
                "back, and the ledger cannot write that now.",
                retry_after_s=error.retry_after_s,
            ) from error

    async def settle_late(
        self, hold: Hold, *, answer: bytes = b"", note: str, actor: str = ""
    ) -> Hold:
        """Truth that arrives late: commits a hold that was given back, even above the limit.

        Raises LedgerUnavailable when it has entered, but is not on disk yet and must not be told.
        """
        try:
            with spoken():
                settled = await self._ledger.settle(
                    hold.hold_id, answer=answer, note=note, late=True, actor=actor
                )
        except LedgerUnavailable:
            self._say_late(hold, note)
            raise
        self._say_late(hold, note)
        self._settled(settled)
        return settled

    def _say_late(self, hold: Hold, note: str) -> None:
        log.warning(
            "budget %s: %d micros entered late (request %s): %s",
            hold.budget_ids[0] if hold.budget_ids else "",
            hold.amount_micros,
            hold.request_id,
            note,
        )
        self._watch.changed()

    async def defer(
        self,
        hold: Hold,
        *,
        amount_micros: int,
        until_ns: int,
        source: str,
        uncapped_micros: int,
        note: str,
    ) -> Hold:
        """A held hold, provably not sent, waits for the breaker, for at most what it held."""
        changed = await self._ledger.defer(
            hold.hold_id,
            amount_micros=amount_micros,
            until_ns=until_ns,
            source=source,
            uncapped_micros=uncapped_micros,
            note=note,
        )
        self._watch.changed()
        return changed

    async def dispatch(self, hold: Hold, *, target: str, before: str, actor: str = "") -> Hold:
        """A deferred hold is about to be sent; durable on return.

        Raises HoldNotOpen (something else ended it), BudgetPaused, TargetInDoubt,
        LedgerUnavailable.
        """
        try:
            changed = await self._ledger.dispatch(
                hold.hold_id, target=target, before=before, actor=actor
            )
        except (Paused, TargetBlocked, Unavailable) as error:
            raise self._veto(error, (), "") from error
        self._watch.changed()
        return changed

    async def expire(self, hold: Hold) -> Hold:
        """A deferred hold has waited too long."""
        changed = await self._ledger.release(
            hold.hold_id, HoldState.EXPIRED, note="waited too long for the circuit breaker"
        )
        self._watch.changed()
        return changed

    async def end_by_operator(
        self, hold_id: str, *, settled: bool, reason: str, actor: str = ""
    ) -> Hold:
        """Ends a deferred hold or one in doubt by an operator's word, or commits one that was given
        back; durable.

        Raises RequestInProgress while its call is under way, NotFound, LedgerUnavailable.
        """
        hold = await self.hold(hold_id)
        if hold is None:
            raise NotFound(f"no hold is called {hold_id!r}")
        ended = await self._end(hold, settled, f"{BY_OPERATOR}{reason}", actor)
        with spoken():
            await self._ledger.flush()
        return ended

    async def _end(self, hold: Hold, settled: bool, note: str, actor: str) -> Hold:
        if hold.state is HoldState.HELD:
            # What a crash leaves held is in doubt, so this process is asking the platform just now.
            raise RequestInProgress(
                f"request {hold.request_id} is being sent to {hold.platform}, and its answer ends "
                "the hold. Wait for it, or resolve the hold once it is in doubt.",
                retry_after_s=0.5,
                metadata={"request_id": hold.request_id, "hold_id": hold.hold_id},
            )
        if not settled:
            return await self.resolve(hold, Verb.RELEASE, note=note, actor=actor)
        if hold.state is HoldState.SETTLED:
            return hold
        if not hold.state.is_open:
            return await self.settle_late(hold, note=note, actor=actor)
        if hold.state is HoldState.DEFERRED:
            hold = await self.dispatch(hold, target=hold.target, before=hold.before, actor=actor)
        return await self.resolve(hold, Verb.SETTLE, note=note, actor=actor)

    async def set_limit(
        self, budget_id: str, limit_micros: int, reason: str, *, actor: str = ""
    ) -> BudgetState:
        """Changes the first limit, durably. Raises NotFound, LedgerUnavailable."""
        self.state(budget_id)
        with spoken():
            state = await self._ledger.set_limit(budget_id, limit_micros, reason, actor=actor)
        self._watch.changed()
        return state

    async def set_limits(self, limits: Mapping[str, int], reason: str) -> None:
        """As `Ledger.set_limits`. Raises NotFound, LedgerUnavailable."""
        for budget_id in limits:
            self.state(budget_id)
        try:
            with spoken():
                await self._ledger.set_limits(limits, reason)
        finally:
            self._watch.changed()

    async def set_paused(
        self, scope: str, paused_now: bool, reason: str, *, actor: str = ""
    ) -> None:
        """Pauses or resumes a budget, a campaign with or without one, or ALL; durably. From the
        call on no bid is admitted or dispatched there, but for those that lower exposure. `actor`
        is who wants it.

        Raises NotFound, LedgerUnavailable.
        """
        check_scope(scope, self.budget_ids())
        with spoken():
            await self._ledger.set_paused(scope, paused_now, reason, actor=actor)
        self._watch.changed()

    async def erase(self, customer: str, reason: str, *, actor: str = "") -> Erased:
        """Erases who a customer, named by the keyed hash, is. Raises LedgerUnavailable."""
        with spoken():
            return await self._ledger.erase(customer, reason, actor=actor)

    # Parts

    def _veto(
        self,
        error: Refused | Paused | TargetBlocked | Unavailable,
        budget_ids: Iterable[str],
        actor: str,
    ) -> Exception:
        if isinstance(error, Unavailable):
            return unavailable(error)
        if isinstance(error, TargetBlocked):
            return target_in_doubt(error.hold, actor)
        self._ledger.veto(tuple(budget_ids))
        self._watch.changed()
        if isinstance(error, Paused):
            return paused(error.pause)
        return exceeded(error)
