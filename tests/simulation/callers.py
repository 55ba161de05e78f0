"""Who bids: one at a time, in batches and in streams; who hangs up, asks again, waits exactly as
long as told, asks for the last micro, and uses a request id for something else.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message
from tests.simulation.bids import WORTH_A_RETRY, Asked, Attempt
from tests.simulation.broken import Broken, Promise
from tests.simulation.server import Answer, Server
from tests.simulation.terms import USD

from smartconnectors.common.v1 import bid_pb2

Told = TypeVar("Told")
GAVE_UP = Answer("gave up")
LONGEST_WAIT_S = 320.0
REUSED = frozenset({"REQUEST_ID_REUSED", "LEDGER_UNAVAILABLE", "gave up"})


class Caller:
    """Asks for some bids of one platform, in one life of the server."""

    def __init__(
        self,
        server: Server,
        chance: random.Random,
        now_s: Callable[[], float],
        say: Callable[[str], None],
        broken: Callable[[Broken], None],
    ) -> None:
        self._server = server
        self._chance = chance
        self._now_s = now_s
        self._say = say
        self._broken = broken

    async def bid(self, bids: Sequence[Asked], *, after_s: float, streams: bool) -> None:
        """Asks for them after a while, in one of the three ways, until it has had enough."""
        await asyncio.sleep(after_s)
        if streams:
            await self._stream(bids)
        elif len(bids) > 1:
            await self._batch(bids)
        else:
            await self._one_by_one(bids[0])

    # One bid

    async def _one_by_one(self, asked: Asked) -> None:
        chance = self._chance
        for _ in range(chance.choice([1, 1, 2, 4])):
            request = self._request(asked)
            attempt = self._attempt(asked)
            deadline_s = chance.choice([None, 0.05, 1.0, 8.0])
            placing = self._server.place(asked.platform, request, deadline_s)
            answer = await self._patiently(placing, deadline_s) or GAVE_UP
            self._heard(asked, attempt, answer)
            if answer.word == "PLACED" and chance.random() < 0.1:
                await self._cheat(asked)
            enough = 0.4 if answer.word == "DEFERRED" else 0.8
            if answer.word not in WORTH_A_RETRY and chance.random() < enough:
                return
            await asyncio.sleep(self._pause_s(answer))

    def _pause_s(self, answer: Answer) -> float:
        """Until the next attempt; some come back to the nanosecond when they were told to, and some
        have a clock that runs a little fast.
        """
        chance = self._chance
        own_s = chance.choice([0.0, 0.01, 1.0, 30.0])
        told_s = answer.retry_after_s
        if told_s is None or told_s > LONGEST_WAIT_S or chance.random() < 0.3:
            return own_s
        return max(0.0, told_s - chance.choice([0.0, 0.0, 0.0005, 0.003]))

    async def _cheat(self, asked: Asked) -> None:
        """Something else under an id that has been placed."""
        other = copy.deepcopy(asked.bid)
        if isinstance(other, bid_pb2.BidRequest):
            other.bid_micros += USD
        else:
            other.daily_budget_micros += USD
        request = self._server.request(asked.platform, other)
        answer = await self._server.place(asked.platform, request, None)
        if answer.word not in REUSED:
            text = f"{asked.platform} {asked.request_id} with another payload: {answer.word}"
            self._broken(Broken(Promise.TRUTH, text))

    # Many bids

    async def _batch(self, bids: Sequence[Asked]) -> None:
        chance = self._chance
        for _ in range(chance.choice([1, 1, 2])):
            requests = [self._request(asked) for asked in bids]
            attempts = [self._attempt(asked) for asked in bids]
            deadline_s = chance.choice([None, None, 1.0, 8.0])
            placing = self._server.place_many(bids[0].platform, requests, deadline_s)
            answers = await self._patiently(placing, deadline_s) or [GAVE_UP] * len(bids)
            for asked, attempt, answer in zip(bids, attempts, answers, strict=True):
                self._heard(asked, attempt, answer)
            await asyncio.sleep(chance.choice([0.0, 0.5, 10.0]))

    async def _stream(self, bids: Sequence[Asked]) -> None:
        chance = self._chance
        attempts: dict[str, list[tuple[Asked, Attempt]]] = defaultdict(list)
        pauses_s = [chance.choice([0.0, 0.0, 0.05, 2.0]) for _ in bids]

        async def requests() -> AsyncIterator[Message]:
            for asked, pause_s in zip(bids, pauses_s, strict=True):
                await asyncio.sleep(pause_s)
                attempts[asked.request_id].append((asked, self._attempt(asked)))
                yield self._request(asked)

        async def read() -> bool:
            async for request_id, answer in self._server.stream(bids[0].platform, requests()):
                self._heard(*attempts[request_id].pop(), answer)
            return True

        await self._patiently(read(), None)
        for asked, attempt in itertools.chain(*attempts.values()):
            self._heard(asked, attempt, GAVE_UP)

    # Parts

    async def _patiently(
        self, asking: Coroutine[Any, Any, Told], deadline_s: float | None
    ) -> Told | None:
        """What it is told; None: it hung up before, or its deadline passed."""
        calling = asyncio.ensure_future(asking)
        patience_s = deadline_s
        if self._chance.random() < 0.15:
            patience_s = self._chance.choice([0.0, 0.001, 0.05, 1.0])
        await asyncio.wait([calling], timeout=patience_s)
        if not calling.done():
            calling.cancel()
            await asyncio.wait([calling])
        return None if calling.cancelled() else calling.result()

    def _attempt(self, asked: Asked) -> Attempt:
        attempt = Attempt(self._now_s())
        asked.attempts.append(attempt)
        return attempt

    def _request(self, asked: Asked) -> Message:
        """What it asks for is decided at its first attempt, and stays so."""
        if asked.greed_micros >= 0 and isinstance(asked.bid, bid_pb2.BidRequest):
            keeper = self._server.core.keeper
            ids = keeper.budget_ids_of(asked.platform, asked.bid.campaign_id)
            budgets = set(keeper.budget_ids()).intersection(ids)
            left = min(keeper.state(budget_id).remaining_micros() for budget_id in budgets)
            if left:
                asked.bid.bid_micros = left + asked.greed_micros
            asked.greed_micros = -1
        return self._server.request(asked.platform, asked.bid)

    def _heard(self, asked: Asked, attempt: Attempt, answer: Answer) -> None:
        attempt.tell(answer.word, self._now_s())
        self._say(f"{asked.platform} {asked.request_id} {answer.word}")
        if answer.word in {"INTERNAL", "REQUEST_ID_REUSED"}:
            text = f"{asked.platform} {asked.request_id} was told {answer.word}: {answer.text}"
            self._broken(Broken(Promise.TRUTH, text))
