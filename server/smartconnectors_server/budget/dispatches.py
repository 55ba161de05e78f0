"""What is being sent: what a pause does not stop, because it was admitted before."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from smartconnectors_server.budget.watch import Watch
from smartconnectors_server.ledger import ALL, Hold, HoldState, Ledger


@dataclass(frozen=True, slots=True)
class InFlight:
    """One scope at one instant. Reductions, which hold nothing, are not among its bids.

    Attributes:
        held: bids that were admitted and are being sent.
        in_doubt_count: bids that were sent, outcome not known.
        deferred_count: bids that wait for the circuit breaker.
        last_ended_ns: ledger time at which the last dispatch ended; 0: none since the start.
    """

    held: tuple[Hold, ...]
    in_doubt_count: int
    deferred_count: int
    last_ended_ns: int


class Dispatches:
    """Follows what is being sent, by scope: a budget, a campaign, or ALL."""

    def __init__(self, ledger: Ledger, watch: Watch) -> None:
        self._ledger = ledger
        self._watch = watch
        self._ended_ns: dict[str, int] = {}

    def ended(self, hold: Hold) -> None:
        """The platform has answered, or will not be waited for any more."""
        now_ns = self._ledger.now_ns()
        for scope in (ALL, *hold.counts_in):
            self._ended_ns[scope] = now_ns

    def of(self, scope: str) -> InFlight:
        """What is on its way now."""
        holds = [
            hold
            for hold in self._ledger.open_holds()
            if hold.amount_micros and (scope == ALL or scope in hold.counts_in)
        ]
        return InFlight(
            held=tuple(hold for hold in holds if hold.state is HoldState.HELD),
            in_doubt_count=sum(hold.state is HoldState.IN_DOUBT for hold in holds),
            deferred_count=sum(hold.state is HoldState.DEFERRED for hold in holds),
            last_ended_ns=self._ended_ns.get(scope, 0),
        )

    async def idle(self, scope: str, within_s: float) -> InFlight:
        """Returns when nothing is being sent any more, or when the time is over."""
        try:
            async with asyncio.timeout(within_s):
                while self.of(scope).held:
                    await self._watch.next_change()
        except TimeoutError:
            pass  # what is still on its way is in the answer
        return self.of(scope)
