"""The embedded ledger: the rules of `Book` in memory, made durable in SQLite by group commit.

Memory is the truth while the process lives and is rebuilt from the file when it starts. A commit
that fails or stalls makes the ledger unavailable: who waits is refused, what they were promised is
given back by a further line, and everything stays queued in order until a commit succeeds.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from smartconnectors_server.clock import Clock, LedgerClock
from smartconnectors_server.failpoints import Moment
from smartconnectors_server.ledger.adopting import bind
from smartconnectors_server.ledger.advice import (
    refusal_to_open,
    say_how_far_the_wall_clock_is,
    say_that_boots_cannot_be_told_apart,
)
from smartconnectors_server.ledger.alert_log import AlertLog
from smartconnectors_server.ledger.alerts import AlertLevel
from smartconnectors_server.ledger.bindings import NO_ADOPTION, Adoption, Binding
from smartconnectors_server.ledger.book import Book
from smartconnectors_server.ledger.campaigns import Stop
from smartconnectors_server.ledger.erasing import erase
from smartconnectors_server.ledger.forgetting import Forgetting
from smartconnectors_server.ledger.group_commit import GroupCommit
from smartconnectors_server.ledger.known_ids import KnownIds
from smartconnectors_server.ledger.lock import DirectoryLock
from smartconnectors_server.ledger.reader import Reader, Seen
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
    Step,
    Tally,
)
from smartconnectors_server.ledger.recovery import recover, remembers_nothing
from smartconnectors_server.ledger.refusals import DuplicateRequest, HoldNotOpen, Unavailable
from smartconnectors_server.ledger.reported import Reported
from smartconnectors_server.ledger.store import Batch, Store
from smartconnectors_server.ledger.writes import reached_in
from smartconnectors_server.private import make_private_directory
from smartconnectors_server.threads import Pool, started


class SqliteLedger:
    """A ledger in one directory. See `Ledger` for what each method promises."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        gather_ms: float = 3.0,
        commit_timeout_s: float = 5.0,
        on_commit: Callable[[float, int], None] = lambda _seconds, _steps: None,
        pool: Pool = started,
        mark_file: Path | None = None,
    ) -> None:
        """`pool` makes the threads on which the file is written and read. `mark_file`: a further
        mark, outside of the directory.
        """
        self._directory = directory
        self._mark_file = mark_file
        self._clock = clock
        self._commits = GroupCommit(
            self._write,
            self._after_commit,
            gather_s=gather_ms / 1000,
            commit_timeout_s=commit_timeout_s,
            on_commit=on_commit,
            pool=pool,
        )
        self._reader = Reader(commit_timeout_s, pool)
        self._time = LedgerClock(clock)
        self._book = Book()
        self._lock: DirectoryLock | None = None
        self._store: Store | None = None
        self._ids = KnownIds(
            self.flush, lambda at: self._reader.read(lambda: self._disk.ids.after(at))
        )
        self._unwritten_truths: set[str] = set()  # settled late; the file has not heard yet
        self.alerts = AlertLog(
            later=self._commits.later,
            read=lambda look: self._reader.read(lambda: look(self._disk.alerts)),
            record=lambda change: self._book.telling.condition(change, self.now_ns()),
        )
        self.reported = Reported(
            write=lambda days, overs, step: self._commits.durable(step, reported=(days, overs)),
            read=lambda look: self._fresh(lambda: look(self._disk.reported)),
            record=lambda budget_id, platform, micros, note: self._book.tell_over(
                budget_id, platform, micros, note, self.now_ns()
            ),
        )

    # Opening and closing

    async def open(
        self,
        budgets: Sequence[Budget],
        bindings: Sequence[Binding] = (),
        adoption: Adoption = NO_ADOPTION,
    ) -> tuple[Budget, ...]:
        try:
            make_private_directory(self._directory)
            self._lock = DirectoryLock(self._directory)
            store = self._store = Store(self._directory, self._mark_file)
            self._time = LedgerClock(self._clock, store.last_at_ns(), store.reading())
            if remembers_nothing(store, budgets, self.now_ns()):
                self._time.catch_up()
            store.keep_reading(self._time.reading())
            recovered = recover(store, budgets, self.now_ns(), bindings)
            bound = bind(store, recovered.book, self.now_ns(), bindings, adoption)
            self.reported.restore(store.reported)
            self.alerts.restore(store.alerts)
            self._book = recovered.book
            self._forgetting = Forgetting(self.now_ns(), recovered.longest_window_s)
            say_how_far_the_wall_clock_is(self._time.behind_wall_s())
            if not self._time.knows_boot:
                say_that_boots_cannot_be_told_apart()
            self._reader.start()
            self._commits.start()
            for step in (*recovered.steps, *bound):
                self._commits.later(step)
            await self._commits.durable()
        except BaseException as error:
            await self.close()
            if (refusal := refusal_to_open(self._directory, error)) is not None:
                raise refusal from error
            raise
        return recovered.budgets

    async def close(self) -> None:
        if self._store is not None and self._commits.available:
            with contextlib.suppress(sqlite3.Error):  # an older reading does, too
                await self._commits.run(self._store.keep_reading, self._time.reading())
        await self._commits.stop()
        await self._ids.stop()
        await self._reader.stop()
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def _disk(self) -> Store:
        if self._store is None:
            raise Unavailable("the ledger is not open")
        return self._store

    @property
    def available(self) -> bool:
        return self._commits.available and self._reader.available

    def now_ns(self) -> int:
        return self._time.now_ns()

    # Budgets

    async def set_limit(
        self, budget_id: str, limit_micros: int, note: str, *, actor: str = ""
    ) -> BudgetState:
        await self.set_limits({budget_id: limit_micros}, note, actor=actor)
        return self.state(budget_id)

    async def set_limits(self, limits: Mapping[str, int], note: str, *, actor: str = "") -> None:
        self._commits.check()
        paused = {budget_id: self._book.budget(budget_id).paused for budget_id in limits}
        for budget_id, micros in limits.items():
            step = self._book.set_limit(budget_id, micros, note, self.now_ns(), actor=actor)
            self._commits.later(step, limit=(budget_id, micros, int(paused[budget_id])))
        await self._commits.durable()

    async def set_paused(self, scope: str, paused: bool, note: str, *, actor: str = "") -> None:
        self._commits.check()
        step = self._book.set_paused(scope, paused, note, self.now_ns(), actor=actor)
        await self._commits.durable(step, limit=(scope, None, int(paused)))

    def record_campaign(self, scope: str, verb: str, note: str, *, actor: str = "") -> None:
        step = self._book.record_campaign(scope, verb, note, self.now_ns(), actor=actor)
        self._commits.later(step)

    async def campaigns(self) -> tuple[str, ...]:
        return await self._fresh(self._disk.campaigns_in_place)

    async def paused_campaigns(self) -> Mapping[str, bool]:
        return await self._fresh(self._disk.paused_campaigns)

    async def stopped_campaigns(self) -> Mapping[str, Stop]:
        return await self._fresh(self._disk.stopped_campaigns)

    # The verbs

    async def reserve(self, reservation: Reservation) -> Hold:
        self._commits.check()
        known = await self.find(reservation.platform, reservation.request_id, reservation.actor)
        if known is not None:
            raise DuplicateRequest(known)
        step = self._book.reserve(reservation, self.now_ns())
        self._ids.add(reservation.key)
        await self._durable_or_give_back(step)
        return step.hold

    async def check(self, reservation: Reservation) -> None:
        self._commits.check()
        self._book.check(reservation, self.now_ns())

    async def settle(
        self,
        hold_id: str,
        *,
        answer: bytes = b"",
        note: str = "",
        late: bool = False,
        actor: str = "",
    ) -> Hold:
        if late and self._book.get(hold_id) is None:
            hold = await self._reader.read(lambda: self._disk.get(hold_id))
            if hold is not None:
                self._book.recall(hold)
        step = self._book.settle(
            hold_id, self.now_ns(), answer=answer, note=note, late=late, actor=actor
        )
        if not late:
            return self._later(step)
        self._ids.add(step.hold.key)
        # A crash would bring back that it was given back, and nobody would look it up any more.
        self._unwritten_truths.add(hold_id)
        await self._commits.durable(step)
        self._unwritten_truths.discard(hold_id)
        return step.hold

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
        return self._later(
            self._book.release(
                hold_id,
                state,
                self.now_ns(),
                answer=answer,
                error=error,
                note=note,
                actor=actor,
            )
        )

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
        return self._later(
            self._book.defer(
                hold_id,
                self.now_ns(),
                amount_micros=amount_micros,
                until_ns=until_ns,
                source=source,
                uncapped_micros=uncapped_micros,
                note=note,
            )
        )

    async def dispatch(self, hold_id: str, *, target: str, before: str, actor: str = "") -> Hold:
        self._commits.check()
        step = self._book.dispatch(
            hold_id, self.now_ns(), target=target, before=before, actor=actor
        )
        deferred_until_ns = step.hold.expires_ns
        try:
            await self._commits.durable(step)
        except (Unavailable, asyncio.CancelledError):
            with contextlib.suppress(HoldNotOpen):
                await self.defer(
                    hold_id,
                    amount_micros=step.hold.amount_micros,
                    until_ns=deferred_until_ns,
                    source=step.hold.source,
                    uncapped_micros=step.hold.uncapped_micros,
                    note="not dispatched: the ledger could not be written",
                )
            raise
        return step.hold

    async def doubt(self, hold_id: str, *, error: str = "", note: str = "") -> Hold:
        return self._later(self._book.doubt(hold_id, self.now_ns(), error=error, note=note))

    def veto(self, budget_ids: Sequence[str]) -> None:
        self._book.veto(budget_ids, self.now_ns())

    async def erase(self, customer: str, note: str, *, actor: str = "") -> Erased:
        self._commits.check()
        return await erase(
            self._book, self._commits, self._disk, self.now_ns, customer, note, actor
        )

    # Looking

    async def find(self, platform: str, request_id: str, actor: str = "") -> Hold | None:
        hold, key = self._book.find(platform, request_id, actor), (platform, actor, request_id)
        if hold is not None and hold.hold_id in self._unwritten_truths:
            await self._commits.durable()
            self._unwritten_truths.discard(hold.hold_id)
        if hold is not None and hold.state is HoldState.SUPERSEDED:
            # Not told before it is on disk: a crash would bring it back, and it would be placed.
            await self._commits.durable()
        if hold is not None or (self._ids.lacks(key) and self._reader.available):
            return hold
        hold = await self._reader.read(lambda: self._disk.ids.find(platform, request_id, actor))
        if hold is not None:
            # The file may not have heard yet of what became of it.
            hold = self._book.get(hold.hold_id) or hold
            return None if hold.state is HoldState.RELEASED else hold
        reserved_meanwhile = self._book.find(platform, request_id, actor)
        if reserved_meanwhile is not None:
            return reserved_meanwhile
        # This process is the only writer, so what is absent stays absent until it reserves.
        self._ids.looked_up_in_vain(key)
        return None

    async def knows_request(self, platform: str, request_id: str) -> bool:
        if self._book.remembers(platform, request_id):
            return True
        return await self._fresh(lambda: self._disk.ids.are_on_record(platform, request_id))

    async def get(self, hold_id: str) -> Hold | None:
        return self._book.get(hold_id) or await self._reader.read(lambda: self._disk.get(hold_id))

    def state(self, budget_id: str) -> BudgetState:
        state = self._book.state(budget_id, self.now_ns())
        reported = self.reported.today(budget_id, state.currency_code, state.at_ns)
        return state if reported is None else dataclasses.replace(state, reported=reported)

    def pause_of(self, scopes: Sequence[str]) -> Pause | None:
        return self._book.pause_of(scopes)

    def standing(self, budget_id: str) -> AlertLevel:
        return self._book.standing(budget_id)

    def budget_ids(self) -> tuple[str, ...]:
        return self._book.budget_ids()

    def open_holds(self, state: HoldState | None = None) -> tuple[Hold, ...]:
        return self._book.open_holds(state)

    def recent_settled(self, platform: str, actor: str | None = None) -> tuple[Hold, ...]:
        return self._book.recent_settled(platform, actor)

    async def entries(
        self, *, budget_id: str = "", request_id: str = "", size: int = 100, token: str = ""
    ) -> Page[Entry]:
        after = int(token or 0)
        rows = await self._fresh(lambda: self._disk.entries(budget_id, request_id, after, size + 1))
        more = len(rows) > size
        return Page(tuple(rows[:size]), str(rows[size - 1].sequence) if more else "")

    async def record_calls(self, platform: str, at_ns: int, count: int) -> None:
        self._commits.check()
        await self._commits.durable(calls=(platform, at_ns, count))

    async def calls_since(self, platform: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        return tuple(await self._reader.read(lambda: self._disk.calls_since(platform, since_ns)))

    async def settled_since(self, budget_id: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        found = await self._reader.read(lambda: self._disk.settled_since(budget_id, since_ns))
        return tuple(found)

    async def keep_tallies(self, tallies: Sequence[Tally]) -> None:
        self._commits.check()
        await self._commits.durable(tallies=tallies)

    async def tallies(self) -> tuple[Tally, ...]:
        return tuple(await self._reader.read(self._disk.tallies))

    # Committing

    async def flush(self) -> None:
        await self._commits.durable()

    async def _fresh(self, look: Callable[[], Seen]) -> Seen:
        """A look at the file that sees the newest change."""
        await self.flush()
        return await self._reader.read(look)

    def look_at_alerts(self) -> None:
        step = self._book.look_at_standing(self.now_ns())
        if step.entries:
            self._commits.later(step)

    def _later(self, step: Step) -> Hold:
        self._commits.later(step)
        return step.hold

    async def _durable_or_give_back(self, step: Step) -> None:
        try:
            await self._commits.durable(step)
        except (Unavailable, asyncio.CancelledError) as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            note = "the caller gave up" if cancelled else "the ledger could not be written"
            with contextlib.suppress(HoldNotOpen):  # an operator may have ended it meanwhile
                await self.release(step.hold.hold_id, note=note)
            raise

    def _write(self, batch: Batch) -> None:
        """On the ledger's thread."""
        if not batch:
            return
        batch.reading = self._time.reading()
        reached_in(Moment.BEFORE_COMMIT, batch.steps, calls=bool(batch.calls))
        self._disk.write(batch)
        reached_in(Moment.AFTER_COMMIT, batch.steps, calls=bool(batch.calls))

    async def _after_commit(self, batch: Batch) -> None:
        self.alerts.committed(batch.steps)
        self._ids.read_in_when_due()
        await self._forgetting.when_due(
            self.now_ns(), lambda *before: self._commits.run(self._disk.purge, *before)
        )
