"""A server that says what it is told to, and the command line pointed at it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from smartconnectors.budgets.v1 import budget_service_pb2, budget_service_pb2_grpc
from smartconnectors_server.cli import run
from smartconnectors_server.platforms import PLATFORMS


@dataclass(frozen=True)
class Refusal:
    """What the server says instead of an answer."""

    code: grpc.StatusCode
    message: str
    details: tuple[Message, ...] = ()
    raw_details: bytes | None = None
    """In the details' place, for what no server should say."""


@dataclass
class CannedServer:
    """Answers every method with what was put in `answers` for it, one after the other; the last
    one stays. Keeps every request. A method of one platform is `meta/PlaceBid`; `PlaceBid` is that
    of all of them. A method that nothing was put in for is one that the server does not have.
    """

    target: str = ""
    answers: dict[str, list[Any]] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    """What came with each request."""
    health: health.HealthServicer = field(default_factory=health.HealthServicer)

    def drains(self) -> None:
        """It goes on answering, and says that nobody new should come."""
        self.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)

    def will(self, method: str, *answers: Any) -> None:
        """`answers`: messages, refusals, or for a stream a list of messages."""
        self.answers[method] = list(answers)

    def refuses(
        self,
        method: str,
        code: grpc.StatusCode,
        reason: str,
        message: str = "no",
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        violations: Mapping[str, str] | None = None,
        domain: str = "smartconnectors",
        then: Any = None,
    ) -> None:
        """It refuses with the contract's details; with `then`, once, then answers that."""
        details: list[Message] = [
            error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata or {})
        ]
        if retry_after_s is not None:
            delay = Duration()
            delay.FromNanoseconds(int(retry_after_s * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        if violations:
            bad = error_details_pb2.BadRequest()
            for name, description in violations.items():
                bad.field_violations.add(field=name, description=description)
            details.append(bad)
        refusal = Refusal(code, message, tuple(details))
        self.will(method, refusal, *([] if then is None else [then]))

    def refuses_with_raw_details(self, method: str, details: bytes) -> None:
        """It refuses with details that no server of ours would send."""
        self.will(method, Refusal(grpc.StatusCode.INTERNAL, "no", raw_details=details))

    def handle(self, service: str, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        planned = self.answers.get(f"{service}/{method}", self.answers.get(method))
        if planned is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            raise AssertionError("abort raises")
        if isinstance(request, Iterator):
            # grpc.aio loses the reason of a stream that is refused while it writes.
            request = next(request)
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        answer = planned.pop(0) if len(planned) > 1 else planned[0]
        if isinstance(answer, Refusal):
            _abort(answer, context)
        return iter(answer) if isinstance(answer, list) else answer


def _abort(answer: Refusal, context: grpc.ServicerContext) -> None:
    if answer.raw_details is not None:
        context.set_trailing_metadata((("grpc-status-details-bin", answer.raw_details),))
        context.abort(answer.code, answer.message)
    status = status_pb2.Status(code=answer.code.value[0], message=answer.message)
    for detail in answer.details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    context.abort_with_status(rpc_status.to_status(status))


def _servicer(server: CannedServer, service: str, descriptor: ServiceDescriptor) -> Any:
    """A servicer whose every method asks `server`."""

    def method(name: str) -> Callable[..., Any]:
        return lambda _self, request, context: server.handle(service, name, request, context)

    names = [one.name for one in descriptor.methods]
    return type("Canned", (), {name: method(name) for name in names})()


@contextlib.contextmanager
def canned_server() -> Iterator[CannedServer]:
    """One, listening."""
    canned = CannedServer()
    grpc_server = grpc.server(ThreadPoolExecutor(max_workers=4))
    for name, platform in PLATFORMS.items():
        platform.register(_servicer(canned, name, platform.service), grpc_server)
    budgets = budget_service_pb2.DESCRIPTOR.services_by_name["BudgetService"]
    budget_service_pb2_grpc.add_BudgetServiceServicer_to_server(
        _servicer(canned, "budgets", budgets), grpc_server
    )
    canned.health.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(canned.health, grpc_server)
    canned.target = f"127.0.0.1:{grpc_server.add_insecure_port('127.0.0.1:0')}"
    grpc_server.start()
    yield canned
    grpc_server.stop(grace=None).wait()


@pytest.fixture
def server() -> Iterator[CannedServer]:
    """A canned server, listening."""
    with canned_server() as canned:
        yield canned


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit_code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed with `--json`, which is one line."""
        assert len(self.out.splitlines()) == 1, self.out
        return json.loads(self.out)


Cli = Callable[..., Ended]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line in this process, its output going to a pipe."""

    def ran(*arguments: str) -> Ended:
        capsys.readouterr()
        exit_code = run(arguments)
        captured = capsys.readouterr()
        return Ended(exit_code, captured.out, captured.err)

    return ran


@pytest.fixture
def ask(cli: Cli, server: CannedServer) -> Cli:
    """Runs a command line pointed at the canned server."""
    return lambda *arguments: cli(*arguments, "--target", server.target)
