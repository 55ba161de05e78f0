"""How a client shows who it is, and knows whom it speaks to: TLS and tokens."""

from __future__ import annotations

import codecs
import contextlib
import ipaddress
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

AUTHORIZATION = "authorization"
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_UNSEEN = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u00ad"
_AROUND = re.compile(rf"^[\s{_UNSEEN}]+|[\s{_UNSEEN}]+$")


def tls(
    ca_file: Path | None = None, cert_file: Path | None = None, key_file: Path | None = None
) -> grpc.ChannelCredentials:
    """Credentials for a server that speaks TLS.

    Args:
        ca_file: the authorities that may have signed the server's certificate, in PEM; None: those
            that gRPC ships.
        cert_file: this client's own certificate, in PEM, for a server that asks for one.
        key_file: its private key.

    Raises:
        OSError: a file cannot be read.
        ValueError: there is a certificate without a key, or a key without a certificate.
    """
    if (cert_file is None) != (key_file is None):
        raise ValueError("a client's certificate and its key come together")
    return grpc.ssl_channel_credentials(
        root_certificates=_pem(ca_file),
        private_key=_pem(key_file),
        certificate_chain=_pem(cert_file),
    )


def _pem(file: Path | None) -> bytes | None:
    """A file in PEM without a byte order mark, behind which gRPC finds nothing."""
    if file is None:
        return None
    content = file.read_bytes()
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding).encode()
    return content


def read_token(file: Path) -> str:
    """The token in a file. Raises OSError, and ValueError when there is none in it."""
    return clean_token((_pem(file) or b"").decode())


def clean_token(token: str) -> str:
    """The token without what nobody sees around it: blanks, line breaks, characters of no width.

    Raises ValueError, without repeating it, when the rest cannot be sent as a token.
    """
    cleaned = _AROUND.sub("", token)
    check_token(cleaned)
    return cleaned


def check_token(token: str) -> None:
    """Raises ValueError, without repeating it, when this cannot be sent as a token."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("a token is one word without blanks; this is none")


def stays_on_this_machine(target: str) -> bool:
    """True when plain text to this target is read by nobody else: a loopback address or a socket
    file.
    """
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    host = target.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def interceptors(token: str) -> list[aio.ClientInterceptor]:
    """Send `authorization: Bearer TOKEN` with every call.

    gRPC's own call credentials do the same, but never over plain text, and a server on the same
    machine may well speak it.
    """
    pair = (AUTHORIZATION, f"Bearer {token}")
    return [_UnaryUnary(pair), _UnaryStream(pair), _StreamUnary(pair), _StreamStream(pair)]


class _Showing:
    """Adds the metadata to a call's. gRPC takes an interceptor for one kind of call."""

    def __init__(self, pair: tuple[str, str]) -> None:
        self._pair = pair

    async def _begin(
        self, continuation: Callable[[Any, Any], Awaitable[Any]], details: Any, request: Any
    ) -> Any:
        metadata = aio.Metadata(*(details.metadata or ()), self._pair)
        return await continuation(details._replace(metadata=metadata), request)


class _UnaryUnary(_Showing, aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await self._begin(continuation, client_call_details, request)


class _UnaryStream(_Showing, aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await self._begin(continuation, client_call_details, request)


class _StreamUnary(_Showing, aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await self._begin(continuation, client_call_details, request_iterator)


class _StreamStream(_Showing, aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await self._begin(continuation, client_call_details, request_iterator)
