"""Every RPC of every service, called over a real server by callers of every role and by nobody."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tests.server.access.stage import REFUSALS, Caller, application, entry

import smartconnectors
from smartconnectors.common.v1 import options_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROLES = {"nobody": 0, "read": 1, "bid": 2, "operate": 3}
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEALTH = "/grpc.health.v1.Health/"


def methods() -> list[MethodDescriptor]:
    """Every RPC that there is generated code for."""
    names = [
        module.name
        for module in pkgutil.walk_packages(smartconnectors.__path__, "smartconnectors.")
        if module.name.endswith("_service_pb2")
    ]
    services = [
        service
        for name in names
        for service in importlib.import_module(name).DESCRIPTOR.services_by_name.values()
    ]
    return [method for service in services for method in service.methods]


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A server that knows a token for each role, which is the role's name."""
    directory = tmp_path_factory.mktemp("roles")
    file = directory / "tokens.toml"
    file.write_text("".join(entry(role, role, f"a-{role}-er") for role in ROLES if ROLES[role]))
    app = application(directory, access={"tokens_file": str(file)})
    address = (await app.start()).grpc_address
    await app.tried()
    yield address
    await app.stop()


async def first(call: Any) -> grpc.StatusCode:
    """How a call begins: OK with its first answer, or its refusal."""
    try:
        if await call.read() is not grpc.aio.EOF:
            call.cancel()
            return grpc.StatusCode.OK
        code: grpc.StatusCode = await call.code()
    except grpc.aio.AioRpcError as error:
        return error.code()
    return code


async def called(caller: Caller, method: MethodDescriptor) -> grpc.StatusCode:
    """With an empty request, which no method carries out and each refuses in its own way."""
    request = GetMessageClass(method.input_type)()
    raw = request.SerializeToString()
    if method.client_streaming:
        # Without a message: gRPC calls it an internal error when one meets a call that has ended.
        return await first(
            caller.channel.stream_stream(path_of(method))(iter([]), metadata=caller.metadata)
        )
    if method.server_streaming:
        return await first(
            caller.channel.unary_stream(path_of(method))(raw, metadata=caller.metadata)
        )
    try:
        await caller.channel.unary_unary(path_of(method))(raw, metadata=caller.metadata)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("method", methods(), ids=path_of)
async def test_an_rpc_is_for_its_role_and_those_above_it(
    address: str, method: MethodDescriptor, role: str
) -> None:
    needed = method.GetOptions().Extensions[options_pb2.guard].role
    async with Caller(address, "" if role == "nobody" else role) as caller:
        code = await called(caller, method)
    if role == "nobody":
        assert code is grpc.StatusCode.UNAUTHENTICATED
    elif ROLES[role] < needed:
        assert code is grpc.StatusCode.PERMISSION_DENIED
    else:
        assert code not in REFUSALS


async def test_who_is_refused_learns_nothing_of_what_its_request_would_have_met(
    address: str,
) -> None:
    path = "/smartconnectors.google_ads.v1.GoogleAdsService/PlaceBid"
    for token, code in (("", "UNAUTHENTICATED"), ("read", "PERMISSION_DENIED")):
        async with Caller(address, token) as caller:
            call = caller.channel.unary_unary(path)(b"\xff" * 100, metadata=caller.metadata)
            assert (await call.code()).name == code


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", "UNAUTHENTICATED"),
        ("wrong", "UNAUTHENTICATED"),
        ("read", "UNIMPLEMENTED"),
        ("operate", "UNIMPLEMENTED"),
    ],
)
@pytest.mark.parametrize("path", ["/no.Service/Method", "/grpc.health.v1.Healthy/Check", "/x"])
async def test_a_method_that_is_not_listed_is_not_even_denied_to_who_is_unknown(
    address: str, path: str, token: str, code: str
) -> None:
    async with Caller(address, token) as caller:
        unary = caller.channel.unary_unary(path)(b"", metadata=caller.metadata)
        assert (await unary.code()).name == code
        stream = caller.channel.stream_stream(path)(iter([]), metadata=caller.metadata)
        assert (await first(stream)).name == code


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize(("token", "code"), [("", "UNAUTHENTICATED"), ("read", "OK")])
async def test_reflection_is_for_who_may_read(
    address: str, version: str, token: str, code: str
) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with Caller(address, token) as caller:
        stream = caller.channel.stream_stream(
            REFLECTION.replace("v1alpha", version),
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )(iter([request] if token else []), metadata=caller.metadata)
        assert (await first(stream)).name == code


async def test_health_is_for_everybody(address: str) -> None:
    async with Caller(address) as caller:
        answer = await caller.unary(
            f"{HEALTH}Check", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse
        )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watch = caller.channel.unary_stream(f"{HEALTH}Watch")(b"")
        assert await first(watch) is grpc.StatusCode.OK


async def test_two_tokens_at_once_are_refused(address: str) -> None:
    async with Caller(address, "operate") as caller:
        caller.metadata = (*caller.metadata, ("authorization", "Bearer read"))
        call = caller.channel.unary_unary(
            "/smartconnectors.budgets.v1.BudgetService/ListBudgetStats"
        )(b"", metadata=caller.metadata)
        assert (await call.code()).name == "UNAUTHENTICATED"
