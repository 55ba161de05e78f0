"""Sandboxes take a request that is cut off as no request."""

from __future__ import annotations

import asyncio
import logging

import pytest

from smartconnectors_server.platforms import PLATFORMS

OVER_HTTP = ("meta", "trade_desk")


@pytest.mark.parametrize("name", OVER_HTTP)
async def test_a_request_that_is_cut_in_its_body_changes_nothing(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox = PLATFORMS[name].sandbox()
    endpoint = await sandbox.start()
    try:
        host, port = endpoint.rpartition("/")[2].split(":")
        with caplog.at_level(logging.ERROR):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"POST /v3/adgroup HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
                b"Content-Type: application/x-www-form-urlencoded\r\n\r\nbid_am"
            )
            await writer.drain()
            writer.write_eof()
            await reader.read()
            writer.close()
        assert not any(entry.applied for entry in sandbox.journal())
        assert caplog.records == []
    finally:
        await sandbox.close()
