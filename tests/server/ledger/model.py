"""What a ledger should say, in thirty lines: a list of holds and a list of what was settled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from smartconnectors_server.ledger import OPEN_STATES, Hold, HoldState, Limit, SlidingWindow

HOUR_NS = 3600 * 10**9


def width_ns(limit: Limit) -> int:
    """The length of a sliding window."""
    assert isinstance(limit.window, SlidingWindow)
    return round(limit.window.seconds * 10**9)


def counts_in(budget_id: str, budget_ids: Iterable[str]) -> bool:
    """Whether what names these budgets counts in one; a total counts everything."""
    return budget_id in budget_ids or budget_id == "total"


def campaigns_in(budget_ids: Iterable[str]) -> set[str]:
    """The campaigns' scopes among these."""
    return {one for one in budget_ids if one.count("/") == 2}


def bucket_ns(limit: Limit) -> int:
    """How late a window may be: never for the hour of the calendar."""
    if not isinstance(limit.window, SlidingWindow):
        return 0
    return max(10**6, -(-width_ns(limit) // 60_000))


@dataclass
class Model:
    limits: dict[str, list[Limit]]
    paused: dict[str, bool]
    holds: dict[str, Hold] = field(default_factory=dict)
    settled: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)

    def open(self, budget_id: str, states: Iterable[HoldState] = OPEN_STATES) -> int:
        return sum(
            h.amount_micros
            for h in self.holds.values()
            if h.state in states and counts_in(budget_id, h.budget_ids)
        )

    def committed(self, budget_id: str, limit: Limit, now_ns: int, late_ns: int = 0) -> int:
        if isinstance(limit.window, SlidingWindow):
            begin_ns = now_ns - width_ns(limit) - late_ns + 1
        else:
            begin_ns = now_ns // HOUR_NS * HOUR_NS
        return sum(a for at, a, ids in self.settled if at >= begin_ns and counts_in(budget_id, ids))

    def deferred_on(self, target: str, budget_ids: Iterable[str]) -> Hold | None:
        """That of the same campaign."""
        deferred = (h for h in self.holds.values() if h.state is HoldState.DEFERRED)
        campaigns = campaigns_in(budget_ids)
        return next(
            (h for h in deferred if (h.target, campaigns_in(h.budget_ids)) == (target, campaigns)),
            None,
        )

    def in_doubt_on(self, target: str) -> bool:
        return any(
            h.target == target and h.state is HoldState.IN_DOUBT for h in self.holds.values()
        )

    def fits(
        self,
        budget_ids: Iterable[str],
        amount: int,
        older: Hold | None,
        now_ns: int,
        *,
        late: bool,
    ) -> bool:
        """Whether it fits every scope; `late`: though each window may be late by its bucket."""
        for budget_id in budget_ids:
            frees = older is not None and counts_in(budget_id, older.budget_ids)
            freed = older.amount_micros if older and frees else 0
            still_open = self.open(budget_id) - freed
            for limit in self.limits.get(budget_id, ()):
                late_ns = bucket_ns(limit) if late else 0
                used = self.committed(budget_id, limit, now_ns, late_ns) + still_open
                if used + amount > limit.limit_micros:
                    return False
        return True
