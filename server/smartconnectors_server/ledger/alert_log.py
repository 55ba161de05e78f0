"""The alerts of one ledger: recorded once, read by any number of readers, each at its own pace.

A reader keeps the number of the last line that it has seen and nothing else, so a slow one costs
nothing and one that comes back goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from smartconnectors_server.ledger.alert_lines import (
    Alert,
    Change,
    Condition,
    Subject,
    alert_of,
    stands_after,
    subject_key,
)
from smartconnectors_server.ledger.alerts import ALERT, ALERT_END
from smartconnectors_server.ledger.records import Entry, Step

READ_AT_ONCE = 100
RECENT = 20
FROM_THE_END = 2**62
"""Behind every line."""

Seen = TypeVar("Seen")


class AlertStore(Protocol):
    """Where the lines are: the ledger's file."""

    def standing(self) -> dict[str, int]:
        """Subject -> the line by which it stands."""
        ...

    def last(self) -> int:
        """The newest line about an alert; 0: none."""
        ...

    def count_after(self, sequence: int) -> int:
        """How many there are after a line."""
        ...

    def after(self, sequence: int, size: int) -> list[Entry]:
        """Those after a line, oldest first."""
        ...

    def before(self, sequence: int, size: int) -> list[Entry]:
        """Those before a line, newest first."""
        ...


class Read(Protocol):
    """How the store is looked at, off the event loop. Raises Unavailable."""

    def __call__(self, look: Callable[[AlertStore], Seen]) -> Awaitable[Seen]:
        """What `look` returns."""
        ...


Record = Callable[[Change], Step]
"""Makes the line, which is not durable then."""


class AlertLog:
    """What was told and stands. For one event loop."""

    def __init__(self, *, later: Callable[[Step], None], read: Read, record: Record) -> None:
        """`later` makes a step durable behind the caller's back."""
        self._later = later
        self._read = read
        self._record = record
        self._told: set[Subject] = set()
        self._standing: dict[str, int] = {}
        self._recent: deque[Alert] = deque(maxlen=RECENT)
        self._flags: set[asyncio.Event] = set()
        self._closed = False
        self.last = 0
        """The newest line that is durable."""
        self.began_after = 0
        """The newest line about an alert when this process began."""
        self.added = 0
        """How many have become durable since."""

    def restore(self, store: AlertStore) -> None:
        """Takes up what stood. Raises sqlite3.Error."""
        self._standing = store.standing()
        subjects = map(Subject.of_key, self._standing)
        self._told = {subject for subject in subjects if subject is not None}
        self.last = self.began_after = store.last()
        self._recent.clear()
        self._recent.extend(alert_of(line) for line in reversed(store.before(FROM_THE_END, RECENT)))

    # Recording

    def tell(
        self,
        subject: Subject,
        holds: bool,
        figures: Callable[[], str],
        *,
        budget_ids: tuple[str, ...] = (),
        amount_micros: int = 0,
        currency_code: str = "",
    ) -> bool:
        """Puts on record that a condition holds or holds no more, with figures for people, once;
        waits for nothing. False: it was on record.
        """
        if holds == (subject in self._told):
            return False
        (self._told.add if holds else self._told.discard)(subject)
        verb = ALERT if holds else ALERT_END
        change = Change(verb, subject, figures(), budget_ids, amount_micros, currency_code)
        self._later(self._record(change))
        return True

    def told(self, condition: Condition) -> tuple[Subject, ...]:
        """The subjects of which the condition is on record and stands."""
        return tuple(subject for subject in self._told if subject.condition is condition)

    def has_told(self, subject: Subject) -> bool:
        """Whether it is on record and stands."""
        return subject in self._told

    def committed(self, steps: Iterable[Step]) -> None:
        """These are durable: wakes every reader when there is something for it."""
        lines = [line for step in steps for line in step.entries if line.verb in (ALERT, ALERT_END)]
        if not lines:
            return
        self.added += len(lines)
        for line in lines:
            self._take(line)
        for flag in self._flags:
            flag.set()

    def _take(self, line: Entry) -> None:
        self.last = line.sequence
        self._recent.append(alert_of(line))
        if not (subject := subject_key(line)):
            return
        if stands_after(line):
            self._standing[subject] = line.sequence
        else:
            self._standing.pop(subject, None)

    # Looking

    def recent(self) -> tuple[Alert, ...]:
        """The newest, newest first."""
        return tuple(reversed(self._recent))

    def standing(self) -> frozenset[int]:
        """The lines by which something stands."""
        return frozenset(self._standing.values())

    async def page(self, after: int, size: int) -> Sequence[Alert]:
        """Those after a line, oldest first. Raises Unavailable."""
        return [alert_of(line) for line in await self._read(lambda store: store.after(after, size))]

    async def newest(self, before: int, size: int) -> Sequence[Alert]:
        """Those before a line, newest first. Raises Unavailable."""
        lines = await self._read(lambda store: store.before(before, size))
        return [alert_of(line) for line in lines]

    async def count_after(self, after: int) -> int:
        """How many there are after a line. Raises Unavailable."""
        return await self._read(lambda store: store.count_after(after))

    async def follow(self, after: int) -> AsyncIterator[Sequence[Alert]]:
        """Those after a line, some at a time, and then each as it becomes durable, until `close`.

        Raises Unavailable.
        """
        flag = asyncio.Event()
        self._flags.add(flag)
        try:
            while not self._closed:
                flag.clear()
                alerts = await self.page(after, READ_AT_ONCE) if after < self.last else ()
                if alerts:
                    after = alerts[-1].sequence
                    yield alerts
                else:
                    await flag.wait()
        finally:
            self._flags.discard(flag)

    async def beyond(self, after: int) -> None:
        """Returns once there is one after a line."""
        flag = asyncio.Event()
        self._flags.add(flag)
        try:
            while self.last <= after:
                await flag.wait()
                flag.clear()
        finally:
            self._flags.discard(flag)

    def close(self) -> None:
        """Ends whoever follows."""
        self._closed = True
        for flag in self._flags:
            flag.set()
