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

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.code = code
        raise Aborted(details)


def request(service: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def status(health: Health, service: str = "") -> int:
    return int((await health.Check(request(service), Context())).status)


def watch(health: Health, service: str = "") -> AsyncIterator[Any]:
    return health.Watch(request(service), Context())


async def test_nothing_serves_before_it_is_said_to() -> None:
    health = Health(["a.B"])
    assert await status(health) == await status(health, "a.B") == STATUS.NOT_SERVING
    health.set_serving(True)
    assert await status(health) == await status(health, "a.B") == STATUS.SERVING


async def test_from_the_drain_on_nothing_serves_again() -> None:
    health = Health([])
    health.set_serving(True)
    health.begin_drain()
    health.set_serving(True)
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
    health.set_serving(True)
    watching = watch(health)
    assert (await anext(watching)).status == STATUS.SERVING
    following = asyncio.ensure_future(anext(watching))
    await asyncio.sleep(0)
    health.set_serving(True)
    await asyncio.sleep(0)
    assert not following.done()
    health.begin_drain()
    health.end_watches()
    assert (await following).status == STATUS.NOT_SERVING
    with pytest.raises(StopAsyncIteration):
        await anext(watching)


async def test_an_unknown_service_can_be_watched_and_is_unknown() -> None:
    health = Health([])
    watching = watch(health, "x")
    assert (await anext(watching)).status == STATUS.SERVICE_UNKNOWN
    health.end_watches()
    with pytest.raises(StopAsyncIteration):
        await anext(watching)
