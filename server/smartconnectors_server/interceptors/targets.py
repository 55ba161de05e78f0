"""One dispatch at a time for each bid target: who comes later waits, first come first served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class TargetLocks:
    """A lock for each target that somebody waits for or holds; none for the others."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, list[None]]] = {}

    @asynccontextmanager
    async def hold(self, target: str) -> AsyncIterator[None]:
        """Waits for the target and has it alone inside the block."""
        lock, users = self._locks.setdefault(target, (asyncio.Lock(), []))
        users.append(None)
        try:
            async with lock:
                yield
        finally:
            users.pop()
            if not users:
                self._locks.pop(target, None)

    def __len__(self) -> int:
        return len(self._locks)
