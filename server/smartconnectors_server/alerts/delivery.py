"""Delivering alerts to one sink: each at least once, with its id, for as long as it takes.

The sink's cursor says which lines it needs no more. It moves after deliveries have succeeded, so
what a crash falls between is delivered again under the same id.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from smartconnectors_server.alerts.cursor import Cursor
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.ledger import Alert, AlertLog, Unavailable
from smartconnectors_server.telemetry import Lasting

MOST_AT_ONCE = 100
"""So many are read ahead; one that the receiver refuses keeps no other waiting."""
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
GIVEN_UP_AFTER_S = 3 * 86_400.0
LEDGER_AWAY_S = 1.0
KEEP_EVERY_S = 1.0
"""While much is delivered; what a crash takes with it is delivered again."""

log = logging.getLogger(__name__)

Count = Callable[[str, str], None]
"""(sink, outcome): `delivered`, `failed` (it is tried again), `given_up` or `gone`."""


class NotDelivered(Exception):
    """An attempt failed. The message is fit for a log.

    Attributes:
        down: the receiver is at fault, so nothing else is tried meanwhile.
        wait_s: how long it asks to be left alone.
    """

    def __init__(self, why: str, *, down: bool, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.down = down
        self.wait_s = wait_s


class Gone(Exception):
    """The receiver wants no more, ever."""


class Sink(Protocol):
    """Where alerts go."""

    @property
    def name(self) -> str:
        """For logs, metrics and the cursor."""
        ...

    def wants(self, alert: Alert) -> bool:
        """Whether it is to be delivered there."""
        ...

    async def send(self, alert: Alert) -> None:
        """Delivers it once. Raises NotDelivered or Gone."""
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """An alert on its way."""

    alert: Alert
    attempts: int = 0
    due_ns: int = 0
    first_ns: int | None = None


class Delivery:
    """The loop of one sink. `open`, then `run`."""

    def __init__(
        self,
        sink: Sink,
        alerts: AlertLog,
        cursor: Cursor,
        clock: Clock,
        count: Count,
        chance: random.Random | None = None,
    ) -> None:
        self._sink = sink
        self._alerts = alerts
        self._cursor = cursor
        self._clock = clock
        self._count = count
        self._chance = chance or random.Random()  # noqa: S311 - spreads attempts, guards nothing
        self._lasting = Lasting(log, clock)
        self._waiting: list[_Waiting] = []
        self._read_to = 0
        self._kept = 0
        self._kept_at_ns = 0
        self._unread_at_open = 0
        self._read_since = 0
        self._failures = 0
        self._left_alone_until_ns = 0
        self._gone = False
        self._changed = asyncio.Event()

    @property
    def pending(self) -> int:
        """Alerts that are still to be delivered, or looked at."""
        unread = self._unread_at_open + self._alerts.added - self._read_since
        return max(0, unread) + len(self._waiting)

    def use(self, sink: Sink) -> None:
        """Delivers there from now on, also what is waiting, and at once."""
        self._sink = sink
        self._gone = False
        self._failures = self._left_alone_until_ns = 0
        for waiting in self._waiting:
            waiting.due_ns = 0
        self._changed.set()

    async def open(self) -> None:
        """Finds out where the sink is; a new one begins with what this process records. Raises
        OSError, Unavailable.
        """
        known = await asyncio.to_thread(self._cursor.read)
        self._kept = self._read_to = self._alerts.began_after if known is None else known
        if known is None:
            await asyncio.to_thread(self._cursor.write, self._kept)
        added = -1
        while added != self._alerts.added:  # until nothing came in between
            added = self._alerts.added
            self._unread_at_open = await self._alerts.count_after(self._read_to) - added

    async def run(self) -> None:
        """Delivers for ever."""
        while True:
            try:
                await self._step()
            except Unavailable:
                await self._clock.sleep(LEDGER_AWAY_S)
            except Exception as error:  # noqa: BLE001 - logged with its traceback
                # Whatever it is: if this task died of it, nothing would be delivered any more.
                self._lasting.say(
                    type(error).__name__,
                    "alerts for %s: unforeseen error",
                    self._sink.name,
                    level=logging.ERROR,
                    error=error,
                )
                await self._clock.sleep(LONGEST_RETRY_S)

    async def _step(self) -> None:
        self._changed.clear()
        if len(self._waiting) < MOST_AT_ONCE and self._alerts.last > self._read_to:
            await self._read()
        now_ns = self._clock.monotonic_ns()
        due = min(self._waiting, key=lambda waiting: waiting.due_ns, default=None)
        at_ns = max(self._left_alone_until_ns, due.due_ns if due else 0)
        if due is None or self._gone or at_ns > now_ns:
            await self._keep()
            may_read = len(self._waiting) < MOST_AT_ONCE
            await self._pause(None if due is None or self._gone else at_ns - now_ns, may_read)
            return
        await self._attempt(due, now_ns)

    async def _read(self) -> None:
        alerts = await self._alerts.page(self._read_to, MOST_AT_ONCE - len(self._waiting))
        self._waiting += [_Waiting(alert) for alert in alerts if self._sink.wants(alert)]
        self._read_since += len(alerts)
        self._read_to = alerts[-1].sequence if alerts else self._alerts.last

    async def _pause(self, at_most_ns: int | None, may_read: bool) -> None:
        """Returns when something may be done."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._changed.wait())]
        if may_read:
            waits.append(asyncio.ensure_future(self._alerts.beyond(self._read_to)))
        if at_most_ns is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep(at_most_ns / NANOS_PER_SECOND)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _attempt(self, waiting: _Waiting, now_ns: int) -> None:
        if waiting.first_ns is None:
            waiting.first_ns = now_ns
        waiting.attempts += 1
        name, alert = self._sink.name, waiting.alert
        try:
            await self._sink.send(alert)
        except NotDelivered as error:
            self._count(name, "failed")
            await self._failed(waiting, waiting.first_ns, error)
        except Gone:
            self._count(name, "gone")
            self._gone = True
            log.error("alerts for %s: the receiver wants no more; none until a restart", name)  # noqa: TRY400
        else:
            self._count(name, "delivered")
            self._lasting.over("down", "alerts for %s are delivered again", name)
            self._failures = 0
            await self._done(waiting)

    async def _failed(self, waiting: _Waiting, first_ns: int, error: NotDelivered) -> None:
        name, alert, now_ns = self._sink.name, waiting.alert, self._clock.monotonic_ns()
        if now_ns - first_ns > GIVEN_UP_AFTER_S * NANOS_PER_SECOND:
            self._count(name, "given_up")
            log.error("alerts for %s: %s was given up after days: %s", name, alert.id, error)
            await self._done(waiting)
            return
        # A receiver that is down is said once for all alerts; one that it refuses, for each.
        self._lasting.say(
            "down" if error.down else alert.id,
            "alerts for %s: %s was not delivered: %s",
            name,
            alert.id,
            error,
            level=logging.WARNING,
        )
        if error.down:
            self._failures += 1
            wait_s = max(error.wait_s, self._backoff_s(self._failures))
            self._left_alone_until_ns = now_ns + round(wait_s * NANOS_PER_SECOND)
        else:
            wait_s = max(error.wait_s, self._backoff_s(waiting.attempts))
            waiting.due_ns = now_ns + round(wait_s * NANOS_PER_SECOND)

    def _backoff_s(self, failures: int) -> float:
        longest_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * (1 << min(failures - 1, 20)))
        return longest_s * self._chance.uniform(0.5, 1.0)

    async def _done(self, waiting: _Waiting) -> None:
        self._waiting.remove(waiting)
        # Each time costs a disk sync, on the disk that the ledger syncs too.
        if self._clock.monotonic_ns() - self._kept_at_ns > KEEP_EVERY_S * NANOS_PER_SECOND:
            await self._keep()

    async def _keep(self) -> None:
        """Moves the cursor to where everything before is done."""
        oldest = min((w.alert.sequence for w in self._waiting), default=self._read_to + 1)
        if oldest - 1 == self._kept:
            return
        try:
            await asyncio.to_thread(self._cursor.write, oldest - 1)
        except OSError as error:
            self._lasting.say(
                "cursor",
                "alerts for %s: how far they are cannot be written (%s); after a crash some are "
                "delivered again",
                self._sink.name,
                error.strerror or error,
                level=logging.WARNING,
            )
        self._kept, self._kept_at_ns = oldest - 1, self._clock.monotonic_ns()
