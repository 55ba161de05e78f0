"""The way to platforms that speak HTTP: one shared aiohttp session, and three-valued outcomes.

What failed before a connection stood, past a proxy and past TLS, is provably unsent. What failed
after it is unknown for a change, and simply not read for a read. Nothing is ever sent twice:
aiohttp repeats what HTTP calls idempotent, a GET or a PUT, when a connection is lost before the
answer. A change of money must not risk that, and a read must not take a call of the platform's
quota that nobody counted (`_send_once`). A kept connection that turns out dead would leave a change
in doubt for nothing, so changes use connections of their own that are not kept, and that are reset
when a change is given up (`sockets.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp

from smartconnectors_server.connector import sockets
from smartconnectors_server.errors import OutcomeUnknown, PlatformUnavailable
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.telemetry import outgoing

MAX_ANSWER_BYTES = 8 * 1024 * 1024
CONNECT_TIMEOUT_MS = 2_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What a platform answered, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises ValueError when it is not."""
        return json.loads(self.body)


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """The body. Raises ClientPayloadError when it is larger than any that is expected."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"more than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)


def _with_trace(headers: Mapping[str, str]) -> Mapping[str, str]:
    traceparent = outgoing.get()
    return {**headers, "traceparent": traceparent} if traceparent else headers


class ConnectionLost(aiohttp.ClientError):
    """The connection was lost after it stood."""


_carriers: ContextVar[list[asyncio.Transport] | None] = ContextVar("_carriers", default=None)
"""The connections that carry the present task's change; None for a read."""


class _ChangeConnector(aiohttp.TCPConnector):
    """Connections that carry one change each."""

    async def connect(self, *args: Any, **kwargs: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*args, **kwargs)
        carriers = _carriers.get()
        if carriers is not None and connection.transport is not None:
            carriers.append(connection.transport)
        return connection


@contextlib.contextmanager
def _reset_if_given_up() -> Iterator[None]:
    """Resets the connections that carry a change when the block is left by an exception.

    aiohttp alone would close them: what waits in the process or in the kernel would still be sent.
    """
    carriers: list[asyncio.Transport] = []
    token = _carriers.set(carriers)
    try:
        yield
    except BaseException:
        for transport in carriers:
            sockets.reset(transport)
        raise
    finally:
        _carriers.reset(token)


async def _stands(_session: aiohttp.ClientSession, context: Any, _params: Any) -> None:
    """Notes that a request has a connection: past a proxy's CONNECT and past TLS."""
    context.trace_request_ctx.append(True)


def _noting_connections() -> aiohttp.TraceConfig:
    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(_stands)
    config.on_connection_reuseconn.append(_stands)
    return config


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Sends the request, and keeps a lost connection from aiohttp, which would send it again."""
    try:
        response = await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise  # nothing was sent, and aiohttp does not repeat it either
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionLost(str(error)) from error
    for transport in _carriers.get() or ():
        sockets.answered(transport)
    return response


class HttpTransport:
    """One platform's HTTP API."""

    def __init__(
        self, platform: str, base_url: str, *, timeout_ms: int, outgoing: Outgoing | None = None
    ) -> None:
        """`base_url` without a slash at its end; `outgoing` None: without a proxy."""
        self._outgoing = outgoing or Outgoing()
        self._through = self._outgoing.for_aiohttp(base_url)
        self._for_the_proxy = self._outgoing.headers_for(base_url)
        self._platform = platform
        self._base_url = base_url
        self._timeout_ms = timeout_ms
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def open(self) -> None:
        """Makes the sessions; connects nothing yet."""
        ssl = self._outgoing.ssl_context() or True
        for changes in (False, True):
            connector = (
                _ChangeConnector(
                    force_close=True,
                    limit=0,
                    ssl=ssl,
                    socket_factory=sockets.for_changes(self._timeout_ms),
                )
                if changes
                else aiohttp.TCPConnector(limit=0, ssl=ssl)
            )
            self._sessions[changes] = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout(self._timeout_ms),
                auto_decompress=True,
                middlewares=(_send_once,),
                trace_configs=[_noting_connections()],
            )

    async def close(self) -> None:
        """Closes every connection."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    @staticmethod
    def _timeout(timeout_ms: int) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=timeout_ms / 1000, sock_connect=min(CONNECT_TIMEOUT_MS, timeout_ms) / 1000
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        changes: bool,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        body: Any = None,
        content: str | None = None,
        timeout_ms: int | None = None,
    ) -> Answer:
        """Sends one request and reads the whole answer.

        `changes` says that the platform may change something because of it. `form` is sent
        url-encoded, `body` as JSON, `content` as it is and as the headers describe it; one of them
        at most. `timeout_ms`: for one that may take longer than others.

        Raises:
            PlatformUnavailable: no connection was made; for a read, also when it failed later.
            OutcomeUnknown: a change may have been sent, and no whole answer came back.
        """
        sent = {**_with_trace(headers), **self._for_the_proxy}
        self._check(sent)
        stands: list[bool] = []
        try:
            with _reset_if_given_up() if changes else contextlib.nullcontext():
                async with self._sessions[changes].request(
                    method,
                    self._base_url + path,
                    headers=sent,
                    params=params,
                    data=form if content is None else content.encode(),
                    json=body,
                    allow_redirects=False,
                    timeout=self._timeout(timeout_ms or self._timeout_ms),
                    trace_request_ctx=stands,
                    **self._through,
                ) as response:
                    received = await _whole(response)
                    found = {name.lower(): value for name, value in response.headers.items()}
                    return Answer(response.status, found, received)
        except (aiohttp.ClientError, TimeoutError, ConnectionError, ValueError) as error:
            if not stands:
                # What caused it may repeat a header, an address or a proxy's password.
                raise PlatformUnavailable(
                    f"{self._platform} cannot be reached ({self._why(error)}); nothing was sent"
                ) from None
            raise self._failed(changes, error) from error

    def _why(self, error: Exception) -> str:
        """Why there is no connection."""
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return f"the proxy refuses to connect, {error.status}"
        what = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        return f"{what}, through a proxy" if self._through else what

    def _check(self, headers: Mapping[str, str]) -> None:
        """Raises PlatformUnavailable for a header that HTTP cannot carry: aiohttp would notice when
        the connection stands, and say so by repeating it.
        """
        for name, value in headers.items():
            if not value.isprintable() or not value.isascii():
                raise PlatformUnavailable(
                    f"{self._platform}: the header {name} has a character that no header can "
                    "carry; nothing was sent"
                )

    def _failed(self, changes: bool, error: Exception) -> OutcomeUnknown | PlatformUnavailable:
        what = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        if changes:
            return OutcomeUnknown(f"{self._platform}: {what} after the change may have been sent.")
        return PlatformUnavailable(f"{self._platform}: {what} while it was read")
