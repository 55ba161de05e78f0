"""grpc.health.v1.Health for a server whose services stand and fall together.

The library's own servicer never ends a Watch, and one that stays would hold up the drain for all of
its grace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_STATUS = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """NOT_SERVING until told otherwise, and again, for good, from `begin_drain` on."""

    def __init__(self, services: Iterable[str]) -> None:
        """`services`: full names; the empty name, the server as a whole, is always there."""
        self._services = frozenset(("", *services))
        self._status: int = _STATUS.NOT_SERVING
        self._draining = False
        self._ended = False
        self._flags: set[asyncio.Event] = set()

    def set_serving(self, serving: bool) -> None:
        """Says whether calls are admitted. Ignored once the drain has begun."""
        if not self._draining:
            self._tell(_STATUS.SERVING if serving else _STATUS.NOT_SERVING)

    @property
    def serving(self) -> bool:
        """True while calls are admitted."""
        return self._status == _STATUS.SERVING

    def begin_drain(self) -> None:
        """NOT_SERVING for good. Whoever watches is told and goes on watching."""
        self._draining = True
        self._tell(_STATUS.NOT_SERVING)

    def end_watches(self) -> None:
        """Ends every Watch, after it has told what there was to tell."""
        self._ended = True
        self._wake()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        return _STATUS(status=self._status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        del context  # what is yielded goes there
        known = request.service in self._services
        flag = asyncio.Event()
        self._flags.add(flag)
        told = None
        try:
            while True:
                flag.clear()
                status = self._status if known else _STATUS.SERVICE_UNKNOWN
                if status != told:
                    told = status
                    yield _STATUS(status=status)
                elif self._ended:
                    return
                else:
                    await flag.wait()
        finally:
            self._flags.discard(flag)

    def _tell(self, status: int) -> None:
        self._status = status
        self._wake()

    def _wake(self) -> None:
        for flag in self._flags:
            flag.set()
