"""What a promise is tried on: a ledger of some kind, its directory, and a clock that is ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock, ManualClock
from smartconnectors_server.ledger import (
    Budget,
    BudgetState,
    CalendarWindow,
    Entry,
    Hold,
    Ledger,
    LedgerError,
    Limit,
    Reservation,
    SlidingWindow,
)

Maker = Callable[[Path, Clock], Ledger]
"""Makes a ledger, not yet opened, that keeps its state in the directory."""

USD = 1_000_000
PLATFORM = "google_ads"
WINDOW_S = 600.0
BUCKET_NS = 10_000_000
"""Of a window of 600 s."""


@dataclass
class Bench:
    """One directory, one clock, and the ledger that is open there now."""

    make: Maker
    directory: Path
    clock: ManualClock = field(default_factory=ManualClock)
    _open: list[Ledger] = field(default_factory=list)

    async def open(self, *budgets: Budget) -> Ledger:
        """A ledger, opened; `finish` closes it."""
        ledger = self.make(self.directory, self.clock)
        await ledger.open(budgets or (budget(),))
        self._open.append(ledger)
        return ledger

    async def restart(self, *budgets: Budget, away_s: float = 0.0) -> Ledger:
        """Closes what is open, lets time pass, and opens it again."""
        await self.finish()
        self.clock.advance(away_s)
        return await self.open(*budgets)

    async def finish(self) -> None:
        """Closes what is open."""
        while self._open:
            await self._open.pop().close()


def budget(
    budget_id: str = PLATFORM, limit_micros: int = 500 * USD, *more: Limit, paused: bool = False
) -> Budget:
    """A budget whose first window is 600 s."""
    first = Limit(limit_micros, SlidingWindow(WINDOW_S))
    return Budget(budget_id, "USD", (first, *more), paused)


def daily(limit_micros: int, time_zone: str = "UTC") -> Limit:
    """A limit for the calendar day."""
    return Limit(limit_micros, CalendarWindow("day", time_zone))


def ask(request_id: str, amount_micros: int, **changed: Any) -> Reservation:
    """A reservation on a target of its own."""
    fields: dict[str, Any] = {
        "platform": PLATFORM,
        "request_id": request_id,
        "fingerprint": f"fingerprint of {request_id}",
        "method": "/test.Service/PlaceBid",
        "target": f"campaigns/{request_id}",
        "budget_ids": (PLATFORM,),
        "amount_micros": amount_micros,
        "currency_code": "USD",
        "source": "ai",
    }
    return Reservation(**{**fields, **changed})


def deferred(ledger: Ledger, request_id: str, amount_micros: int, **changed: Any) -> Reservation:
    """A reservation that waits for the breaker, for 600 s."""
    until_ns = ledger.now_ns() + 600 * NANOS_PER_SECOND
    return ask(request_id, amount_micros, defer_until_ns=until_ns, **changed)


async def commit(ledger: Ledger, request_id: str, amount_micros: int, **changed: Any) -> Hold:
    """Reserves and settles."""
    hold = await ledger.reserve(ask(request_id, amount_micros, **changed))
    return await ledger.settle(hold.hold_id)


async def refusal(attempt: Any, kind: type[LedgerError]) -> Any:
    """What the attempt raises; a promise is broken when it does not."""
    try:
        await attempt
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected, and nothing was refused")


def sums(state: BudgetState) -> tuple[int, int, int, int]:
    """Committed in the first window, held, deferred, in doubt: in whole dollars."""
    micros = (
        state.limits[0].committed_micros,
        state.held_micros,
        state.deferred_micros,
        state.in_doubt_micros,
    )
    assert all(m % USD == 0 for m in micros)
    return (micros[0] // USD, micros[1] // USD, micros[2] // USD, micros[3] // USD)


async def all_entries(ledger: Ledger, size: int = 100, **chosen: str) -> list[Entry]:
    """The whole audit ledger, page by page."""
    entries: list[Entry] = []
    token = ""
    while True:
        page = await ledger.entries(size=size, token=token, **chosen)
        assert len(page.rows) <= size
        entries.extend(page.rows)
        token = page.next_token
        if not token:
            return entries


async def admitted_of(ledger: Ledger, asked: list[Reservation]) -> list[Hold]:
    """Asks for all of them at once; what was admitted."""
    results = await asyncio.gather(*map(ledger.reserve, asked), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, LedgerError):
            raise result
    return [result for result in results if isinstance(result, Hold)]
