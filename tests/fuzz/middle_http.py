"""The middle for platforms that speak HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fuzz.middle import Exchange, Poison, Switch
from tests.fuzz.mutations import edited, raw_edited, with_secret

from smartconnectors_server.connector.sandbox import Sandbox

Recorded = tuple[int, Mapping[str, str], bytes]


class HttpMiddle(Switch):
    """One port; each connection carries one request."""

    def __init__(self, sandbox: Sandbox, address: str, recorded: Sequence[Recorded]) -> None:
        """`address`: the sandbox's `host:port`; `recorded`: answers of the wire documents."""
        super().__init__(sandbox)
        self._host, _, self._port = address.rpartition(":")
        self._recorded = recorded
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            request = head + await reader.readexactly(int(length[1]) if length else 0)
            writer.write(await self._answer(request))
            await writer.drain()
        writer.close()

    async def _answer(self, request: bytes) -> bytes:
        with self.watch(request) as (exchange, poison):
            status, headers, body = parsed(await self.forward(request))
        if poison is None:
            exchange.status, exchange.headers, exchange.body = status, headers, body
            return written(status, headers, body)
        if poison.recorded is not None and self._recorded:
            status, headers, body = self._recorded[poison.recorded % len(self._recorded)]
        return spoilt(exchange, poison, status, headers, body)

    async def forward(self, request: bytes) -> bytes:
        """The sandbox's own answer, as it came."""
        once = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", request, count=1)
        reader, writer = await asyncio.open_connection(self._host, int(self._port))
        try:
            writer.write(once.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            return await reader.read()
        finally:
            writer.close()


def parsed(answer: bytes) -> Recorded:
    """Status, headers (names in lower case) and body of an answer with a plain body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(first.split(" ")[1]), headers, body


def written(status: int, headers: Mapping[str, str], body: bytes, *, length: int = -1) -> bytes:
    """The answer as bytes, for one connection."""
    left_out = ("content-length", "connection", "transfer-encoding")
    lines = [f"HTTP/1.1 {status} Said"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name not in left_out]
    if "transfer-encoding" in headers:
        lines.append(f"transfer-encoding: {headers['transfer-encoding']}")
    else:
        lines.append(f"content-length: {len(body) if length < 0 else length}")
    lines.append("connection: close")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def secret_of(request: bytes) -> str:
    """The credentials that the request came with."""
    found = re.search(rb"(?i)\r\n(?:authorization: *bearer|ttd-auth:) *([^\r]+)", request)
    if found is None:
        found = re.search(rb'"Password": *"([^"]+)"', request)
    return urllib.parse.unquote(found[1].decode()) if found else ""


def spoilt(
    exchange: Exchange, poison: Poison, status: int, headers: Mapping[str, str], body: bytes
) -> bytes:
    """The answer as the poison wants it; the exchange says what a reader of HTTP sees of it."""
    exchange.secret = secret_of(exchange.request)
    exchange.status = status if poison.status is None else poison.status
    found: dict[str, str] = {
        name: value for name, value in headers.items() if name not in ("content-length", "date")
    }
    for name, value in poison.headers:
        found[name.lower()] = with_secret(value, exchange.secret)
    exchange.body = raw_edited(_edited_body(body, poison, exchange.secret), poison.raw)
    if exchange.status in (204, 304) or exchange.status < 200:
        exchange.body = b""
    exchange.headers = found
    length = -1
    match poison.wire:
        case "short":
            length = len(exchange.body) + 5
        case "chunked":
            found["transfer-encoding"] = "chunked"
        case "gzip":
            found["content-encoding"] = "gzip"
        case "raw":
            exchange.whole = False
            return exchange.body
        case _:
            pass
    # A status below 200 announces another answer, and one of other than three digits is none.
    # Of a body that there is not, nothing can be broken off.
    bodiless = exchange.status in (204, 304) and poison.wire == "short"
    harmless = bodiless or (poison.wire in ("gzip", "chunked") and not exchange.body)
    exchange.whole = (poison.wire == "whole" or harmless) and 200 <= exchange.status <= 999
    return written(exchange.status, found, exchange.body, length=length)


def _edited_body(body: bytes, poison: Poison, secret: str) -> bytes:
    if not poison.edits:
        return body
    try:
        document: Any = json.loads(body)
    except ValueError:
        return body
    text = json.dumps(_inner(document, poison))
    return with_secret(text, secret).encode()


def _inner(document: Any, poison: Poison) -> Any:
    """The document edited: also inside the bodies of a batch's parts, which are JSON in JSON."""
    if isinstance(document, list) and document and poison.nth % 2 == 0:
        part = document[0]
        if isinstance(part, dict) and isinstance(part.get("body"), str):
            with contextlib.suppress(ValueError):
                inner = json.dumps(edited(json.loads(part["body"]), poison.edits))
                return [{**part, "body": inner}, *document[1:]]
    return edited(document, poison.edits)
