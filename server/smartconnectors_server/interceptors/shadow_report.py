"""Counts what shadow mode would have done and what it would have vetoed, once for each bid.

Outside of every veto, so that each refusal is counted with its reason. What the limits in effect
refuse is counted for the candidate limit in every mode.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, ClassVar

from google.protobuf.message import Message

from smartconnectors_server.call import Call, Kind, MethodSpec
from smartconnectors_server.connector import Mode
from smartconnectors_server.errors import BudgetExceeded, ConnectorError
from smartconnectors_server.interceptors._base import Engines, Next
from smartconnectors_server.interceptors.telemetry import outcome_name


class CountForReport:
    """Questions (`validate_only`) and answers from memory are no bids."""

    name: ClassVar[str] = "shadow_report"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        return spec.holds_money

    async def intercept(self, call_next: Next, request: Message, call: Call) -> Message:
        try:
            response: Message = await call_next(request, call)
        except ConnectorError as error:
            self._refused(error, request, call)
            raise
        except asyncio.CancelledError:
            if call.task is not None and call.held:
                # The caller hung up; the bid goes on to its own end.
                call.task.add_done_callback(partial(self._ended, request, call))
            raise
        self._count(outcome_name(response), request, call)
        return response

    def _ended(self, request: Message, call: Call, task: asyncio.Task[Message]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._count(outcome_name(task.result()), request, call)
        elif isinstance(error, ConnectorError):
            self._refused(error, request, call)

    def _refused(self, error: ConnectorError, request: Message, call: Call) -> None:
        over_micros = 0
        if isinstance(error, BudgetExceeded):
            said = error.metadata
            over_micros = int(said["amount_micros"]) - int(said["remaining_micros"])
            if not (call.replayed or call.validate_only):
                book = self._engines.runtime(call).book
                self._engines.candidates.vetoed(book, _amount_micros(request, call))
        self._count(error.reason, request, call, over_micros=over_micros)

    def _count(self, outcome: str, request: Message, call: Call, *, over_micros: int = 0) -> None:
        runtime = self._engines.runtime(call)
        if runtime.mode is not Mode.SHADOW or call.replayed or call.validate_only:
            return
        amount_micros = _amount_micros(request, call)
        self._engines.tallies.count(runtime.book, outcome, amount_micros, worst_micros=over_micros)


def _amount_micros(request: Any, call: Call) -> int:
    """What it commits or would have, as far as it came."""
    if call.hold is not None:
        return call.hold.amount_micros
    if call.plan is not None:
        return call.plan.amount_micros
    if call.priced is not None:
        return call.priced.bid_micros
    return int(request.bid.bid_micros) if call.spec.kind is Kind.BID else 0
