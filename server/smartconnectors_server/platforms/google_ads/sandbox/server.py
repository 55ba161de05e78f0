"""The sandbox itself: listens, plays faults, answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc

from smartconnectors_server.clock import Clock, SystemClock
from smartconnectors_server.connector.fault_proxy import Address, FaultProxy
from smartconnectors_server.connector.sandbox import (
    Billed,
    Fault,
    FaultKind,
    Faults,
    Journal,
    JournalEntry,
)
from smartconnectors_server.platforms.google_ads.library import Library, load
from smartconnectors_server.platforms.google_ads.options import DEFAULT_VERSION
from smartconnectors_server.platforms.google_ads.sandbox.accounts import TIME_ZONE
from smartconnectors_server.platforms.google_ads.sandbox.answers import Answer, Answers, Asked
from smartconnectors_server.platforms.google_ads.sandbox.failures import Problem, Refused
from smartconnectors_server.platforms.google_ads.sandbox.oauth import TokenEndpoint
from smartconnectors_server.platforms.google_ads.sandbox.routes import (
    MUTATE,
    Handler,
    Route,
)

_GARBAGE = b"\xff\xff\xff\xff not a message"
_HTTP2_PREFACE = b"PRI"


class GoogleAdsSandbox:
    """Implements `Sandbox`. Every fault kind can be played."""

    def __init__(self, clock: Clock | None = None, *, extra_campaigns: int = 0) -> None:
        """`extra_campaigns`: how many each account has beside the usual, see `accounts`."""
        self._clock = clock if clock is not None else SystemClock()
        self._journal = Journal(self._clock)
        self._faults = Faults()
        self._tokens = TokenEndpoint(self._journal)
        self.billed = Billed(TIME_ZONE)
        self._answers = Answers(self._journal, self._tokens.knows, extra_campaigns, self.billed)
        self._proxy = FaultProxy(self._upstream_of)
        self._server: grpc.aio.Server | None = None
        self._grpc_address: Address = ("", 0)
        self._token_address: Address = ("", 0)
        self._libraries: dict[str, Library] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens on one port and returns `host:port`. Raises OSError when the port is taken."""
        self._libraries[DEFAULT_VERSION] = await asyncio.to_thread(load, DEFAULT_VERSION)
        self._token_address = await self._tokens.start(host)
        self._server = grpc.aio.server()
        handler = Handler(self._unary, self._stream)
        self._server.add_generic_rpc_handlers((handler,))
        self._grpc_address = (host, self._server.add_insecure_port(f"{host}:0"))
        await self._server.start()
        return f"{host}:{await self._proxy.start(host, port)}"

    async def close(self) -> None:
        """Stops listening; requests that were left hanging end unanswered."""
        self._closing.set()
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        await self._proxy.close()
        if self._server is not None:
            await self._server.stop(grace=0.5)
            self._server = None
        await self._tokens.close()

    def journal(self) -> tuple[JournalEntry, ...]:
        return self._journal.read()

    def take_journal(self) -> tuple[JournalEntry, ...]:
        return self._journal.take()

    async def add_fault(self, fault: Fault) -> None:
        if fault.kind is FaultKind.REFUSE:
            await self._proxy.refuse()
        else:
            self._faults.add(fault)

    async def clear_faults(self) -> None:
        self._faults.clear()
        await self._proxy.accept()

    async def reset(self) -> None:
        for task in tuple(self._late):
            task.cancel()
        await self.clear_faults()
        self._answers.reset()
        self.billed.reset()
        self._journal.clear()

    def remove_campaign(self, campaign_id: str) -> None:
        self._answers.remove_campaign(campaign_id)

    def ignore(self, field: str) -> None:
        """From now on changes of this field, `campaign.target_roas.target_roas`, are accepted and
        leave it as it is, until a reset.
        """
        self._answers.ignored.add(field)

    async def drain_late(self) -> None:
        """Returns when every change that was to come late has been made."""
        await asyncio.gather(*self._late)

    def revoke_tokens(self) -> None:
        """Makes every bearer token invalid."""
        self._tokens.revoke_all()

    def _upstream_of(self, first_bytes: bytes) -> Address:
        is_grpc = first_bytes.startswith(_HTTP2_PREFACE[: len(first_bytes)])
        return self._grpc_address if is_grpc else self._token_address

    async def _unary(
        self, route: Route, payload: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> bytes:
        asked = await self._asked(route, payload, context)
        answer = await self._play(asked, context)
        await self._say_how_it_went(answer, context)
        return answer.payloads[0]

    async def _stream(
        self, route: Route, payload: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        asked = await self._asked(route, payload, context)
        answer = await self._play(asked, context)
        await self._say_how_it_went(answer, context)
        for part in answer.payloads:
            yield part

    async def _asked(
        self, route: Route, payload: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> Asked:
        library = self._libraries.get(route.version)
        if library is None:
            library = await asyncio.to_thread(load, route.version)
            self._libraries[route.version] = library
        metadata = tuple((key, value) for key, value in context.invocation_metadata() or ())
        return Asked(route.method, payload, metadata, library, self._answers.next_request_id())

    async def _play(self, asked: Asked, context: grpc.aio.ServicerContext[bytes, bytes]) -> Answer:
        """Answers, through whatever fault befalls this request."""
        fault = self._faults.take(asked.method, changes=asked.method == MUTATE)
        if fault is None:
            return self._answers.answer(asked)
        delay_s = fault.delay_ms / 1000
        match fault.kind:
            case FaultKind.HANG:
                await self._never(context)
            case FaultKind.APPLY_THEN_HANG:
                self._answers.answer(asked)
                await self._never(context)
            case FaultKind.APPLY_THEN_RESET:
                self._answers.answer(asked)
                self._proxy.reset()
                await self._never(context)
            case FaultKind.APPLY_LATE:
                task = asyncio.create_task(self._apply_late(asked, delay_s))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
                await self._never(context)
            case FaultKind.QUOTA:
                return self._answers.refusal(asked, _too_many(fault.delay_ms))
            case FaultKind.SERVER_ERROR:
                return self._answers.refusal(asked, _internal_error())
            case FaultKind.MALFORMED:
                return Answer((_GARBAGE,), self._answers.answer(asked).trailing)
            case FaultKind.SLOW:
                answer = self._answers.answer(asked)
                await self._clock.sleep(delay_s)
                return answer
            case FaultKind.DUPLICATE:
                answer = self._answers.answer(asked)
                self._answers.answer(asked)
                return answer
            case FaultKind.REFUSE:
                pass
        raise AssertionError(f"{fault.kind} is played by the proxy")

    async def _apply_late(self, asked: Asked, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._answers.answer(asked)

    async def _never(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        """Holds the request until its client gives up or the sandbox closes."""
        await self._closing.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "The sandbox is closing.")

    async def _say_how_it_went(
        self, answer: Answer, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        context.set_trailing_metadata(answer.trailing)
        if answer.refused is not None:
            await context.abort(answer.refused.status, answer.refused.details, answer.trailing)


def _too_many(retry_delay_ms: int) -> Refused:
    return Refused(
        Problem("quota_error.RESOURCE_TEMPORARILY_EXHAUSTED", "Too many requests. Retry later."),
        status=grpc.StatusCode.RESOURCE_EXHAUSTED,
        retry_delay_ms=retry_delay_ms,
    )


def _internal_error() -> Refused:
    return Refused(
        Problem("internal_error.INTERNAL_ERROR", "An internal error has occurred."),
        status=grpc.StatusCode.INTERNAL,
    )
