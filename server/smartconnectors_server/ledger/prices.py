"""The price history: the last settled bids of each caller on each platform, which its heuristic
prices are made from. No caller's bids are in another's history.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import merge

from smartconnectors_server.ledger.records import Hold

HISTORY_LENGTH = 100
"""Settled bids in one history."""
MOST_HISTORIES = 100
"""Callers on one platform that have a history: those that settled last."""


class Prices:
    """Settled holds that carry an LTV or an AI bid."""

    def __init__(self) -> None:
        self._histories: dict[str, dict[str, deque[Hold]]] = {}
        """Platform -> caller -> its holds, oldest first; the caller that settled last is last."""

    def add(self, hold: Hold) -> None:
        """Takes up a settled hold, if it carries a price."""
        if not hold.priced:
            return
        histories = self._histories.setdefault(hold.platform, {})
        history = histories.pop(hold.actor, None)
        if history is None:
            history = deque(maxlen=HISTORY_LENGTH)
            if len(histories) == MOST_HISTORIES:
                del histories[next(iter(histories))]
        history.append(hold)
        histories[hold.actor] = history

    def of(self, platform: str, actor: str | None = None) -> tuple[Hold, ...]:
        """One caller's, or without `actor` those of all callers, oldest first."""
        histories = self._histories.get(platform, {})
        if actor is not None:
            return tuple(histories.get(actor, ()))
        return tuple(merge(*histories.values(), key=lambda hold: (hold.updated_ns, hold.hold_id)))

    def actors(self, platform: str) -> Iterator[str]:
        """The callers that have a history, that which settled last first."""
        return reversed(self._histories.get(platform, {}))

    def __iter__(self) -> Iterator[deque[Hold]]:
        """Every history, to be changed in place."""
        for histories in self._histories.values():
            yield from histories.values()
