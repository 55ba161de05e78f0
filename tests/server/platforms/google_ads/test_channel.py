"""The channel under Google's client."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from tests.server.connector.live_sockets import user_timeouts_ms

from smartconnectors_server.connector.sockets import USER_TIMEOUT
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.platforms.google_ads import channel


@pytest.mark.skipif(USER_TIMEOUT is None, reason="TCP_USER_TIMEOUT is Linux's")
async def test_the_kernel_gives_a_mutate_up_within_the_platforms_timeout() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    opened = channel.open_channel(f"127.0.0.1:{port}", (), Outgoing(), timeout_ms=4_321)
    await channel.wait_until_ready(opened)
    assert user_timeouts_ms(peer_port=port) == [4_321]
    await opened.close()
    await server.stop(None)
