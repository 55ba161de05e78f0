"""Budgets and their sums: does an amount fit, in every scope, at one instant? Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from smartconnectors_server.ledger.records import (
    ALL,
    EVERY_CAMPAIGN,
    OPEN_STATES,
    Budget,
    BudgetState,
    Hold,
    HoldState,
    Limit,
    LimitState,
    Pause,
    Reservation,
    SlidingWindow,
    platform_and_campaign,
)
from smartconnectors_server.ledger.refusals import Paused, Refused
from smartconnectors_server.ledger.shadow import real_of
from smartconnectors_server.window import CalendarSum, SlidingSum, WindowSum

NANOS_PER_SECOND = 1_000_000_000


def window_sum(limit: Limit) -> WindowSum:
    """An empty window of the kind that the limit asks for."""
    if isinstance(limit.window, SlidingWindow):
        return SlidingSum(round(limit.window.seconds * NANOS_PER_SECOND))
    return CalendarSum(limit.window.unit, limit.window.time_zone)


def veto_window_ns(budget: Budget) -> int:
    """How long a refusal stays in the statistics."""
    first = budget.limits[0].window
    seconds = first.seconds if isinstance(first, SlidingWindow) else 86_400.0
    return round(seconds * NANOS_PER_SECOND)


@dataclass(slots=True)
class _Scope:
    """One budget and its sums."""

    budget: Budget
    windows: tuple[WindowSum, ...]
    vetoes: SlidingSum
    open_micros: dict[HoldState, int] = field(default_factory=lambda: dict.fromkeys(OPEN_STATES, 0))
    sequence: int = 0

    def open_total(self) -> int:
        return sum(self.open_micros.values())


class Scopes:
    """Every budget, by id."""

    def __init__(self) -> None:
        self._scopes: dict[str, _Scope] = {}
        self._pauses: dict[str, Pause] = {}
        self._templates: dict[str, Budget] = {}
        """Platform -> what each of its campaigns gets that has no budget."""

    # Looking

    def budget_ids(self) -> tuple[str, ...]:
        """All budgets, sorted."""
        return tuple(sorted(self._scopes))

    def knows(self, budget_id: str) -> bool:
        """Whether it is configured; a scope may have no budget, and an old hold's may be gone."""
        return budget_id in self._scopes

    def budget(self, budget_id: str) -> Budget:
        """The budget as it is configured now. Raises KeyError."""
        return self._scopes[budget_id].budget

    def state(self, budget_id: str, now_ns: int) -> BudgetState:
        """One budget now. Raises KeyError."""
        scope = self._scopes[budget_id]
        return BudgetState(
            budget_id=budget_id,
            currency_code=scope.budget.currency_code,
            limits=tuple(
                LimitState(limit, window.total(now_ns), window.next_release_ns(now_ns))
                for limit, window in zip(scope.budget.limits, scope.windows, strict=True)
            ),
            held_micros=scope.open_micros[HoldState.HELD],
            deferred_micros=scope.open_micros[HoldState.DEFERRED],
            in_doubt_micros=scope.open_micros[HoldState.IN_DOUBT],
            accepted_count=scope.windows[0].count(now_ns),
            vetoed_count=scope.vetoes.count(now_ns),
            paused=self.pause_of((budget_id,)) is not None,
            at_ns=now_ns,
            sequence=scope.sequence,
        )

    def pause_of(self, scopes: Iterable[str]) -> Pause | None:
        """The pause that stops bids in these scopes, ALL first; None: there is none. A rehearsal
        stops where what it rehearses would.
        """
        if not self._pauses:
            return None
        asked = tuple(scopes)
        found = (self._pauses.get(scope) for scope in (ALL, *asked, *map(real_of, asked)))
        return next((pause for pause in found if pause is not None), None)

    def reaches(self, budget_id: str, percent: int, now_ns: int) -> bool:
        """Whether so much of a limit is used: committed, held, deferred or in doubt."""
        scope = self._scopes[budget_id]
        still_open = scope.open_total()
        return any(
            (window.total(now_ns) + still_open) * 100 >= percent * limit.limit_micros
            for limit, window in zip(scope.budget.limits, scope.windows, strict=True)
        )

    # Changing

    def configure(self, budget: Budget, sequence: int) -> None:
        """Adds a budget, empty. What was committed before is added by `commit`. That of every
        campaign is none itself, but what each campaign without one gets.
        """
        named = platform_and_campaign(budget.budget_id)
        if named is not None and named[1] == EVERY_CAMPAIGN:
            self._templates[named[0]] = budget
            return
        self._scopes[budget.budget_id] = _Scope(
            budget,
            tuple(window_sum(limit) for limit in budget.limits),
            SlidingSum(veto_window_ns(budget)),
            sequence=sequence,
        )
        if budget.paused:
            self._pauses.setdefault(budget.budget_id, Pause(budget.budget_id, "", 0))

    def lacking(self, budget_ids: Iterable[str]) -> list[Budget]:
        """The budgets of these campaigns that they are to get and do not have yet."""
        if not self._templates:
            return []
        unknown = [scope for scope in budget_ids if scope not in self._scopes]
        named = [(scope, platform_and_campaign(scope)) for scope in unknown]
        return [
            dataclasses.replace(self._templates[found[0]], budget_id=scope)
            for scope, found in named
            if found is not None and found[0] in self._templates
        ]

    @contextmanager
    def supposing(self, budgets: Iterable[Budget], sequence: int) -> Iterator[None]:
        """As if there were these budgets."""
        for budget in budgets:
            self.configure(budget, sequence)
        try:
            yield
        finally:
            for budget in budgets:
                del self._scopes[budget.budget_id]

    def commit(self, at_ns: int, amount_micros: int, budget_ids: Iterable[str]) -> None:
        """Enters a commitment into every window of these budgets."""
        for scope in self._known(budget_ids):
            for window in scope.windows:
                window.add(at_ns, amount_micros)

    def count_open(self, hold: Hold, sign: int) -> None:
        """Adds an open hold to the sums of its budgets, or takes it from them."""
        for scope in self._known(hold.counts_in):
            scope.open_micros[hold.state] += sign * hold.amount_micros

    def touch(self, budget_ids: Iterable[str], sequence: int) -> None:
        """Says that these budgets have changed."""
        for scope in self._known(budget_ids):
            scope.sequence = max(scope.sequence + 1, sequence)

    def veto(self, budget_ids: Sequence[str], now_ns: int, sequence: int) -> None:
        """Counts a refusal."""
        for scope in self._known(budget_ids):
            scope.vetoes.add(now_ns, 1)
            scope.sequence = max(scope.sequence + 1, sequence)

    def set_limit(self, budget_id: str, limit_micros: int) -> None:
        """Changes the first limit. Raises KeyError."""
        scope = self._scopes[budget_id]
        first = dataclasses.replace(scope.budget.limits[0], limit_micros=limit_micros)
        limits = (first, *scope.budget.limits[1:])
        scope.budget = dataclasses.replace(scope.budget, limits=limits)

    def pause(self, pause: Pause) -> None:
        """Stops new bids on a scope, which need not have a budget."""
        self._pauses[pause.scope] = pause
        self._set_paused(pause.scope, True)

    def resume(self, scope: str) -> None:
        """Takes new bids on a scope again."""
        self._pauses.pop(scope, None)
        self._set_paused(scope, False)

    def _set_paused(self, scope: str, paused: bool) -> None:
        for known in self._known([scope]):
            known.budget = dataclasses.replace(known.budget, paused=paused)

    # Admitting

    def check_paused(self, budget_ids: Iterable[str]) -> None:
        """Raises Paused when any of these scopes is, or all are."""
        pause = self.pause_of(budget_ids)
        if pause is not None:
            raise Paused(pause)

    def check_fits(self, asked: Reservation, older: Hold | None, now_ns: int) -> None:
        """Raises Refused, for the tightest scope, or Paused; `older` is what would be freed."""
        self.check_paused(asked.budget_ids)
        freed_in = () if older is None else older.counts_in
        refusals = []
        for budget_id in asked.budget_ids:
            if not self.knows(budget_id) and platform_and_campaign(budget_id) is not None:
                continue  # a campaign without a budget of its own
            scope = self._scopes[budget_id]
            freed = older.amount_micros if older and budget_id in freed_in else 0
            still_open = scope.open_total() - freed
            for index, (limit, window) in enumerate(
                zip(scope.budget.limits, scope.windows, strict=True)
            ):
                room = limit.limit_micros - still_open
                if window.total(now_ns) + asked.amount_micros <= room:
                    continue
                fits_at_ns = window.fits_at_ns(now_ns, room, asked.amount_micros)
                blocked_by = ""
                if asked.amount_micros > limit.limit_micros:
                    blocked_by = "limit"
                elif fits_at_ns is None:
                    blocked_by = "holds"
                refusals.append((blocked_by, fits_at_ns, room, budget_id, index))
        if not refusals:
            return
        severity = {"limit": 2, "holds": 1, "": 0}
        # Tightest: what never fits, then what fits last, then where the least room is.
        blocked_by, fits_at_ns, _, budget_id, index = max(
            refusals, key=lambda r: (severity[r[0]], r[1] or 0, -r[2])
        )
        raise Refused(
            self.state(budget_id, now_ns), index, asked.amount_micros, fits_at_ns, blocked_by
        )

    def _known(self, budget_ids: Iterable[str]) -> list[_Scope]:
        """Those that have a budget: a campaign may have none, and an old hold may name one that is
        not configured any more.
        """
        return [self._scopes[b] for b in budget_ids if b in self._scopes]
