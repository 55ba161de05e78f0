"""Connections that open and never get anywhere: raw sockets that speak just enough HTTP/2."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import struct
import time
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DRIP_EVERY_S = 1.0
METHOD = "/smartconnectors.google_ads.v1.GoogleAdsService/PlaceBid"
_DATA, _HEADERS, _SETTINGS, _PING, _CONTINUATION = 0, 1, 4, 6, 9
_ACK = 1
_END_HEADERS = 4
_FRAME_HEADER_BYTES = 9


class Kind(enum.Enum):
    """Where a connection stops."""

    SILENT = "says nothing"
    BYTE_BY_BYTE = "sends a byte of its preface now and then"
    SETTINGS_THEN_SILENT = "sends preface and SETTINGS, then nothing"
    ENDLESS_HEADERS = "sends HEADERS, then a byte of CONTINUATION now and then"
    ENDLESS_DATA = "begins a call, then sends a byte of its message now and then"
    PATIENT_DATA = "the same, and answers pings"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


def request_headers(path: str = METHOD) -> bytes:
    """A call's headers, as HPACK without a table of its own."""
    return b"".join(
        (
            b"\x83\x86",  # :method POST, :scheme http
            b"\x04" + _text(path),
            b"\x01" + _text("localhost"),
            b"\x0f\x10" + _text("application/grpc"),
            b"\x00" + _text("te") + _text("trailers"),
        )
    )


_OPENING = PREFACE + frame(_SETTINGS, 0, 0)
_CALL = frame(_HEADERS, _END_HEADERS, 1, request_headers())
_FIRST_BYTES = {
    Kind.SILENT: b"",
    Kind.BYTE_BY_BYTE: PREFACE[:1],
    Kind.SETTINGS_THEN_SILENT: _OPENING,
    Kind.ENDLESS_HEADERS: _OPENING + frame(_HEADERS, 0, 1, request_headers()),
    # A message of 1,000 bytes, of which none follows at first.
    Kind.ENDLESS_DATA: _OPENING + _CALL + frame(_DATA, 0, 1, struct.pack(">BI", 0, 1000)),
    Kind.PATIENT_DATA: _OPENING + _CALL + frame(_DATA, 0, 1, struct.pack(">BI", 0, 1000)),
}
_DRIPS = {
    Kind.ENDLESS_HEADERS: frame(_CONTINUATION, 0, 1, b"\xba"),  # an empty user-agent
    Kind.ENDLESS_DATA: frame(_DATA, 0, 1, b"\x00"),
    Kind.PATIENT_DATA: frame(_DATA, 0, 1, b"\x00"),
}


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of a connection that was left to the server."""

    lived_s: float
    heard: bytes
    """What the server said."""


async def open_and_wait(address: str, kind: Kind, *, drip_every_s: float = DRIP_EVERY_S) -> Closed:
    """Opens one such connection and returns when the server has closed it. Raises OSError when it
    cannot be opened.
    """
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    began_s = time.monotonic()
    heard = bytearray()
    drips = asyncio.create_task(_drip(writer, kind, drip_every_s))
    try:
        writer.write(_FIRST_BYTES[kind])
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(4096):
                heard += chunk
                if kind is Kind.PATIENT_DATA:
                    _answer_pings(chunk, writer)
    finally:
        drips.cancel()
        writer.transport.abort()
    return Closed(time.monotonic() - began_s, bytes(heard))


async def _drip(writer: asyncio.StreamWriter, kind: Kind, every_s: float) -> None:
    preface = iter(PREFACE[1:])
    while True:
        await asyncio.sleep(every_s)
        if kind is Kind.BYTE_BY_BYTE:
            writer.write(bytes([next(preface, 0)]))
        elif kind in _DRIPS:
            writer.write(_DRIPS[kind])


def _answer_pings(chunk: bytes, writer: asyncio.StreamWriter) -> None:
    """Acknowledges every PING and SETTINGS in what was read; frames come whole on loopback."""
    at = 0
    while at + _FRAME_HEADER_BYTES <= len(chunk):
        length = int.from_bytes(chunk[at : at + 3], "big")
        kind, flags = chunk[at + 3], chunk[at + 4]
        end = at + _FRAME_HEADER_BYTES + length
        if kind == _PING and not flags & _ACK:
            writer.write(frame(_PING, _ACK, 0, chunk[at + _FRAME_HEADER_BYTES : end]))
        elif kind == _SETTINGS and not flags & _ACK:
            writer.write(frame(_SETTINGS, _ACK, 0))
        at = end
