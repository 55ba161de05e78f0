"""Ledgers that are each wrong in one way, to try the promises on."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from tests.conformance.ledger.bench import Maker

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.ledger import (
    NO_ADOPTION,
    Adoption,
    Binding,
    Budget,
    BudgetState,
    Hold,
    HoldState,
    Refused,
    Reservation,
)
from smartconnectors_server.ledger.records import Step
from smartconnectors_server.ledger.sqlite import SqliteLedger


class ChecksThenRecords(SqliteLedger):
    """Looks whether it fits, waits, and records: what everybody writes first."""

    async def reserve(self, reservation: Reservation) -> Hold:
        await self.check(reservation)
        await asyncio.sleep(0)
        return await super().reserve(dataclasses.replace(reservation, exempt=True))


class GivesBackTwice(SqliteLedger):
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
        before = self._book.get(hold_id)
        hold = await super().release(
            hold_id, state, answer=answer, error=error, note=note, actor=actor
        )
        if before is not None:
            self._book._scopes.count_open(before, -1)
        return hold


class CommitsWhenItReserves(SqliteLedger):
    """The window runs from the reserve: a late settle is live beside twice the limit."""

    async def reserve(self, reservation: Reservation) -> Hold:
        hold = await super().reserve(reservation)
        await super().settle(hold.hold_id)
        return hold

    async def settle(
        self,
        hold_id: str,
        *,
        answer: bytes = b"",
        note: str = "",
        late: bool = False,
        actor: str = "",
    ) -> Hold:
        hold = self._book.get(hold_id)
        assert hold is not None
        return hold


class ForgetsToCommit(SqliteLedger):
    async def settle(
        self,
        hold_id: str,
        *,
        answer: bytes = b"",
        note: str = "",
        late: bool = False,
        actor: str = "",
    ) -> Hold:
        hold = self._book.get(hold_id)
        assert hold is not None
        return self._later(self._book._close(hold, HoldState.SETTLED, "settle", self.now_ns()))


class FreesWhatWasHeldAtACrash(SqliteLedger):
    async def open(
        self,
        budgets: Sequence[Budget],
        bindings: Sequence[Binding] = (),
        adoption: Adoption = NO_ADOPTION,
    ) -> tuple[Budget, ...]:
        told = await super().open(budgets, bindings, adoption)
        for hold in self.open_holds(HoldState.IN_DOUBT):
            await self.release(hold.hold_id)
        return told


_numbers = itertools.count()


class IgnoresTheRequestId(SqliteLedger):
    async def reserve(self, reservation: Reservation) -> Hold:
        unique = f"{reservation.request_id}-{next(_numbers)}"
        return await super().reserve(dataclasses.replace(reservation, request_id=unique))


class LooksAtOneScope(SqliteLedger):
    async def reserve(self, reservation: Reservation) -> Hold:
        first = reservation.budget_ids[:1]
        return await super().reserve(dataclasses.replace(reservation, budget_ids=first))


class ForgetsThePause(SqliteLedger):
    async def set_paused(self, scope: str, paused: bool, note: str, *, actor: str = "") -> None:
        """Says nothing to anybody."""


class PromisesTooEarly(SqliteLedger):
    async def reserve(self, reservation: Reservation) -> Hold:
        try:
            return await super().reserve(reservation)
        except Refused as error:
            if error.fits_at_ns is not None:
                error.fits_at_ns -= NANOS_PER_SECOND
            raise


class BelievesTheWallClock(SqliteLedger):
    def now_ns(self) -> int:
        return self._clock.wall_ns()


class KeepsWhatNobodyWaitsFor(SqliteLedger):
    async def _durable_or_give_back(self, step: Step) -> None:
        await self._commits.durable(step)


class SendsIntoDoubt(SqliteLedger):
    """Does not look whether the target is in doubt."""

    async def doubt(self, hold_id: str, *, error: str = "", note: str = "") -> Hold:
        hold = await super().doubt(hold_id, error=error, note=note)
        self._book._targets.remove(hold)
        return hold


class FreesWithTime(SqliteLedger):
    """What is open for longer than ten minutes is given back."""

    def state(self, budget_id: str) -> BudgetState:
        for hold in self.open_holds():
            if self.now_ns() - hold.created_ns > 600 * NANOS_PER_SECOND:
                self._later(self._book.release(hold.hold_id, HoldState.EXPIRED, self.now_ns()))
        return super().state(budget_id)


class ShrinksToFit(SqliteLedger):
    """Admits part of an amount that does not fit as a whole."""

    async def reserve(self, reservation: Reservation) -> Hold:
        room = min(self.state(b).remaining_micros() for b in reservation.budget_ids)
        amount = min(reservation.amount_micros, room)
        return await super().reserve(dataclasses.replace(reservation, amount_micros=amount))


CAUGHT_BY: Mapping[Maker, str] = {
    ChecksThenRecords: "admission-two_hundred_at_once_never_exceed_the_limit",
    GivesBackTwice: "holds-what_is_given_back_counts_nowhere",
    CommitsWhenItReserves: "windows-an_amount_enters_the_window_when_it_settles",
    ForgetsToCommit: "holds-an_amount_is_in_one_of_the_four_sums_at_a_time",
    FreesWhatWasHeldAtACrash: "restarts-what_was_held_is_in_doubt_afterwards",
    IgnoresTheRequestId: "admission-of_one_request_id_at_once_one_is_admitted",
    LooksAtOneScope: "admission-an_amount_has_to_fit_every_budget_in_scope",
    ForgetsThePause: "admission-a_paused_budget_admits_nothing",
    PromisesTooEarly: "admission-it_fits_at_the_retry_time_and_not_a_bucket_earlier",
    BelievesTheWallClock: "windows-a_step_of_the_wall_clock_changes_nothing",
    KeepsWhatNobodyWaitsFor: "admission-who_stops_waiting_for_a_reserve_holds_nothing",
    SendsIntoDoubt: "admission-a_target_in_doubt_takes_nothing_more",
    FreesWithTime: "holds-time_alone_frees_nothing_that_is_open",
    ShrinksToFit: "admission-what_fits_is_admitted_to_the_last_micro",
}
"""Which promise each of them breaks."""
