"""The sandboxes' control port, as the demo uses it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any


class Control:
    """Asks the sandboxes what they took, and tells them which faults to play."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def journal(self, platform: str) -> Sequence[Mapping[str, Any]]:
        """Every request that the platform's sandbox took, in order."""
        entries: Sequence[Mapping[str, Any]]
        entries = await self._call("GET", f"/control/{platform}/journal")
        return entries

    async def add_fault(self, platform: str, fault: Mapping[str, Any]) -> None:
        """Plays a fault from now on."""
        await self._call("POST", f"/control/{platform}/faults", fault)

    async def reset(self) -> None:
        """Every sandbox as it started."""
        await self._call("POST", "/control/reset")

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address is our own sandbox's
            self._address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        return await asyncio.to_thread(_answer, request)


# No proxy, whatever the environment says: the address is this machine's.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _answer(request: urllib.request.Request) -> Any:
    with _OPENER.open(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None
