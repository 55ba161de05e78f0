"""A receiver of webhooks on a real socket, with whatever answers a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook as Verifier

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMgbG9u"


@dataclass(frozen=True)
class Answer:
    """What the receiver answers; `hangs`: nothing, for ever."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False


@dataclass(frozen=True)
class Delivery:
    """One request, as it came."""

    headers: Mapping[str, str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    def verify(self, secret: str = SECRET) -> None:
        """By the specification's own library. Raises WebhookVerificationError."""
        Verifier(secret).verify(self.body, dict(self.headers))

    def is_signed_with(self, secret: str) -> bool:
        """The same, whenever it was."""
        at = datetime.fromtimestamp(int(self.headers["webhook-timestamp"]), UTC)
        signature: str = Verifier(secret).sign(self.id, at, self.body.decode())
        return signature == self.headers["webhook-signature"]


class Receiver:
    """Answers what it was told to, in order, and 200 afterwards.

    Attributes:
        got: every request.
    """

    def __init__(self) -> None:
        self.got: list[Delivery] = []
        self._answers: list[Answer] = []
        self._always: Callable[[str], Answer] | None = None
        self._runner: web.AppRunner | None = None
        self._came = asyncio.Event()
        self._stopped = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=do-not-show-me"

    def will(self, *answers: Answer) -> None:
        self._answers += answers

    def always(self, answer: Callable[[str], Answer]) -> None:
        """Answers so to each id, for good."""
        self._always = answer

    async def start(self) -> None:
        """Listens, at the same port each time."""
        self._stopped.clear()
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self._stopped.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def taken(self) -> list[str]:
        """The ids of what was answered well, in order."""
        return [delivery.id for delivery in self.got if 200 <= delivery.status < 300]

    async def until(self, count: int, within_s: float = 120.0) -> None:
        """Waits until so many requests have come."""
        async with asyncio.timeout(within_s):
            while len(self.got) < count:
                self._came.clear()
                await self._came.wait()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        if self._answers:
            answer = self._answers.pop(0)
        else:
            answer = self._always(headers["webhook-id"]) if self._always else Answer()
        self.got.append(Delivery(headers, body, 0 if answer.hangs else answer.status))
        self._came.set()
        if answer.hangs:
            await self._stopped.wait()
        return web.Response(status=answer.status, headers=dict(answer.headers))
