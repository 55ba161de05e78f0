"""Looks at the file, on a thread of their own: a disk that stalls must not stop the event loop that
is to notice it, and a look can stall as a commit can.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from smartconnectors_server.ledger.advice import UNREADABLE, with_advice
from smartconnectors_server.ledger.refusals import Unavailable
from smartconnectors_server.threads import NoThread, Pool, started

Seen = TypeVar("Seen")


class Reader:
    """One look at a time, in the order in which they were asked for."""

    def __init__(self, timeout_s: float, pool: Pool = started) -> None:
        """`pool` makes the thread, at the start."""
        self._timeout_s = timeout_s
        self._pool = pool
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: set[asyncio.Future[Any]] = set()
        self._stalled: asyncio.Future[Any] | None = None
        self._stopped = False

    @property
    def available(self) -> bool:
        """False while a look stalls."""
        return self._stalled is None or self._stalled.done()

    def start(self) -> None:
        """Starts the thread. Raises NoThread."""
        self._thread = self._pool(1, "ledger-reads")

    async def read(self, look: Callable[[], Seen]) -> Seen:
        """What `look` returns. Raises Unavailable: it failed or stalls, or an earlier one does."""
        if self._stopped:
            raise Unavailable("the ledger is not open")
        if not self.available:
            raise Unavailable(self._why)
        if self._thread is None:
            try:
                self.start()
            except NoThread as error:
                raise Unavailable(f"the ledger cannot be read: {error}") from error
        looking = asyncio.get_running_loop().run_in_executor(self._thread, look)
        self._under_way.add(looking)
        looking.add_done_callback(self._ended)
        done, _ = await asyncio.wait([looking], timeout=self._timeout_s)
        if not done:
            self._stalled = looking
            raise Unavailable(self._why)
        try:
            return looking.result()
        except sqlite3.Error as error:
            raise Unavailable(f"the ledger cannot be read: {with_advice(error)}") from error
        except UNREADABLE as error:
            raise Unavailable(f"the ledger cannot be read: {error}") from error

    async def stop(self) -> None:
        """Takes no more, and returns when what is under way has ended."""
        self._stopped = True
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    @property
    def _why(self) -> str:
        return f"the ledger cannot be read: it took more than {self._timeout_s:g} s"

    def _ended(self, looking: asyncio.Future[Any]) -> None:
        self._under_way.discard(looking)
        if not looking.cancelled():
            looking.exception()  # seen, also when who asked has given up
