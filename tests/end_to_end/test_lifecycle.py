"""Starting, draining, stopping: real processes, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.app import StartupError
from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Link, Stage, Words

AMOUNT = 15_000_000
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = (
    "smartconnectors.budgets.v1.BudgetService",
    *(platform.service.full_name for platform in PLATFORMS.values()),
)


async def health(link: Link, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(link.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def refusal_to_start(stage: Stage, *arguments: str, **overrides: Any) -> tuple[int, str]:
    """(exit code, what it said) of a `serve` that must not start."""
    process = await stage.spawn(*arguments, **overrides)
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert output == b""
    assert process.returncode is not None
    return process.returncode, (stage.directory / "serve.log").read_text()


# Draining


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_the_bid_in_flight_end_and_exits_with_zero(
    stage: Stage, say: Words, number: signal.Signals
) -> None:
    """Not serving comes first: while a load balancer looks away, calls are still taken."""
    process = await stage.process(server={"drain_pause_s": 0.5})
    await say.eventually(lambda: health(process), lambda seen: seen == SERVING)
    await stage.fault(FaultKind.SLOW, delay_ms=1_000)
    in_flight = asyncio.ensure_future(process.place(say.bid("r", 15)))
    await say.eventually(lambda: stage.mutates("r"), bool)

    process.signal(number)
    for service in ("", *SERVICES):
        await say.eventually(lambda s=service: health(process, s), lambda seen: seen == NOT_SERVING)
    assert (await process.stats()).held_micros == AMOUNT
    assert (await in_flight).status == bid_pb2.BID_STATUS_PLACED
    assert await process.ended() == 0

    await stage.fault(FaultKind.REFUSE)  # nothing has to be asked of the platform
    server = await stage.serve()
    assert await server.money() == {"committed": AMOUNT}
    assert (await server.place(say.bid("r", 15))).replayed


async def test_a_bid_whose_caller_is_gone_is_settled_before_the_server_ends(
    stage: Stage, say: Words
) -> None:
    """The grace is over long before the platform answers."""
    process = await stage.process(server={"drain_grace_s": 0})
    await stage.fault(FaultKind.SLOW, delay_ms=1_000)
    in_flight = asyncio.ensure_future(process.place(say.bid("r", 15)))
    await say.eventually(lambda: stage.mutates("r"), bool)
    process.signal(signal.SIGTERM)
    with contextlib.suppress(grpc.aio.AioRpcError):
        await in_flight
    assert await process.ended() == 0
    await stage.fault(FaultKind.REFUSE)
    server = await stage.serve()
    assert await server.money() == {"committed": AMOUNT}


async def test_no_call_is_lost_or_left_held_when_a_busy_server_is_stopped(
    stage: Stage, say: Words
) -> None:
    """Every caller hears placed, or a refusal that held nothing; the sums agree with both."""
    process = await stage.process()
    await stage.fault(FaultKind.SLOW, times=50, delay_ms=50)
    calls = [
        asyncio.ensure_future(
            process.place(say.bid(f"r{n}", 1, campaign=str(1001 + n % 8), ltv_usd=2 + n / 100))
        )
        for n in range(50)
    ]
    await say.eventually(lambda: len(stage.mutates()), lambda count: count >= 5)
    process.signal(signal.SIGTERM)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert await process.ended() == 0
    heard = sum(not isinstance(result, BaseException) for result in results)
    server = await stage.serve()
    assert await server.money() == {"committed": len(stage.mutates()) * 1_000_000}
    assert len(stage.mutates()) >= heard >= 5


async def test_whoever_watches_health_does_not_hold_up_the_drain(stage: Stage, say: Words) -> None:
    server = await stage.serve(server={"drain_grace_s": 300})
    stub: Any = health_pb2_grpc.HealthStub(server.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=""))
    assert (await watch.read()).status == SERVING
    await asyncio.wait_for(server.stop_server(), 60)
    assert (await watch.read()).status == NOT_SERVING
    ended = await say.refused(watch.read())
    assert (ended.code, ended.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")


async def test_health_of_a_service_that_is_not_there_is_said_to_be_unknown(stage: Stage) -> None:
    server = await stage.serve()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health(server, "smartconnectors.nothing.v1.NothingService")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    stub: Any = health_pb2_grpc.HealthStub(server.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="nothing"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


async def test_health_says_not_serving_while_the_ledger_is_out_of_reach_and_serving_again(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(ledger={"commit_timeout_s": 0.2})
    await server.place(say.bid("first", 15))
    await server.audited("first", "reserve", "settle")
    blocker = sqlite3.connect(stage.directory / "state" / "ledger.sqlite3", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    refusal = await say.refused(server.place(say.bid("r", 15, campaign="1002")))
    assert refusal.reason == "LEDGER_UNAVAILABLE"
    for service in ("", *SERVICES):
        await say.eventually(lambda s=service: health(server, s), lambda seen: seen == NOT_SERVING)
    assert (await server.stats()).committed_micros == AMOUNT  # reading still works
    blocker.execute("ROLLBACK")
    blocker.close()
    await say.eventually(lambda: health(server), lambda seen: seen == SERVING)
    assert (await server.place(say.bid("r", 15, campaign="1002"))).status


async def test_an_open_breaker_stays_serving(stage: Stage, say: Words) -> None:
    server = await stage.serve(circuit_breaker={"failure_threshold": 1})
    await stage.fault(FaultKind.REFUSE)
    await say.refused(server.place(say.bid("r", 15)))
    assert server.core.runtimes["google_ads"].breaker.state.value == "open"
    assert {await health(server, service) for service in ("", *SERVICES)} == {SERVING}


# Starting


async def test_a_second_server_on_one_state_directory_refuses_to_start_and_names_the_first(
    stage: Stage, say: Words
) -> None:
    first = await stage.process()
    code, said = await refusal_to_start(stage)
    assert code == 1
    assert f"in use by another server (process {first.process.pid})" in said
    assert "--state-dir" in said
    assert "Traceback" not in said
    await first.kill()
    again = await stage.process()  # the lock went with the process
    await say.eventually(lambda: health(again), lambda seen: seen == SERVING)


async def test_a_removed_lock_file_lets_no_second_server_in_and_the_first_is_named(
    stage: Stage, say: Words
) -> None:
    first = await stage.process()
    (stage.directory / "state" / "ledger.lock").unlink()
    code, said = await refusal_to_start(stage)
    assert code == 1
    assert f"in use by another server (process {first.process.pid})" in said
    assert (await first.place(say.bid("a"))).status == bid_pb2.BID_STATUS_PLACED


async def test_a_server_whose_state_directory_was_moved_away_admits_nothing_beside_a_second(
    stage: Stage, say: Words
) -> None:
    first = await stage.process()
    await first.place(say.bid("a"))
    (stage.directory / "state").rename(stage.directory / "moved")
    second = await stage.process()
    said = await say.refused(first.place(say.bid("b", campaign="1002")))
    assert said.reason == "LEDGER_UNAVAILABLE"
    assert "was removed or replaced while this server has it open" in said.message
    await say.eventually(lambda: health(first), lambda status: status == NOT_SERVING)
    assert (await second.place(say.bid("c", campaign="1003"))).status == bid_pb2.BID_STATUS_PLACED
    assert len(stage.mutates()) == 2


async def test_a_port_that_is_taken_is_named_in_the_refusal_and_the_ledger_is_free_again(
    stage: Stage,
) -> None:
    first = await stage.serve(state="one")
    port = first.address.rpartition(":")[2]
    code, said = await refusal_to_start(stage, "--grpc-port", port, state="two")
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "--grpc-port" in said
    assert "Traceback" not in said
    assert await health(await stage.serve(state="two")) == SERVING


async def test_the_application_itself_leaves_nothing_open_when_it_cannot_listen(
    stage: Stage,
) -> None:
    first = await stage.serve(state="one")
    port = int(first.address.rpartition(":")[2])
    with pytest.raises(StartupError, match="is another server there"):
        await stage.serve(state="two", server={"grpc_port": port})
    assert await health(await stage.serve(state="two")) == SERVING


async def test_an_address_that_others_reach_is_refused_without_consent(stage: Stage) -> None:
    code, said = await refusal_to_start(stage, "--host", "0.0.0.0")
    assert code == 2
    assert "--insecure" in said
    assert "Traceback" not in said


async def test_an_address_that_others_reach_is_served_with_consent(
    stage: Stage, say: Words
) -> None:
    process = await stage.process("--host", "0.0.0.0", "--insecure")
    port = process.address.rpartition(":")[2]
    process.use(f"127.0.0.1:{port}")
    await say.eventually(lambda: health(process), lambda seen: seen == SERVING)


async def test_a_damaged_ledger_is_refused_and_not_emptied(stage: Stage, say: Words) -> None:
    server = await stage.serve()
    await server.place(say.bid("r", 15))
    await server.stop()
    (stage.directory / "state" / "ledger.sqlite3").unlink()
    code, said = await refusal_to_start(stage)
    assert code == 1
    assert "Cannot start" in said
    assert "Traceback" not in said


ASK_WHAT_IS_IMPORTED = """
import asyncio, sys
from smartconnectors_server.app import Application, load_settings

