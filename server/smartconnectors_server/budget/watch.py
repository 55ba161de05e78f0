"""Budgets as they change, for subscribers: the newest figures, never a growing queue."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable
from typing import Any

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import ServerDraining
from smartconnectors_server.ledger import BudgetState, Ledger

WATCH_AGAIN = "Watch again to go on."


def _figures(state: BudgetState) -> BudgetState:
    """The state without the instant it was taken at, to tell whether anything changed."""
    return dataclasses.replace(state, at_ns=0)


class Watch:
    """Tells subscribers of changes. A subscriber holds one flag and what it last saw, so a slow one
    skips what lies between and costs no memory.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._flags: set[asyncio.Event] = set()
        self._closed = False

    def changed(self) -> None:
        """Wakes every subscriber to look again."""
        for flag in self._flags:
            flag.set()

    async def next_change(self) -> None:
        """Returns at the next change, or when everything is closed."""
        flag = asyncio.Event()
        self._flags.add(flag)
        try:
            await flag.wait()
        finally:
            self._flags.discard(flag)

    def close(self) -> None:
        """Ends every subscription."""
        self._closed = True
        self.changed()

    @property
    def subscribers(self) -> int:
        """How many are watching."""
        return len(self._flags)

    async def subscribe(self, budget_ids: Iterable[str]) -> AsyncIterator[BudgetState]:
        """Each budget at once, then each time it changes.

        Raises KeyError for an unknown budget, before anything is yielded, and ServerDraining after
        `close`.
        """
        watched = tuple(budget_ids)
        for budget_id in watched:
            self._ledger.state(budget_id)
        flag = asyncio.Event()
        self._flags.add(flag)
        seen: dict[str, BudgetState] = {}
        try:
            while not self._closed:
                flag.clear()
                for budget_id in watched:
                    state = self._ledger.state(budget_id)
                    if seen.get(budget_id) != _figures(state):
                        seen[budget_id] = _figures(state)
                        yield state
                await self._wait(flag, watched)
        finally:
            self._flags.discard(flag)
        raise ServerDraining.ended(WATCH_AGAIN)

    async def _wait(self, flag: asyncio.Event, watched: Iterable[str]) -> None:
        """Returns at the next change, also the one that time makes: an amount leaves a window."""
        releases = [
            limit.next_release_ns
            for budget_id in watched
            for limit in self._ledger.state(budget_id).limits
            if limit.next_release_ns is not None
        ]
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(flag.wait())]
        if releases:
            pause_s = (min(releases) - self._ledger.now_ns() + 1) / NANOS_PER_SECOND
            waiting.append(asyncio.ensure_future(self._clock.sleep(max(pause_s, 0.001))))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
