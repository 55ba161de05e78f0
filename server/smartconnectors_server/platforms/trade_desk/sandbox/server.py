"""The sandbox itself: listens, plays faults, answers."""

from __future__ import annotations

import asyncio

from aiohttp import web

from smartconnectors_server.clock import Clock, SystemClock
from smartconnectors_server.connector.fault_proxy import Address, FaultProxy
from smartconnectors_server.connector.forms import body_of
from smartconnectors_server.connector.sandbox import (
    Billed,
    Fault,
    FaultKind,
    Faults,
    Journal,
    JournalEntry,
)
from smartconnectors_server.platforms.trade_desk.sandbox.answers import Answers, Asked, Reply
from smartconnectors_server.platforms.trade_desk.sandbox.changes import Leniency
from smartconnectors_server.platforms.trade_desk.sandbox.refusals import Refused

_GARBAGE = b'{"AdGroupId": "'
_SHUTDOWN_S = 0.5


class TradeDeskSandbox:
    """Implements `Sandbox`. Every fault kind can be played, by REST and by the exchange alike."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._journal = Journal(self._clock)
        self._faults = Faults()
        self.billed = Billed()
        self._answers = Answers(self._journal, self.billed)
        self._proxy = FaultProxy(lambda _: self._address)
        self._runner: web.AppRunner | None = None
        self._address: Address = ("", 0)
        self._late: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens on one port and returns `host:port`. Raises OSError when it is taken."""
        app = web.Application()
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
        self._answers.rest.reset()
        self.billed.reset()
        self._journal.clear()

    async def drain_late(self) -> None:
        """Returns when every change that was to come late has been made."""
        await asyncio.gather(*self._late)

    @property
    def leniency(self) -> Leniency:
        """How changes are taken, until the next reset."""
        return self._answers.rest.leniency

    def add_campaigns(self, count: int) -> None:
        """Gives the dollar advertiser that many more campaigns, as its first one is."""
        self._answers.rest.add_campaigns(count)

    def revoke_tokens(self) -> None:
        """Makes every token invalid; a login fetches a good one."""
        self._answers.rest.revoke_tokens()

    async def _end_late(self) -> None:
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.method, request.path, headers, await body_of(request))
        reply = await self._play(asked)
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    async def _play(self, asked: Asked) -> Reply:
        """Answers, through whatever fault befalls this request."""
        fault = self._fault_for(asked)
        if fault is None:
            return self._answers.answer(asked)
        match fault.kind:
            case FaultKind.QUOTA:
                wait_s = -(-fault.delay_ms // 1000)
                headers = {"Retry-After": str(wait_s)} if wait_s else {}
                return self._answers.refuse(asked, Refused(429, "Too many requests."), headers)
            case FaultKind.SERVER_ERROR:
                return self._answers.refuse(asked, Refused(500, "An error has occurred."), {})
            case FaultKind.MALFORMED:
                self._answers.answer(asked)
                # An exchange's answer has no body to garble: its status is none of OpenRTB's.
                return Reply(299 if asked.is_bid else 200, _GARBAGE)
            case FaultKind.DUPLICATE:
                self._answers.answer(asked)
            case FaultKind.SLOW:
                reply = self._answers.answer(asked)
                await self._clock.sleep(fault.delay_ms / 1000)
                return reply
            case _:
                await self._withhold(asked, fault)
        return self._answers.answer(asked)

    def _fault_for(self, asked: Asked) -> Fault | None:
        try:
            route = asked.route()
        except Refused:
            return None
        return self._faults.take(route.name, changes=route.changes)

    async def _withhold(self, asked: Asked, fault: Fault) -> None:
        """Plays a fault that leaves the request unanswered."""
        if fault.kind is FaultKind.APPLY_LATE:
            task = asyncio.create_task(self._apply_late(asked, fault.delay_ms / 1000))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        elif fault.kind is not FaultKind.HANG:
            self._answers.answer(asked)
        if fault.kind is FaultKind.APPLY_THEN_RESET:
            self._proxy.reset()
        await self._closing.wait()
        raise web.HTTPServiceUnavailable

    async def _apply_late(self, asked: Asked, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._answers.answer(asked)
