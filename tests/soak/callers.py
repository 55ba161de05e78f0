"""The callers of a soak: what an ordinary day sends, and what an ordinary day does not."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import grpc.aio
from tests.soak.answers import reason_of, told_by_answer, told_by_error, told_by_result
from tests.soak.bids import Bids, Made
from tests.soak.link import Link, request_of
from tests.soak.table import Bid, Table, Told

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2

TIMEOUT_S = 10.0
MOST_AT_ONCE = 1_000
STREAM_LIVES_S = 60.0
REMEMBERED = 500


@contextlib.contextmanager
def under_way(bids: Iterable[Bid]) -> Iterator[None]:
    """Around a call that carries these bids."""
    carried = list(bids)
    for bid in carried:
        bid.under_way += 1
    try:
        yield
    finally:
        for bid in carried:
            bid.under_way -= 1


class Callers:
    """Sends bids and writes down what it is told."""

    def __init__(
        self,
        address: str,
        bids: Mapping[str, Bids],
        table: Table,
        chance: random.Random,
        now_s: Callable[[], float],
    ) -> None:
        self.answers: Counter[str] = Counter()
        """Reason or status -> how often."""
        self.notices = 0
        """Changes of budgets that watchers were told of."""
        self.skipped = 0
        """Calls that were not made because too many were under way."""
        self._address = address
        self._bids = bids
        self._table = table
        self._chance = chance
        self._now_s = now_s
        self._links = [Link(address) for _ in range(4)]
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failed: BaseException | None = None
        self._placed: list[Made] = []

    # Keeping the load going

    def spawn(self, work: Awaitable[Any]) -> None:
        """Runs it beside everything else."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed = self._failed or error

    async def at_rate(self, per_s: Callable[[], float], call: Callable[[], Awaitable[Any]]) -> None:
        """Makes that many calls a second, whether or not earlier ones have ended. Raises what one
        of them raised: a mistake of the soak's own.
        """
        while True:
            await asyncio.sleep(self._chance.expovariate(per_s()))
            if self._failed is not None:
                raise self._failed
            if len(self._tasks) < MOST_AT_ONCE:
                self.spawn(call())
            else:
                self.skipped += 1

    async def finish(self) -> None:
        """Returns when every call under way has ended. Raises as `at_rate`."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._failed is not None:
            raise self._failed

    async def close(self) -> None:
        """Ends what is still under way, and closes the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self._links))

    # An ordinary day

    async def bid(self) -> None:
        """One unary bid; some are sent twice at once, given up, or given too little time."""
        made = self._bids[self._platform()].make(self._now_s())
        match self._chance.randrange(20):
            case 0:
                await asyncio.gather(*(self._place(made) for _ in range(3)))
            case 1:
                await self._place(made, timeout_s=self._chance.uniform(0.001, 0.1))
                await self._place(made)
            case 2:
                await self._give_up(made)
            case 3 if self._placed:
                await self._place(self._chance.choice(self._placed))
                await self._place(made)
            case _:
                await self._place(made)
                if made.bid.told is Told.UNKNOWN:
                    await asyncio.sleep(self._chance.uniform(0.1, 2))
                    await self._place(made)

    async def batch(self) -> None:
        """One bid for each campaign, in one call."""
        platform = self._platform()
        many = self._bids[platform].make_many(self._now_s())
        request = request_of(platform, "PlaceBids", bids=[made.request for made in many])
        with under_way(made.bid for made in many):
            try:
                response = await self._link().ask(platform, "PlaceBids", request, TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                for made in many:
                    self._told(made.bid, *told_by_error(error))
                return
            for made, answer in zip(many, response.answers, strict=True):
                self._told(made.bid, *told_by_answer(answer))

    async def stream(self, platform: str, per_s: float) -> None:
        """StreamBids, read as it goes, ended and begun anew again and again."""
        while True:
            sent: dict[str, Bid] = {}
            call = self._link().method(platform, "StreamBids")(
                self._messages(platform, per_s, sent), timeout=2 * STREAM_LIVES_S
            )
            try:
                async for message in call:
                    bid = sent.pop(message.answer.request_id)
                    self._told(bid, *told_by_answer(message.answer))
                    bid.under_way -= 1
            except grpc.aio.AioRpcError as error:
                self.answers[f"stream: {reason_of(error)}"] += 1
            finally:
                self._ended_without_answer(sent.values())

    async def _messages(
        self, platform: str, per_s: float, sent: dict[str, Bid]
    ) -> AsyncIterator[Any]:
        until_s = self._now_s() + STREAM_LIVES_S
        while self._now_s() < until_s:
            await asyncio.sleep(1 / per_s)
            made = self._bids[platform].make(self._now_s())
            made.bid.under_way += 1
            sent[made.bid.request_id] = made.bid
            yield request_of(platform, "StreamBids", bid=made.request)

    async def watch(self) -> None:
        """WatchBudgetStats, read as it goes."""
        while True:
            call = self._link().budgets.WatchBudgetStats(budgets_pb2.WatchBudgetStatsRequest())
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for _ in call:
                    self.notices += 1
            await asyncio.sleep(1)

    async def look(self) -> None:
        """One of the calls that only look."""
        platform, link = self._platform(), self._link()
        known = self._chance.choice(self._placed).bid if self._placed else None
        try:
            match self._chance.randrange(6):
                case 0 if known is not None:
                    request = request_of(known.platform, "GetBid", request_id=known.request_id)
                    await link.ask(known.platform, "GetBid", request, TIMEOUT_S)
                case 1:
                    request = request_of(platform, "GetConnectorStatus")
                    await link.ask(platform, "GetConnectorStatus", request, TIMEOUT_S)
                case 2:
                    await link.budgets.ListBudgetStats(budgets_pb2.ListBudgetStatsRequest())
                case 3:
                    await link.budgets.ListHolds(budgets_pb2.ListHoldsRequest())
                case 4:
                    await link.budgets.ListLedgerEntries(budgets_pb2.ListLedgerEntriesRequest())
                case _:
                    await self.ask_unknown(platform)
        except grpc.aio.AioRpcError as error:
            self.answers[f"look: {reason_of(error)}"] += 1

    async def ask_unknown(self, platform: str) -> None:
        """GetBid of a request id that was never used."""
        request_id = f"never-{self._chance.getrandbits(64):016x}"
        request = request_of(platform, "GetBid", request_id=request_id)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self._link().ask(platform, "GetBid", request, TIMEOUT_S)

    # What an ordinary day does not send

    async def burst(self, calls: int) -> None:
        """So many bids at once, on a connection of their own that is closed afterwards."""
        link = Link(self._address)
        many = [self._bids[self._platform()].make(self._now_s()) for _ in range(calls)]
        try:
            await asyncio.gather(*(self._place(made, link=link) for made in many))
        finally:
            await link.close()

    async def come_and_go(self) -> None:
        """A connection for one bid."""
        link = Link(self._address)
        try:
            await self._place(self._bids[self._platform()].make(self._now_s()), link=link)
        finally:
            await link.close()

    async def watch_without_reading(self, lives_s: float) -> None:
        """WatchBudgetStats that is never read."""
        while True:
            link = Link(self._address)
            call = link.budgets.WatchBudgetStats(budgets_pb2.WatchBudgetStatsRequest())
            await asyncio.sleep(lives_s)
            call.cancel()
            await link.close()

    async def stream_without_reading(self, platform: str, lives_s: float) -> None:
        """StreamBids that sends as long as it is let, and never reads an answer."""
        while True:
            link = Link(self._address)
            call = link.method(platform, "StreamBids")()
            sent: list[Bid] = []
            try:
                async with asyncio.timeout(lives_s):
                    while True:
                        made = self._bids[platform].make(self._now_s())
                        made.bid.under_way += 1
                        sent.append(made.bid)
                        await call.write(request_of(platform, "StreamBids", bid=made.request))
                        await asyncio.sleep(0.1)
            except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await asyncio.sleep(0.1)
            finally:
                call.cancel()
                self._ended_without_answer(sent)
                await link.close()

    # What became of it

    async def find_out(self, *, older_than_s: float) -> None:
        """Asks for every bid of which nothing final was said, as long ago as that."""
        for bid in self._table.unknown(asked_before_s=self._now_s() - older_than_s):
            request = request_of(bid.platform, "GetBid", request_id=bid.request_id)
            try:
                answer = await self._link().ask(bid.platform, "GetBid", request, TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                _, told = told_by_error(error)
            else:
                _, told = told_by_answer(answer.answer)
            self._table.found_out(bid, told, at_s=self._now_s())

    async def assumed(self, bid: Bid) -> bool:
        """Whether the ledger only assumes that the bid was placed: it could not be found out."""
        request = budgets_pb2.ListLedgerEntriesRequest(request_id=bid.request_id)
        entries = (await self._link().budgets.ListLedgerEntries(request)).entries
        return any(entry.note.startswith("assumed") for entry in entries)

    async def open_holds(self) -> int:
        """How many holds are open, of 100 at most."""
        return len((await self._link().budgets.ListHolds(budgets_pb2.ListHoldsRequest())).holds)

    # Parts

    def _platform(self) -> str:
        return self._chance.choice(list(self._bids))

    def _link(self) -> Link:
        return self._chance.choice(self._links)

    async def _place(
        self, made: Made, *, timeout_s: float = TIMEOUT_S, link: Link | None = None
    ) -> None:
        platform = made.bid.platform
        with under_way([made.bid]):
            try:
                to = link or self._link()
                response = await to.ask(platform, "PlaceBid", made.request, timeout_s)
            except grpc.aio.AioRpcError as error:
                self._told(made.bid, *told_by_error(error))
                return
            self._told(made.bid, *told_by_result(response.result))
        if made.bid.told is Told.PLACED:
            self._placed.append(made)
            del self._placed[:-REMEMBERED]

    async def _give_up(self, made: Made) -> None:
        call = asyncio.ensure_future(self._place(made))
        await asyncio.sleep(self._chance.uniform(0, 0.05))
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        if made.bid.told is None:
            self._told(made.bid, "GAVE_UP", Told.UNKNOWN)

    def _ended_without_answer(self, sent: Iterable[Bid]) -> None:
        for bid in sent:
            bid.under_way -= 1
            self._told(bid, "STREAM_ENDED", Told.UNKNOWN)

    def _told(self, bid: Bid, reason: str, told: Told) -> None:
        self.answers[reason] += 1
        self._table.tell(bid, told, at_s=self._now_s())
