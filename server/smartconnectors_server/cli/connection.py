"""What every command that talks to a running server shares: its options, and how errors read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from smartconnectors_server.cli.credentials import HOW_TO_SHOW_A_TOKEN, shown
from smartconnectors_server.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from smartconnectors.client import Client, ServiceError

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT_MS = 10_000

Target = Annotated[
    str, typer.Option("--target", metavar="HOST:PORT", help="Where the server listens.")
]
TimeoutMs = Annotated[
    int, typer.Option("--timeout-ms", min=1, help="How long to wait for an answer.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one document a line.")]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connection:
    """Which server, how long to wait for it, and whether a script reads the answer."""

    target: str = DEFAULT_TARGET
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    as_json: bool = False

    @property
    def timeout_s(self) -> float:
        """The time for one call, in seconds."""
        return self.timeout_ms / 1000

    def run(self, work: Callable[[Client], Awaitable[T]], *, request_id: str = "") -> T:
        """Connects, does `work`, disconnects.

        Raises:
            CommandFailed: the server refused, or was not there. `request_id`, when given, is told
                so that the same request can be asked again.
        """
        from grpc import aio

        from smartconnectors.client import Client, ServiceError, error_of

        shows = shown()
        try:
            client = Client(
                self.target,
                credentials=shows.credentials,
                token=shows.token,
                timeout_s=self.timeout_s,
            )
        except ValueError as error:
            raise CommandFailed(
                ExitCode.USAGE, f"{error}. Use --tls or --tls-ca, or a --target on this machine."
            ) from None

        async def connected() -> T:
            async with client:
                return await work(client)

        try:
            return asyncio.run(connected())
        except ServiceError as error:
            raise self._failure(error, request_id) from None
        except aio.AioRpcError as rpc_error:
            raise self._failure(error_of(rpc_error), request_id) from None

    def _failure(self, error: ServiceError, request_id: str) -> CommandFailed:
        exit_code = ExitCode.UNREACHABLE if error.unreachable else ExitCode.REFUSED
        message = self._unreachable(error) if error.unreachable else self._text(error, request_id)
        document = _document(error, message, request_id) if self.as_json else None
        return CommandFailed(exit_code, message, document=document)

    def _unreachable(self, error: ServiceError) -> str:
        from smartconnectors_server.plain_text import printable

        why = printable(error.message.rpartition(": ")[2])
        return (
            f"No server answers at {self.target} ({why}).\n"
            "Start one with `smart-connectors serve`, or say where it is with --target HOST:PORT.\n"
            "A server with TLS answers to --tls or --tls-ca FILE, one without to neither."
        )

    def _text(self, error: ServiceError, request_id: str) -> str:
        from smartconnectors_server.cli.output import duration_text
        from smartconnectors_server.plain_text import printable

        timed_out = not error.reason and error.code.name == "DEADLINE_EXCEEDED"
        if timed_out:
            lines = [f"No answer from {self.target} within {self.timeout_ms} ms."]
            if request_id:
                lines.append("What was asked may still be carried out.")
        else:
            lines = [printable(error.message)]
        wrong = [printable(f"{one.field}: {one.description}") for one in error.violations]
        lines += [f"  {line}" for line in wrong if line not in error.message]
        if error.reason == "UNAUTHENTICATED":
            lines.append(HOW_TO_SHOW_A_TOKEN)
        facts = [f"reason: {printable(error.reason or error.code.name)}"]
        if error.retry_after_s is not None:
            facts.append(f"retry in {duration_text(error.retry_after_s)}")
        if request_id and (timed_out or error.may_retry):
            facts.append(f"to learn what became of it, ask again with --request-id {request_id}")
        return "\n".join([*lines, "; ".join(facts)])


def _document(error: ServiceError, message: str, request_id: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "reason": error.reason,
        "code": error.code.name,
        "message": message if error.unreachable else error.message,
        "metadata": dict(error.metadata),
        "retry_after_s": error.retry_after_s,
        "violations": [
            {"field": violation.field, "description": violation.description}
            for violation in error.violations
        ],
    }
    if request_id:
        document["request_id"] = request_id
    return {"error": document}