SLOW = ("google.ads", "google.auth", "requests", "opentelemetry.sdk")

async def start():
    settings = load_settings(None, {}, {"server": {"grpc_port": 0, "drain_pause_s": 0}})
    app = Application(settings)
    await app.start()
    imported = [name for name in SLOW if name in sys.modules]
    await app.stop()
    return imported

print(asyncio.run(start()))
"""


async def test_a_server_is_ready_before_the_libraries_of_its_platforms_are_imported(
    tmp_path: Path,
) -> None:
    """They take most of a second; how long a start takes is for `make bench` to say."""
    asking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ASK_WHAT_IS_IMPORTED),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(asking.communicate(), 120)
    assert said.decode().strip() == "[]"


# What anybody may ask a server


REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


def reflect(server: Link, service: str, **asked: Any) -> Any:
    """Asks one question, by the name of either version: their messages are the same bytes."""
    call: Any = server.channel.stream_stream(
        f"/{service}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return call(iter([reflection_pb2.ServerReflectionRequest(**asked)]))


@pytest.mark.parametrize("version", REFLECTION)
async def test_reflection_lists_every_service(stage: Stage, version: str) -> None:
    server = await stage.serve()
    call = reflect(server, version, list_services="")
    names = {service.name async for answer in call for service in _listed(answer)}
    assert names == {*SERVICES, "grpc.health.v1.Health", *REFLECTION}


@pytest.mark.parametrize("version", REFLECTION)
async def test_reflection_describes_each_service_that_it_lists(stage: Stage, version: str) -> None:
    server = await stage.serve()
    for service in (*SERVICES, "grpc.health.v1.Health", *REFLECTION):
        answers = [each async for each in reflect(server, version, file_containing_symbol=service)]
        raw, *_ = answers[0].file_descriptor_response.file_descriptor_proto
        file = descriptor_pb2.FileDescriptorProto.FromString(raw)
        assert service in {f"{file.package}.{one.name}" for one in file.service}
        by_name = [each async for each in reflect(server, version, file_by_filename=file.name)]
        assert by_name[0].file_descriptor_response.file_descriptor_proto[0] == raw


@pytest.mark.parametrize("version", REFLECTION)
async def test_reflection_can_be_switched_off(stage: Stage, version: str) -> None:
    server = await stage.serve(server={"reflection": False})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(reflect(server, version, list_services="")))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert await health(server) == SERVING


def _listed(answer: Any) -> Any:
    return answer.list_services_response.service


async def test_a_method_that_does_not_exist_is_said_not_to(stage: Stage) -> None:
    server = await stage.serve()
    call: Any = server.channel.unary_unary("/smartconnectors.google_ads.v1.GoogleAdsService/Spend")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_first_bid_waits_for_the_platform_and_not_the_other_way_round(
    stage: Stage, say: Words
) -> None:
    """The server is ready before the sandbox that it brings with it."""
    process = await stage.process(endpoint=None)
    result = await process.place(say.bid("r", 15))
    assert result.status == bid_pb2.BID_STATUS_PLACED
    assert stage.mutates() == []  # its own sandbox, not this one
    assert await process.money() == {"committed": AMOUNT}
    listed = await process.budgets.ListBudgetStats(budgets_pb2.ListBudgetStatsRequest())
    assert [stats.budget_id for stats in listed.stats] == sorted(PLATFORMS)
