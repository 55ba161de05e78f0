"""One dispatch at a time for each bid target: who comes later waits, first come first served."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from smartconnectors_server.call import Call


class _Lock(asyncio.Lock):
    """A lock that knows how many hold it or wait for it."""

    users = 0


class _Held:
    """One use of one target. A class, because a generator costs each bid twice as much."""

    __slots__ = ("_call", "_lock", "_locks", "_target")

    def __init__(self, locks: dict[str, _Lock], target: str, call: Call) -> None:
        self._call = call
        self._locks = locks
        self._target = target
        self._lock = _Lock()

    async def __aenter__(self) -> None:
        lock = self._lock = self._locks.setdefault(self._target, self._lock)
        lock.users += 1
        batch = self._call.batch if lock.locked() else None
        if batch is not None:
            batch.pause(self._call)
        try:
            await lock.acquire()
        except BaseException:
            self._leave()
            raise
        if batch is not None:
            batch.resume(self._call)

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
        self._leave()

    def _leave(self) -> None:
        self._lock.users -= 1
        if not self._lock.users:
            self._locks.pop(self._target, None)


class TargetLocks:
    """A lock for each target that somebody waits for or holds; none for the others."""

    def __init__(self) -> None:
        self._locks: dict[str, _Lock] = {}

    def hold(self, target: str, call: Call) -> AbstractAsyncContextManager[None]:
        """Waits for the target and has it alone inside the block."""
        return _Held(self._locks, target, call)

    def __len__(self) -> int:
        return len(self._locks)
