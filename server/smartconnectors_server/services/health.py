"""grpc.health.v1.Health: of the server as a whole, and of each service.

The library's own servicer never ends a Watch, and one that stays would hold up the drain for all of
its grace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Ending = tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]
"""Code, message and trailing metadata."""
_STATUS = health_pb2.HealthCheckResponse
_STOPPING: Ending = (grpc.StatusCode.UNAVAILABLE, "the server is stopping", ())


class Health(health_pb2_grpc.HealthServicer):
    """NOT_SERVING until told otherwise, and again, for good, from `begin_drain` on."""

    def __init__(self, services: Iterable[str], ending: Ending = _STOPPING) -> None:
        """`services`: full names; the empty name, the server as a whole, is always there. `ending`:
        the status that a Watch ends with.
        """
        self._ending = ending
        self._status: dict[str, int] = dict.fromkeys(("", *services), _STATUS.NOT_SERVING)
        self._draining = False
        self._ended = False
        self._flags: set[asyncio.Event] = set()

    def set_serving(self, serving: Mapping[str, bool]) -> None:
        """Says which services answer, by name; the empty name: the server as a whole. Ignored once
        the drain has begun.
        """
        if not self._draining:
            self._tell(
                {
                    name: _STATUS.SERVING if serves else _STATUS.NOT_SERVING
                    for name, serves in serving.items()
                }
            )

    @property
    def serving(self) -> bool:
        """True while the server as a whole is."""
        return self._status[""] == _STATUS.SERVING

    def begin_drain(self) -> None:
        """NOT_SERVING for good. Whoever watches is told and goes on watching."""
        self._draining = True
        self._tell(dict.fromkeys(self._status, _STATUS.NOT_SERVING))

    def end_watches(self) -> None:
        """Ends every Watch with UNAVAILABLE, after it has told what there was to tell."""
        self._ended = True
        self._wake()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        status = self._status.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        return _STATUS(status=status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        flag = asyncio.Event()
        self._flags.add(flag)
        told = None
        try:
            while True:
                flag.clear()
                status = self._status.get(request.service, _STATUS.SERVICE_UNKNOWN)
                if status != told:
                    told = status
                    yield _STATUS(status=status)
                elif self._ended:
                    break
                else:
                    await flag.wait()
        finally:
            self._flags.discard(flag)
        await context.abort(*self._ending)

    def _tell(self, status: Mapping[str, int]) -> None:
        if any(self._status[name] != one for name, one in status.items()):
            self._status.update(status)
            self._wake()

    def _wake(self) -> None:
        for flag in self._flags:
            flag.set()
