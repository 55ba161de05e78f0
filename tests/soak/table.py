"""What the soak sent, and what the platforms' journals say of it: its own account of the money.

A bid is known again at a journal by (platform, campaign, the number on the wire), which no two bids
of a run share. What is settled and has left the window is forgotten, so a run of hours stays small.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from smartconnectors_server.platforms import PLATFORMS

FORGET_AFTER_S = 150.0
LOST_AFTER_S = 30.0
SHOWN = 20
"""Of what went wrong, so many are named; the rest is counted."""
_NANOS = 1_000_000_000
_STEPS = {"google_ads": 10_000, "meta": 1, "trade_desk": 1_000_000}
"""Platform -> into how many steps its wire divides a unit, to compare numbers without rounding."""

Key = tuple[str, str, int]


class Told(enum.IntEnum):
    """What callers were told of a bid; the strongest word stands."""

    NOT_SENT = 0
    """Refused, and nothing was sent."""
    UNKNOWN = 1
    """Nothing final yet: it has to be asked for."""
    PLACED = 2


@dataclass(slots=True)
class Bid:
    """One request id."""

    platform: str
    request_id: str
    key: Key
    amount_micros: int
    sent_s: float
    told: Told | None = None
    """None: no answer yet."""
    asked_s: float = 0.0
    under_way: int = 0
    """Calls that carry it and have not ended: until then nothing can be said of it."""
    seen: int = 0
    """How often the platform applied it."""


def key_of(platform: str, campaign: str, amount_micros: int, ltv_micros: int) -> Key:
    """How this bid will be known again."""
    line = PLATFORMS[platform].command_line
    assert line is not None
    value = line().wire_value(amount_micros, ltv_micros)
    return platform, campaign, round(value * _STEPS[platform])


def keys_in(platform: str, entry: Mapping[str, Any]) -> Iterator[Key]:
    """Every bid that one journal entry applied."""
    line = PLATFORMS[platform].command_line
    assert line is not None
    if entry["changes"] and entry["applied"]:
        for campaign, value in line().wire_values(entry["facts"]):
            yield platform, campaign, round(value * _STEPS[platform])


@dataclass(slots=True)
class WindowAtThePlatform:
    """What a platform applied inside the trailing window, against the limit."""

    limit_micros: int
    window_s: float
    most_micros: int = 0
    """The most there ever was in one window."""
    _inside: deque[tuple[int, int]] = field(default_factory=deque)
    _sum: int = 0

    def add(self, at_ns: int, amount_micros: int) -> bool:
        """One more; False when the window that ends here holds more than the limit."""
        self._inside.append((at_ns, amount_micros))
        self._sum += amount_micros
        while self._inside[0][0] <= at_ns - round(self.window_s * _NANOS):
            self._sum -= self._inside.popleft()[1]
        self.most_micros = max(self.most_micros, self._sum)
        return self._sum <= self.limit_micros


class Table:
    """Every bid that may still become of interest, and everything that went wrong."""

    def __init__(self, limit_micros: Mapping[str, int], window_s: float) -> None:
        """`limit_micros`: platform -> its budget for each window."""
        self.windows = {
            name: WindowAtThePlatform(micros, window_s) for name, micros in limit_micros.items()
        }
        self.counts: Counter[str] = Counter()
        """`sent`, `applied`, `assumed`."""
        self.wrong: Counter[str] = Counter()
        """`lost`, `doubled`, `stray`, `applied though refused`, `overshot`."""
        self.examples: list[str] = []
        self._over: Counter[Told | None] = Counter()
        self._bids: dict[tuple[str, str], Bid] = {}
        self._by_key: dict[Key, Bid] = {}

    def __len__(self) -> int:
        return len(self._bids)

    def told(self, told: Told | None) -> int:
        """Of how many bids callers were told this, and nothing stronger. None: nothing yet."""
        return self._over[told] + sum(bid.told is told for bid in self._bids.values())

    def send(self, bid: Bid) -> Bid:
        """Written down before it is sent."""
        self.counts["sent"] += 1
        self._bids[bid.platform, bid.request_id] = bid
        self._by_key[bid.key] = bid
        return bid

    def find(self, platform: str, request_id: str) -> Bid | None:
        """The bid, unless it is forgotten."""
        return self._bids.get((platform, request_id))

    def tell(self, bid: Bid, told: Told, *, at_s: float) -> None:
        """A caller was told something."""
        bid.asked_s = at_s
        bid.told = told if bid.told is None else max(bid.told, told)

    def found_out(self, bid: Bid, told: Told, *, at_s: float) -> None:
        """The server was asked what became of it, long after: its word replaces a doubt."""
        bid.asked_s = at_s
        if bid.told is Told.UNKNOWN or bid.told is None:
            bid.told = told

    def unknown(self, *, asked_before_s: float) -> list[Bid]:
        """What has to be asked for (again)."""
        return [
            bid
            for bid in self._bids.values()
            if bid.told in (None, Told.UNKNOWN)
            and not bid.under_way
            and max(bid.sent_s, bid.asked_s) < asked_before_s
        ]

    def applied(self, platform: str, entries: Iterable[Mapping[str, Any]]) -> None:
        """A part of a platform's journal, oldest first."""
        for entry in entries:
            for key in keys_in(platform, entry):
                bid = self._by_key.get(key)
                if bid is None:
                    self._note("stray", f"{key} was applied, but is none of ours, or is long over")
                    continue
                bid.seen += 1
                self.counts["applied"] += 1
                if bid.seen > 1:
                    self._note("doubled", f"{bid.request_id} was applied {bid.seen} times")
                if not self.windows[platform].add(int(entry["at_ns"]), bid.amount_micros):
                    self._note("overshot", f"{platform}: over the limit with {bid.request_id}")

    def missing(self, now_s: float) -> list[Bid]:
        """Placed, as callers were told, but not in the journal for long."""
        return [
            bid
            for bid in self._bids.values()
            if bid.told is Told.PLACED and not bid.seen and bid.asked_s < now_s - LOST_AFTER_S
        ]

    def give_up(self, bid: Bid, *, assumed: bool) -> None:
        """A missing bid is lost; unless the ledger says that it only assumes it: it could not be
        found out, and the money counts.
        """
        if assumed:
            self.counts["assumed"] += 1
        else:
            self._note("lost", f"{bid.platform} {bid.request_id} was told placed, never applied")
        self._forget(bid)

    def settle(self, now_s: float) -> None:
        """Judges what is known of each bid, and forgets those that are over."""
        for bid in list(self._bids.values()):
            if bid.told is Told.NOT_SENT and bid.seen and not bid.under_way:
                self._note("applied though refused", f"{bid.platform} {bid.request_id}")
                self._forget(bid)
            elif (
                max(bid.sent_s, bid.asked_s) < now_s - FORGET_AFTER_S
                and not bid.under_way
                and (bid.told is Told.NOT_SENT or (bid.told is Told.PLACED and bid.seen))
            ):
                self._forget(bid)

    def _forget(self, bid: Bid) -> None:
        self._over[bid.told] += 1
        del self._bids[bid.platform, bid.request_id]
        del self._by_key[bid.key]

    def close(self, now_s: float) -> None:
        """The end: what nobody could say anything of by now counts as lost."""
        self.settle(now_s)
        for bid in list(self._bids.values()):
            if bid.told in (None, Told.UNKNOWN):
                self._note("unknown", f"{bid.platform} {bid.request_id}: nothing final was said")
            elif bid.told is Told.PLACED and not bid.seen:
                self._note("lost", f"{bid.platform} {bid.request_id} was told placed, not applied")
            self._forget(bid)

    def _note(self, what: str, example: str) -> None:
        self.wrong[what] += 1
        if len(self.examples) < SHOWN:
            self.examples.append(f"{what}: {example}")
