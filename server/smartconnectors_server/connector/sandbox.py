"""What every platform's sandbox has: a journal of what it was asked, and faults it can play."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol, runtime_checkable

from smartconnectors_server.clock import Clock

CHANGES = "change"
"""A fault's `method` for "only requests that change something"."""
LONGEST_DELAY_MS = 86_400_000
"""No fault delays for longer than a day."""


class FaultKind(enum.Enum):
    """A fault at the wire. What each looks like to a client is the platform's own protocol."""

    REFUSE = "refuse"
    """Connections are refused; open ones are cut. Lasts until cleared."""
    HANG = "hang"
    """The request is never read."""
    APPLY_THEN_HANG = "apply_then_hang"
    """The change is made and never answered."""
    APPLY_THEN_RESET = "apply_then_reset"
    """The change is made, then the connection is reset."""
    APPLY_LATE = "apply_late"
    """Nothing is answered, and the change is made `delay_ms` after the request."""
    QUOTA = "quota"
    """Refused with the platform's own quota signal; `delay_ms` is the retry delay it gives."""
    SERVER_ERROR = "server_error"
    """The platform's own kind of 5xx; nothing is changed."""
    MALFORMED = "malformed"
    """The change is made; the answer cannot be parsed."""
    SLOW = "slow"
    """Answered after `delay_ms`."""
    DUPLICATE = "duplicate"
    """The request is delivered twice."""


@dataclass(slots=True)
class Fault:
    """One fault to play.

    Attributes:
        kind: what happens.
        times: how many requests it befalls; ignored for REFUSE.
        delay_ms: see FaultKind.
        method: only requests with this method name; empty: reads and changes alike; "change":
            only requests that change something.
    """

    kind: FaultKind
    times: int = 1
    delay_ms: int = 0
    method: str = ""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One request as the platform took it: wire facts only, never our own ideas of them.

    `applied` is False when it was refused or not carried out.
    """

    sequence: int
    at_ns: int
    method: str
    changes: bool
    applied: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


class Sandbox(Protocol):
    """A platform that speaks its own protocol on a real socket."""

    @property
    def billed(self) -> Billed:
        """What its reports of spend say."""
        ...

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens and returns the endpoint, in the form that the connector's `endpoint` takes."""
        ...

    async def close(self) -> None:
        """Stops listening."""
        ...

    def journal(self) -> tuple[JournalEntry, ...]:
        """Every request that was taken, in order."""
        ...

    def take_journal(self) -> tuple[JournalEntry, ...]:
        """The same, and forgets it: who counts for hours takes it away bit by bit."""
        ...

    async def add_fault(self, fault: Fault) -> None:
        """Plays the fault from now on. Raises ValueError for one it cannot play."""
        ...

    async def clear_faults(self) -> None:
        """Plays none, and takes connections again."""
        ...

    async def reset(self) -> None:
        """The campaigns it started with, an empty journal, no faults."""
        ...


@runtime_checkable
class RemovesCampaigns(Protocol):
    """What the sandbox of a platform with batches is too: campaigns can go between plan and send,
    so that the platform refuses one bid among others.
    """

    def remove_campaign(self, campaign_id: str) -> None:
        """Removes a campaign that was asked for before, as on the platform's own pages: from now on
        changes of it are refused. Raises KeyError when there is none.
        """
        ...


class Billed:
    """What a sandbox bills: nothing by itself, only what it is told to.

    Attributes:
        time_zone: the ad account's, an IANA name; days are its days.
        micros: (campaign id, day) -> micros.
    """

    def __init__(self, time_zone: str = "UTC") -> None:
        """`time_zone`: until it is told another."""
        self._first_time_zone = time_zone
        self.reset()

    def reset(self) -> None:
        """Nothing, in the first time zone."""
        self.time_zone = self._first_time_zone
        self.micros: dict[tuple[str, date], int] = {}

    def bill(self, campaign_id: str, day: date, micros: int) -> None:
        """From now on a report says this of the campaign and day, whatever it said before."""
        self.micros[campaign_id, day] = micros

    def between(self, campaign_id: str, since: date, until: date) -> list[tuple[date, int]]:
        """(day, micros) of one campaign, both days included, oldest first."""
        found = [
            (day, micros)
            for (billed, day), micros in self.micros.items()
            if billed == campaign_id and since <= day <= until
        ]
        return sorted(found)


class Journal:
    """What a sandbox was asked, in order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[JournalEntry] = []
        self._taken = 0

    def append(
        self, method: str, *, changes: bool, applied: bool, facts: Mapping[str, Any]
    ) -> JournalEntry:
        """Writes one request down, with the next sequence number and the wall clock's time."""
        entry = JournalEntry(
            sequence=self._taken + len(self._entries) + 1,
            at_ns=self._clock.wall_ns(),
            method=method,
            changes=changes,
            applied=applied,
            facts=dict(facts),
        )
        self._entries.append(entry)
        return entry

    def read(self) -> tuple[JournalEntry, ...]:
        """Every entry, oldest first."""
        return tuple(self._entries)

    def take(self) -> tuple[JournalEntry, ...]:
        """Every entry that was not taken yet, oldest first; numbers go on where they were."""
        entries = self.read()
        self._taken += len(entries)
        self._entries.clear()
        return entries

    def clear(self) -> None:
        """Forgets everything; the next entry is number 1."""
        self._entries.clear()
        self._taken = 0


class Faults:
    """The faults that wait for a request to befall, first come first served."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Queues a fault. Raises ValueError when `times` or `delay_ms` make no sense."""
        if fault.times < 1:
            raise ValueError("times: at least 1")
        if fault.delay_ms < 0:
            raise ValueError("delay_ms: at least 0")
        if fault.delay_ms > LONGEST_DELAY_MS:
            raise ValueError(f"delay_ms: at most {LONGEST_DELAY_MS}, a day")
        self._waiting.append(dataclasses.replace(fault))

    def take(self, method: str, *, changes: bool) -> Fault | None:
        """The fault that befalls this request, used up by one; None: there is none."""
        for fault in self._waiting:
            if fault.method in ("", method) or (fault.method == CHANGES and changes):
                fault.times -= 1
                if fault.times == 0:
                    self._waiting.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """Forgets every fault."""
        self._waiting.clear()
