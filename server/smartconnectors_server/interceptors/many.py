"""Batches and streams: every bid of them goes through the chain as if it had come alone."""

from __future__ import annotations

import asyncio
import enum
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

from smartconnectors_server.call import Call, Kind, MethodSpec, MethodTable
from smartconnectors_server.connector import Connector, Mode
from smartconnectors_server.errors import ConnectorError, InvalidBid, ServerDraining
from smartconnectors_server.interceptors._base import Engines, Interceptor, Next, PlatformRuntime
from smartconnectors_server.interceptors.batch import Batch
from smartconnectors_server.interceptors.chain import compose
from smartconnectors_server.interceptors.status import foreseen, parse
from smartconnectors_server.interceptors.validation import check_rules
from smartconnectors_server.messages import bid_error

STREAM_CONCURRENCY = 64
"""Bids of one stream that are under way, or answered and not yet read, at once."""


class End(enum.Enum):
    """Why a stream has no further message."""

    CALLER = "caller"
    """It has sent all."""
    SERVER = "server"
    """The server stops."""


_ALONE = frozenset({"circuit_breaker", "rate_limit"})


class ManyBids:
    """Sends many bids of one platform."""

    def __init__(
        self,
        engines: Engines,
        methods: MethodTable,
        chain: Sequence[Interceptor],
        runtime: PlatformRuntime,
    ) -> None:
        self._engines = engines
        self._runtime = runtime
        self._spec = next(
            spec for spec in methods if spec.platform == runtime.name and spec.kind is Kind.BID
        )
        inner = [i for i in chain if i.name != "status"]
        self._outer = [i for i in inner if i.name not in _ALONE]
        self._guards = [i for i in inner if i.name in _ALONE]
        self._whole = compose(inner, self._spec, self._send_alone)
        self._alone = compose(self._guards, self._spec, self._send_alone)
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Ends every stream with ServerDraining, once every bid that was read is answered."""
        self._closing.set()

    async def _send_alone(self, request: Any, call: Call) -> Any:
        connector: Any = await self._runtime.connector(call)
        return await connector.PlaceBid(request, call)

    # Batches

    async def batch(self, bids: Sequence[Any], outer: Call) -> list[Any]:
        """A response or a ConnectorError for each bid, in order."""
        runtime = self._runtime
        await runtime.first_attempt(outer)
        calls = [self._call(outer) for _ in bids]
        chain = self._whole
        connector = await runtime.connector() if runtime.is_connected else None
        if connector is not None and connector.max_batch > 1 and runtime.mode is not Mode.SHADOW:
            batch = Batch(self._runtime, outer.spec, self._guards, self._alone, connector.max_batch)
            for call in calls:
                batch.enter(call)
            chain = compose(self._outer, self._spec, batch.dispatch)
            await self._prefetch(connector, bids, outer)
        times = Counter(bid.bid.request_id for bid in bids)
        return await asyncio.gather(
            *(
                self._one(chain, bid, call, repeated=times[bid.bid.request_id] > 1)
                for bid, call in zip(bids, calls, strict=True)
            )
        )

    async def _prefetch(self, connector: Connector, bids: Sequence[Any], outer: Call) -> None:
        """Reads what the plans will need, at once for all bids that are well-formed and for
        campaigns that the caller is let at. What cannot be read is left to each plan to say.
        """
        readable = []
        for bid in bids:
            if not outer.caller.scope.has_campaign(self._runtime.name, bid.bid.campaign_id):
                continue
            try:
                check_rules(bid)
            except InvalidBid:
                continue
            readable.append(bid)
        try:
            await connector.prefetch(readable)
        except ConnectorError:
            return

    async def _one(self, chain: Next, bid: Any, call: Call, *, repeated: bool = False) -> Any:
        try:
            if repeated:
                raise InvalidBid.of("bid.request_id", "stands more than once in this batch")
            return await chain(bid, call)
        except Exception as error:
            return foreseen(error, call)
        finally:
            if call.batch is not None:
                call.batch.pause(call)

    # Streams

    async def stream(
        self, raws: AsyncIterator[bytes], outer: Call
    ) -> AsyncIterator[tuple[str, Any]]:
        """(request id, response or ConnectorError) for each message, as they are done.

        Raises ServerDraining when the server ends it before the caller has: what has no answer then
        was never read.
        """
        answers: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue()
        room = asyncio.Semaphore(STREAM_CONCURRENCY)
        reader = asyncio.create_task(self._read(raws, outer, answers, room))
        try:
            while (answer := await answers.get()) is not None:
                yield answer
                room.release()
            await reader
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(
        self,
        raws: AsyncIterator[bytes],
        outer: Call,
        answers: asyncio.Queue[tuple[str, Any] | None],
        room: asyncio.Semaphore,
    ) -> None:
        closing = asyncio.create_task(self._closing.wait())
        tasks: set[asyncio.Task[None]] = set()
        try:
            while not isinstance(raw := await self._next(raws, closing), End):
                await room.acquire()
                task = asyncio.create_task(self._answer(raw, outer, answers))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
            if raw is End.SERVER:
                raise ServerDraining.ended(
                    "A bid without an answer was not sent: send it again on a new stream, with the "
                    "SAME request id."
                )
        finally:
            closing.cancel()
            for task in tasks:
                task.cancel()
            answers.put_nowait(None)

    @staticmethod
    async def _next(raws: AsyncIterator[bytes], closing: asyncio.Task[Any]) -> bytes | End:
        """The next message, or why there is none."""
        following = asyncio.ensure_future(anext(raws, End.CALLER))
        await asyncio.wait([following, closing], return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            return following.result()
        following.cancel()
        return End.SERVER

    async def _answer(
        self, raw: bytes, outer: Call, answers: asyncio.Queue[tuple[str, Any] | None]
    ) -> None:
        call = self._call(outer)
        request_id, answer = "", None
        try:
            message: Any = parse(raw, outer.spec, self._engines.settings.server.max_message_bytes)
            request_id = message.bid.bid.request_id
            answer = await self._one(self._whole, message.bid, call)
        except ConnectorError as error:
            answer = error
        answers.put_nowait((request_id, answer))

    def _call(self, outer: Call) -> Call:
        return Call(
            spec=self._spec,
            started_ns=outer.started_ns,
            deadline_ns=outer.deadline_ns,
            traceparent=outer.traceparent,
            caller=outer.caller,
            shown=outer.shown,
        )


def answer_message(spec: MethodSpec, field: str, request_id: str, result: Any) -> Any:
    """A BidAnswer of the service that `spec` belongs to; `field` is where its response has it."""
    holder: Any = spec.response_class()
    answers = getattr(holder, field)
    answer = answers.add() if field == "answers" else answers
    answer.request_id = request_id
    if isinstance(result, ConnectorError):
        answer.error.CopyFrom(bid_error(result))
    else:
        answer.response.CopyFrom(result)
    return holder
