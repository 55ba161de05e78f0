"""What load balancers and orchestrators read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from smartconnectors_server.services.health import Health

STATUS = health_pb2.HealthCheckResponse


class Aborted(Exception):
    """The call was ended with a status."""


class Context:
    """What a servicer needs of grpc's."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.trailers: Any = ()

    async def abort(self, code: grpc.StatusCode, details: str, trailers: Any = ()) -> None:
        self.code, self.trailers = code, trailers
        raise Aborted(details)


def request(service: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def status(health: Health, service: str = "") -> int:
    return int((await health.Check(request(service), Context())).status)


def watch(health: Health, service: str = "", context: Context | None = None) -> AsyncIterator[Any]:
    return health.Watch(request(service), context or Context())


def all_of(serving: bool, *services: str) -> dict[str, bool]:
    return dict.fromkeys(("", *services), serving)


async def test_nothing_serves_before_it_is_said_to() -> None:
    health = Health(["a.B"])
    assert await status(health) == await status(health, "a.B") == STATUS.NOT_SERVING
    health.set_serving(all_of(True, "a.B"))
    assert await status(health) == await status(health, "a.B") == STATUS.SERVING


async def test_from_the_drain_on_nothing_serves_again() -> None:
    health = Health([])
    health.set_serving(all_of(True))
    health.begin_drain()
    health.set_serving(all_of(True))
    assert await status(health) == STATUS.NOT_SERVING


async def test_a_service_that_is_not_there_is_not_found() -> None:
    context = Context()
    with pytest.raises(Aborted):
        await Health([]).Check(request("x"), context)
    assert context.code is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_is_told_at_once_then_of_changes_only_and_ends_after_the_last_of_them() -> (
    None
):
    health = Health([])
    health.set_serving(all_of(True))
    watching = watch(health)
    assert (await anext(watching)).status == STATUS.SERVING
    following = asyncio.ensure_future(anext(watching))
    await asyncio.sleep(0)
    health.set_serving(all_of(True))
    await asyncio.sleep(0)
    assert not following.done()
    health.begin_drain()
    health.end_watches()
    assert (await following).status == STATUS.NOT_SERVING
    with pytest.raises(Aborted):
        await anext(watching)


async def test_an_unknown_service_can_be_watched_and_is_unknown() -> None:
    health = Health([])
    watching = watch(health, "x")
    assert (await anext(watching)).status == STATUS.SERVICE_UNKNOWN
    health.end_watches()
    with pytest.raises(Aborted):
        await anext(watching)


async def test_a_service_can_serve_while_another_does_not() -> None:
    health = Health(["a.B", "c.D"])
    health.set_serving({"": True, "a.B": True, "c.D": False})
    assert await status(health, "a.B") == STATUS.SERVING
    assert await status(health, "c.D") == STATUS.NOT_SERVING


async def test_a_watch_that_the_server_ends_is_no_finished_stream() -> None:
    """A client that sees OK would think that there is nothing more to watch."""
    trailers = (("grpc-status-details-bin", b"draining"),)
    health = Health([], (grpc.StatusCode.UNAVAILABLE, "stopping", trailers))
    context = Context()
    watching = watch(health, "", context)
    await anext(watching)
    health.end_watches()
    with pytest.raises(Aborted):
        await anext(watching)
    assert (context.code, context.trailers) == (grpc.StatusCode.UNAVAILABLE, trailers)
