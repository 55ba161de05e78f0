"""The sandbox itself: listens, plays faults, answers."""

from __future__ import annotations

import asyncio

from aiohttp import web

from smartconnectors_server.clock import Clock, SystemClock
from smartconnectors_server.connector.fault_proxy import Address, FaultProxy
from smartconnectors_server.connector.forms import form_of
from smartconnectors_server.connector.sandbox import (
    Billed,
    Fault,
    FaultKind,
    Faults,
    Journal,
    JournalEntry,
)
from smartconnectors_server.platforms.meta.sandbox.accounts import TIME_ZONE
from smartconnectors_server.platforms.meta.sandbox.answers import Answers, Asked, Reply
from smartconnectors_server.platforms.meta.sandbox.failures import unexpected

_GARBAGE = '{"success": tr'
_SHUTDOWN_S = 0.5
_MAX_REQUEST_BYTES = 8 * 1024 * 1024


class MetaSandbox:
    """Implements `Sandbox`. Every fault kind can be played, on batches as on single requests."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._journal = Journal(self._clock)
        self._faults = Faults()
        self.billed = Billed(TIME_ZONE)
        self._answers = Answers(self._journal, self._clock, self.billed)
        self._proxy = FaultProxy(lambda _: self._address)
        self._runner: web.AppRunner | None = None
        self._address: Address = ("", 0)
        self._late: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens on one port and returns `host:port`. Raises OSError when the port is taken."""
        app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, 0).start()
        bound = self._runner.addresses[0]
        self._address = (bound[0], bound[1])
        return f"{host}:{await self._proxy.start(host, port)}"

    async def close(self) -> None:
        """Stops listening; requests that were left hanging end unanswered."""
        self._closing.set()
        await self._end_late()
        await self._proxy.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

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
        await self._end_late()
        await self.clear_faults()
        self._answers.reset()
        self.billed.reset()
        self._journal.clear()

    async def drain_late(self) -> None:
        """Returns when every change that was to come late has been made."""
        await asyncio.gather(*self._late)

    def add_ad_sets(self, campaign_id: str, count: int) -> None:
        """Gives a campaign that many more ad sets, as its first one is."""
        self._answers.add_ad_sets(campaign_id, count)

    def add_campaigns(self, count: int) -> None:
        """Gives the dollar account that many more campaigns, as its first one is."""
        self._answers.add_campaigns(count)

    def ignore_changes(self, object_id: str) -> None:
        """Takes changes of one object from now on, and makes none of them."""
        self._answers.ignore_changes(object_id)

    def set_currency(self, account_id: str, currency_code: str) -> None:
        """Has an account bill in another currency. Raises KeyError when there is none."""
        self._answers.set_currency(account_id, currency_code)

    def hide_minimum_budgets(self) -> None:
        """Refuses to tell minimum budgets from now on, as to a user who may not see them."""
        self._answers.hide_minimum_budgets()

    def remove_campaign(self, campaign_id: str) -> None:
        """Removes a campaign and its ad sets, as on Meta's own pages: from now on changes of them
        are refused. Raises KeyError when there is none.
        """
        self._answers.remove_campaign(campaign_id)

    async def _end_late(self) -> None:
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        form = await form_of(request)
        asked = Asked(
            request.method,
            request.path,
            {**request.query, **form},
            request.headers.get("authorization", ""),
        )
        fault = self._faults.take(asked.name, changes=asked.changes)
        if fault is None:
            return _sent(self._answers.answer(asked))
        return await self._play(fault, asked)

    async def _play(self, fault: Fault, asked: Asked) -> web.StreamResponse:
        """Answers through the fault that befalls this request."""
        match fault.kind:
            case FaultKind.HANG:
                return await self._never()
            case FaultKind.QUOTA:
                return _sent(self._answers.quota_refusal(asked, fault.delay_ms))
            case FaultKind.SERVER_ERROR:
                return _sent(self._answers.refusal(asked, unexpected()))
            case FaultKind.APPLY_LATE:
                task = asyncio.create_task(self._apply_late(asked, fault.delay_ms / 1000))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
                return await self._never()
            case _:
                return await self._spoil(fault, self._answers.answer(asked), asked)

    async def _spoil(self, fault: Fault, reply: Reply, asked: Asked) -> web.StreamResponse:
        """What becomes of an answer under the faults that befall it after the change was made."""
        match fault.kind:
            case FaultKind.APPLY_THEN_HANG:
                return await self._never()
            case FaultKind.APPLY_THEN_RESET:
                self._proxy.reset()
                return await self._never()
            case FaultKind.MALFORMED:
                return web.Response(status=reply.status, text=_GARBAGE, headers=reply.headers)
            case FaultKind.SLOW:
                await self._clock.sleep(fault.delay_ms / 1000)
            case FaultKind.DUPLICATE:
                self._answers.answer(asked)
            case _:
                raise AssertionError(f"{fault.kind} is played by the proxy")
        return _sent(reply)

    async def _apply_late(self, asked: Asked, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._answers.answer(asked)

    async def _never(self) -> web.StreamResponse:
        """Holds the request until the sandbox closes."""
        await self._closing.wait()
        return web.Response(status=503)


def _sent(reply: Reply) -> web.Response:
    return web.Response(
        status=reply.status,
        text=reply.body,
        content_type="application/json",
        headers=reply.headers,
    )
