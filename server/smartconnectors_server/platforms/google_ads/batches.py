"""Many bids at once, each of them whole or not at all.

Bids that are one operation go together into one mutate with `partial_failure`, in which Google
makes or refuses each operation for itself. A bid of two operations (a portfolio, and the custom
parameters of its campaign) would there be half made when one of them is refused, so each such bid
is an atomic mutate of its own. The first mutate goes on the call that the chain has paid for; every
further one takes its own share of quota, and tells the breaker how it went, through the gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Call
from smartconnectors_server.connector import Gate, Placed, Traffic
from smartconnectors_server.errors import ConnectorError, InternalError
from smartconnectors_server.platforms.google_ads.reader import Reader
from smartconnectors_server.platforms.google_ads.transport import Transport
from smartconnectors_server.platforms.google_ads.wire import Change


@dataclass(frozen=True, slots=True)
class Item:
    """One planned change.

    Attributes:
        key: what its campaign is cached under.
        change: what is sent.
        call: the call that it is of.
    """

    key: str
    change: Change
    call: Call

    def dispatched(self) -> None:
        """From now on bytes may have left."""
        self.call.dispatched = True


def planned(key: str, call: Call) -> Item:
    """The item of a planned call. Raises InternalError when there is no plan."""
    if call.plan is None or not isinstance(call.plan.wire, Change):
        raise InternalError("it was not planned")
    return Item(key, call.plan.wire, call)


class Sender:
    """Sends planned changes, and keeps what is known of their campaigns true."""

    def __init__(self, transport: Transport, gate: Gate, reader: Reader) -> None:
        self._transport = transport
        self._gate = gate
        self._reader = reader

    async def send(self, item: Item) -> str:
        """Google's id of the request once it has accepted the change; Google may be asked only to
        validate it. Raises as `Transport.mutate`.
        """
        call, accepted = item.call, False
        try:
            platform_request_id = await self._transport.mutate(
                item.change.mutate, validate_only=call.validate_only, dispatched=item.dispatched
            )
            accepted = True
        finally:
            # Also when this is cancelled: then nobody knows what the campaign is like.
            if not call.validate_only:
                self._remember(item, accepted=accepted)
        return platform_request_id

    async def send_bids(self, items: Sequence[Item]) -> Sequence[Placed]:
        """A response or an error for each bid, in order. Raises as `Transport.mutate` when all of
        them went in one mutate.
        """
        groups = _groups_of(items)
        if len(groups) == 1:
            return await self._send_group([items[index] for index in groups[0]])
        sending: list[asyncio.Task[Sequence[Placed]]] = []
        async with asyncio.TaskGroup() as tasks:
            for number, group in enumerate(groups):
                own = [items[index] for index in group]
                sending.append(tasks.create_task(self._send_beside(own, first=number == 0)))
        results = {
            index: result
            for group, task in zip(groups, sending, strict=True)
            for index, result in zip(group, task.result(), strict=True)
        }
        return [results[index] for index in range(len(items))]

    async def _send_beside(self, group: Sequence[Item], *, first: bool) -> Sequence[Placed]:
        """Sends one of several groups; what holds for all of it is the result of each."""
        try:
            if first:
                return await self._send_group(group)
            async with self._gate.read("further mutate of a batch", Traffic.BIDS):
                return await self._send_group(group)
        except ConnectorError as error:
            return [error] * len(group)

    async def _send_group(self, group: Sequence[Item]) -> Sequence[Placed]:
        if len(group[0].change.mutate["mutateOperations"]) > 1:
            return [bid_answer(item.change, await self.send(item)) for item in group]
        return await self._send_together(group)

    async def _send_together(self, group: Sequence[Item]) -> Sequence[Placed]:
        """One operation for each, in one mutate."""
        document = {
            "customerId": group[0].change.mutate["customerId"],
            "mutateOperations": [
                operation for item in group for operation in item.change.mutate["mutateOperations"]
            ],
        }

        def dispatched() -> None:
            for item in group:
                item.dispatched()

        accepted = [False] * len(group)
        try:
            mutated = await self._transport.mutate_each(document, dispatched=dispatched)
            accepted = [error is None for error in mutated.outcomes]
        finally:
            for item, made in zip(group, accepted, strict=True):
                self._remember(item, accepted=made)
        return [
            bid_answer(item.change, mutated.request_id) if error is None else error
            for item, error in zip(group, mutated.outcomes, strict=True)
        ]

    def _remember(self, item: Item, *, accepted: bool) -> None:
        if accepted:
            self._reader.cache.put(item.key, item.change.after)
        elif item.call.dispatched:
            self._reader.cache.drop(item.key)


def _groups_of(items: Sequence[Item]) -> list[list[int]]:
    """Which go together, by index: all of one operation, then each of the others alone."""
    together, alone = [], []
    for index, item in enumerate(items):
        if len(item.change.mutate["mutateOperations"]) == 1:
            together.append(index)
        else:
            alone.append([index])
    return [together, *alone] if together else alone


def bid_answer(change: Change, platform_request_id: str) -> pb.PlaceBidResponse:
    """The planned answer, with Google's id of the request."""
    assert isinstance(change.answer, pb.PlaceBidResponse)
    answer = pb.PlaceBidResponse()
    answer.CopyFrom(change.answer)
    answer.google_ads.platform_request_id = platform_request_id
    return answer
