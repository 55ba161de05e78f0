"""Counts for reports: kept in memory, written to the ledger's store a little later."""

from __future__ import annotations

import logging

from smartconnectors_server.clock import Clock
from smartconnectors_server.ledger import Ledger, Tally, Unavailable
from smartconnectors_server.telemetry import Lasting

WRITE_EVERY_S = 1.0
"""What a crash may lose."""

log = logging.getLogger(__name__)


class Tallies:
    """What was counted, since the first bid on this ledger. `open` before anything is counted."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lasting = Lasting(log, clock)
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._unwritten: set[tuple[str, str]] = set()

    async def open(self) -> None:
        """Goes on where the last process ended. Raises Unavailable."""
        self._tallies = {(t.subject, t.outcome): t for t in await self._ledger.tallies()}

    def count(
        self, subject: str, outcome: str, amount_micros: int, *, worst_micros: int = 0
    ) -> None:
        """Counts one, of so much money. Of `worst_micros` the largest is remembered."""
        key = (subject, outcome)
        before = self._tallies.get(key) or Tally(subject, outcome)
        now_ns = self._ledger.now_ns()
        self._tallies[key] = before.and_one(now_ns, amount_micros, worst_micros)
        self._unwritten.add(key)

    def of(self, subject: str) -> tuple[Tally, ...]:
        """Everything that was counted of one subject, by outcome."""
        found = (tally for (about, _), tally in self._tallies.items() if about == subject)
        return tuple(sorted(found, key=lambda tally: tally.outcome))

    def one(self, subject: str, outcome: str) -> Tally:
        """One of them; all zeros when there is none."""
        return self._tallies.get((subject, outcome)) or Tally(subject, outcome)

    async def write(self) -> None:
        """Makes durable what was counted. What cannot be written now is tried again next time."""
        keys, self._unwritten = self._unwritten, set()
        if not keys:
            return
        try:
            await self._ledger.keep_tallies([self._tallies[key] for key in sorted(keys)])
        except Unavailable as error:
            self._unwritten |= keys
            self._lasting.say("later", "the report is written later: %s", error)

    async def run(self) -> None:
        """Writes again and again, for ever."""
        while True:
            await self._clock.sleep(WRITE_EVERY_S)
            await self.write()
