"""One life of a server in the simulated world: the real chain, without a network."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from google.protobuf.message import Message
from tests.simulation.connector import registered
from tests.simulation.platform import ScriptedPlatform
from tests.simulation.terms import WorldTerms
from tests.simulation.world import VirtualClock

from smartconnectors.common.v1 import bid_pb2, campaign_pb2, errors_pb2
from smartconnectors_server.assembly import load_settings
from smartconnectors_server.call import Call, Kind, MethodSpec
from smartconnectors_server.core import Core
from smartconnectors_server.errors import ConnectorError, ServerDraining
from smartconnectors_server.interceptors import Idempotency, compose, remembered_changes
from smartconnectors_server.interceptors.status import StatusError
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.telemetry import Telemetry


class _Silent(Telemetry):
    def event(self, name: str, **values: Any) -> None:
        """Thousands of bids need no line each."""


@dataclass(frozen=True)
class Answer:
    """What a caller is told of one bid."""

    word: str
    """The status without its prefix, or the reason of an error."""
    retry_after_s: float | None = None
    text: str = ""


def answer_of(response: Any) -> Answer:
    """What a response says."""
    status = bid_pb2.BidStatus.Name(response.result.status)
    return Answer(status.removeprefix("BID_STATUS_"))


def answer_in(message: Any) -> tuple[str, Answer]:
    """The request id and what is said of it, from a BidAnswer of a batch or a stream."""
    if not message.HasField("error"):
        return message.request_id, answer_of(message.response)
    error = message.error
    reason = errors_pb2.ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
    after = error.retry_after
    after_s = after.seconds + after.nanos / 1e9 if error.HasField("retry_after") else None
    return message.request_id, Answer(reason, after_s, error.message)


def refusal(error: ConnectorError) -> Answer:
    """What an error says."""
    after_s = error.retry_after_s
    if after_s is not None:
        after_s = math.ceil(after_s * 1e9) / 1e9  # as it is written on the wire
    return Answer(error.reason, after_s, error.message)


class Server:
    """Built, begun, called, and ended in one of two ways."""

    def __init__(
        self,
        state_dir: Path,
        terms: WorldTerms,
        platforms: Mapping[str, ScriptedPlatform],
        clock: VirtualClock,
    ) -> None:
        self.core = Core(
            load_settings(None, {}, terms.document(str(state_dir))),
            {name: registered(PLATFORMS[name], p) for name, p in platforms.items()},
            clock,
            _Silent(),
        )
        assert isinstance(self.core.ledger, SqliteLedger)
        self.ledger = self.core.ledger
        self._clock = clock
        self._methods: dict[tuple[str, str], MethodSpec] = {}
        for name in platforms:
            service = PLATFORMS[name].service
            for method in service.methods:
                spec = self.core.methods.get(f"/{service.full_name}/{method.name}")
                assert spec is not None
                self._methods[name, method.name] = spec

    def request(
        self, platform: str, asked: bid_pb2.BidRequest | campaign_pb2.CampaignBudgetUpdate
    ) -> Message:
        """The platform's own request for a bid, or for a daily budget."""
        if isinstance(asked, bid_pb2.BidRequest):
            return self._spec(platform, Kind.BID).request_class(bid=asked)
        return self._spec(platform, Kind.CAMPAIGN_BUDGET).request_class(update=asked)

    def _spec(self, platform: str, kind: Kind) -> MethodSpec:
        (spec,) = (
            s for (name, _), s in self._methods.items() if name == platform and s.kind is kind
        )
        return spec

    async def begin(self) -> None:
        """Opens what holds money, and begins what resolves it."""
        core = self.core
        await core.ledger.open(core.budgets)
        core.customers.open()
        for name, runtime in core.runtimes.items():
            await runtime.limiter.open()
            runtime.last_change_ns.update(remembered_changes(core.engines, name))
        core.connections.begin()
        core._background = [
            asyncio.create_task(core.reconciler.run()),
            asyncio.create_task(core.deferred.run()),
        ]

    # Calling

    async def _call(
        self, platform: str, method: str, request: Message, deadline_s: float | None = None
    ) -> Any:
        """The response. Raises ConnectorError, as the status says it."""
        spec = self._methods[platform, method]
        chain = compose(self.core.chain, spec, getattr(self.core.servicers[platform], method))
        try:
            raw = await chain(request.SerializeToString(), self._new_call(spec, deadline_s))
        except StatusError as error:
            if error.__cause__ is None:
                raise
            raise error.__cause__ from error
        return spec.response_class.FromString(raw)

    def _new_call(self, spec: MethodSpec, deadline_s: float | None) -> Call:
        now_ns = self._clock.monotonic_ns()
        deadline_ns = None if deadline_s is None else now_ns + round(deadline_s * 1e9)
        return Call(spec=spec, started_ns=now_ns, deadline_ns=deadline_ns)

    async def place(self, platform: str, request: Message, deadline_s: float | None) -> Answer:
        """PlaceBid, or UpdateCampaignBudget: whichever the request is for."""
        (method,) = (
            spec.name
            for (name, _), spec in self._methods.items()
            if name == platform and isinstance(request, spec.request_class)
        )
        try:
            return answer_of(await self._call(platform, method, request, deadline_s))
        except ConnectorError as error:
            return refusal(error)

    async def place_many(
        self, platform: str, requests: Sequence[Message], deadline_s: float | None
    ) -> list[Answer]:
        """PlaceBids."""
        spec = self._methods[platform, "PlaceBids"]
        try:
            batch = spec.request_class(bids=requests)
            response = await self._call(platform, "PlaceBids", batch, deadline_s)
        except ConnectorError as error:
            return [refusal(error)] * len(requests)
        return [answer_in(answer)[1] for answer in response.answers]

    async def stream(
        self, platform: str, requests: AsyncIterator[Message]
    ) -> AsyncIterator[tuple[str, Answer]]:
        """StreamBids."""
        spec = self._methods[platform, "StreamBids"]

        async def raws() -> AsyncIterator[bytes]:
            async for request in requests:
                yield spec.request_class(bid=request).SerializeToString()

        servicer = self.core.servicers[platform]
        answers = servicer.StreamBids(raws(), self._new_call(spec, None))
        # What a draining server has not read has no answer, as when it dies: it is asked for later.
        with contextlib.suppress(ServerDraining):
            async with contextlib.aclosing(cast("AsyncGenerator[Any, None]", answers)):
                async for message in answers:
                    yield answer_in(message.answer)

    async def ask(self, platform: str, request_id: str) -> Answer:
        """GetBid. NOT_FOUND: nothing is known of it, so nothing was sent."""
        spec = self._methods[platform, "GetBid"]
        try:
            request = spec.request_class(request_id=request_id)
            response = await self._call(platform, "GetBid", request)
        except ConnectorError as error:
            return refusal(error)
        return answer_in(response.answer)[1]

    # Ending

    async def end(self) -> None:
        """Drains and ends what was begun."""
        core = self.core
        core.books.watch.close()
        for servicer in core.servicers.values():
            servicer.end_streams()
        await self.drain()
        await core.deferred.drain()
        for task in core._background:
            task.cancel()
        await asyncio.gather(*core._background, return_exceptions=True)
        await core.connections.close()

    async def drain(self) -> None:
        """Returns when every call that holds money has ended."""
        for interceptor in self.core.chain:
            if isinstance(interceptor, Idempotency):
                await interceptor.drain()

    async def close(self) -> None:
        """The last of the end: nothing more is held, and the ledger is closed."""
        await self.core.ledger.close()

    def die(self) -> None:
        """As the kernel does it: files are closed, and nothing more is written."""
        if self.ledger._store is not None:
            self.ledger._store.close()
        if self.ledger._lock is not None:
            self.ledger._lock.release()
