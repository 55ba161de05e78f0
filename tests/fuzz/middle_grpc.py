"""The middle for Google Ads: gRPC and an OAuth endpoint on one port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from tests.fuzz.middle import Exchange, Poison, Switch
from tests.fuzz.middle_http import HttpMiddle
from tests.fuzz.mutations import edited, raw_edited, with_secret

from smartconnectors_server.connector.fault_proxy import Address, FaultProxy
from smartconnectors_server.connector.sandbox import Sandbox
from smartconnectors_server.platforms.google_ads.library import load
from smartconnectors_server.platforms.google_ads.options import DEFAULT_VERSION
from smartconnectors_server.platforms.google_ads.sandbox.routes import Handler, Route

_STATUSES = list(grpc.StatusCode)
_FAILURE_KEY = f"google.ads.googleads.{DEFAULT_VERSION}.errors.googleadsfailure-bin"
_METHODS = "/google.ads.googleads.{}.services.GoogleAdsService/{}"

Refusal = tuple[grpc.StatusCode, str, bytes]
"""Status, words, GoogleAdsFailure."""


class GrpcMiddle(Switch):
    """Its OAuth endpoint is an HTTP middle that is told the same."""

    def __init__(self, sandbox: Sandbox, address: str, recorded: Sequence[Refusal]) -> None:
        super().__init__(sandbox)
        self._address = address
        self._recorded = recorded
        self._http = HttpMiddle(sandbox, address, ())
        self._proxy = FaultProxy(self._upstream_of)
        self._ports: dict[bool, Address] = {}
        self._library = load(DEFAULT_VERSION)
        self._server: grpc.aio.Server | None = None
        self._channel: grpc.aio.Channel | None = None

    async def start(self) -> str:
        host, _, port = (await self._http.start()).rpartition(":")
        self._channel = grpc.aio.insecure_channel(
            self._address, options=(("grpc.max_receive_message_length", -1),)
        )
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((Handler(self._unary, self._stream),))
        self._ports = {
            False: (host, int(port)),
            True: (host, self._server.add_insecure_port("127.0.0.1:0")),
        }
        await self._server.start()
        return f"127.0.0.1:{await self._proxy.start()}"

    async def close(self) -> None:
        await self._proxy.close()
        if self._server is not None:
            await self._server.stop(0)
        if self._channel is not None:
            await self._channel.close()
        await self._http.close()

    def begin(self, phase: str, poison: Poison | None) -> None:
        super().begin(phase, poison)
        self._http.begin(phase, poison)

    def _upstream_of(self, first_bytes: bytes) -> Address:
        return self._ports[b"PRI".startswith(first_bytes[:3])]

    async def _unary(self, route: Route, payload: bytes, context: Any) -> bytes:
        assert self._channel is not None
        call: Any = self._channel.unary_unary(_METHODS.format(route.version, route.method))
        with self.watch(payload) as (exchange, poison):
            answer, error = await _asked(call(payload, metadata=_metadata(context)))
        spoilt = self._spoilt(exchange, poison, answer, self._library.mutate_response)
        await self._say(exchange, poison, error, context)
        return spoilt

    async def _stream(self, route: Route, payload: bytes, context: Any) -> AsyncIterator[bytes]:
        assert self._channel is not None
        call: Any = self._channel.unary_stream(_METHODS.format(route.version, route.method))
        with self.watch(payload) as (exchange, poison):
            parts, error = await _asked(_gathered(call(payload, metadata=_metadata(context))))
        if error is None:
            for part in parts or ():
                yield self._spoilt(exchange, poison, part, self._library.search_response)
        await self._say(exchange, poison, error, context)

    def _spoilt(
        self, exchange: Exchange, poison: Poison | None, answer: bytes | None, message: Any
    ) -> bytes:
        exchange.body = answer or b""
        if poison is not None:
            exchange.secret = self._secret
            exchange.body = raw_edited(
                _edited(exchange.body, poison, message, exchange.secret), poison.raw
            )
        return exchange.body

    async def _say(
        self, exchange: Exchange, poison: Poison | None, error: Refusal | None, context: Any
    ) -> None:
        if poison is not None and poison.recorded is not None and self._recorded:
            error = self._recorded[poison.recorded % len(self._recorded)]
        trailing: list[tuple[str, str | bytes]] = []
        status, words, failure = error or (grpc.StatusCode.OK, "", b"")
        if poison is not None:
            if poison.status is not None:
                status = _STATUSES[poison.status % len(_STATUSES)]
            if failure:
                failure = _edited(failure, poison, self._library.failure, self._secret)
                failure = raw_edited(failure, poison.raw)
            trailing += [
                (name.lower(), value.encode("ascii", "ignore").decode().strip())
                for name, value in poison.headers
                if name == "request-id" and value.isprintable()
            ]
            words = words or with_secret(" ".join(value for _, value in poison.headers), "said")
        if failure:
            trailing.append((_FAILURE_KEY, failure))
        exchange.status = status.value[0]
        exchange.failure = failure or None
        context.set_trailing_metadata(tuple(trailing))
        if status is not grpc.StatusCode.OK:
            await context.abort(status, words, tuple(trailing))

    @property
    def _secret(self) -> str:
        """The bearer token that the sandbox handed out last."""
        for exchange in reversed(self._http.exchanges):
            try:
                token = json.loads(exchange.body)["access_token"]
            except (ValueError, KeyError, TypeError):
                continue
            if isinstance(token, str):
                return token
        return "no-token-yet"


def _metadata(context: Any) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(
        (key, value)
        for key, value in context.invocation_metadata() or ()
        if key in ("authorization", "developer-token", "login-customer-id")
    )


async def _gathered(call: Any) -> list[bytes]:
    return [part async for part in call]


async def _asked(call: Any) -> tuple[Any, Refusal | None]:
    """What the sandbox answered, or how it refused."""
    try:
        return await call, None
    except grpc.aio.AioRpcError as error:
        failure = b""
        for key, value in error.trailing_metadata() or ():
            if key == _FAILURE_KEY and isinstance(value, bytes):
                failure = value
        return None, (error.code(), error.details() or "", failure)
    except asyncio.CancelledError:
        raise


def _edited(content: bytes, poison: Poison, message_class: Any, secret: str) -> bytes:
    """The message with its JSON form edited; as it was where the form no longer fits it."""
    if not poison.edits:
        return content
    message = message_class()
    try:
        message.ParseFromString(content)
    except DecodeError:
        return content
    for count in range(len(poison.edits), 0, -1):
        document = edited(json_format.MessageToDict(message), poison.edits[:count])
        try:
            text = with_secret(json.dumps(document), secret)
            found = json_format.Parse(text, message_class(), ignore_unknown_fields=True)
            return bytes(found.SerializeToString())
        except (json_format.ParseError, ValueError, TypeError, ArithmeticError, SystemError):
            continue
    return content
