"""Candidate limits: what a smaller limit would have vetoed of what was really admitted.

A candidate never refuses. It is weighed when money is committed: the amount fits when it fits
beside what the candidate itself would have admitted inside the window, since what it would have
vetoed would take no room. After a restart that window is derived anew from the ledger's lines of
two windows; the counts are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from smartconnectors_server.budget.tallies import Tallies
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.ledger import Hold, Ledger
from smartconnectors_server.window import SlidingSum

ADMITTED = "ADMITTED"
WOULD_VETO = "WOULD_VETO"
LIMIT_VETOED = "LIMIT_VETOED"
_WINDOWS_READ = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A limit that is weighed beside the first one of a platform's budget, in the same window."""

    limit_micros: int
    window_s: float

    @property
    def window_ns(self) -> int:
        """The window's length."""
        return round(self.window_s * NANOS_PER_SECOND)


class Candidates:
    """Every candidate, by the book that it weighs: a platform, or its shadow."""

    def __init__(
        self, ledger: Ledger, tallies: Tallies, candidates: Mapping[str, Candidate]
    ) -> None:
        self._ledger = ledger
        self._tallies = tallies
        self._candidates = candidates
        self._windows = {book: SlidingSum(one.window_ns) for book, one in candidates.items()}

    async def open(self) -> None:
        """Fills the windows from the ledger. Raises Unavailable."""
        for book, candidate in self._candidates.items():
            since_ns = self._ledger.now_ns() - _WINDOWS_READ * candidate.window_ns
            for at_ns, amount_micros in await self._ledger.settled_since(book, since_ns):
                self._admits(book, at_ns, amount_micros)

    def of(self, book: str) -> Candidate | None:
        """The candidate of a book, if it has one."""
        return self._candidates.get(book)

    def used_micros(self, book: str) -> int:
        """What the candidate would have admitted inside the window that ends now."""
        return self._windows[book].total(self._ledger.now_ns())

    def subject(self, book: str) -> str:
        """What its counts are kept under: another limit begins anew."""
        return f"candidate/{book}/{self._candidates[book].limit_micros}"

    def settled(self, hold: Hold) -> None:
        """Weighs what was committed just now. What holds nothing needs no room."""
        book = hold.platform
        if book not in self._candidates or not hold.amount_micros:
            return
        admits = self._admits(book, hold.updated_ns, hold.amount_micros)
        outcome = ADMITTED if admits else WOULD_VETO
        self._tallies.count(self.subject(book), outcome, hold.amount_micros)

    def vetoed(self, book: str, amount_micros: int) -> None:
        """The limits in effect have refused a bid."""
        if book in self._candidates:
            self._tallies.count(self.subject(book), LIMIT_VETOED, amount_micros)

    def _admits(self, book: str, at_ns: int, amount_micros: int) -> bool:
        window = self._windows[book]
        if window.total(at_ns) + amount_micros > self._candidates[book].limit_micros:
            return False
        window.add(at_ns, amount_micros)
        return True
