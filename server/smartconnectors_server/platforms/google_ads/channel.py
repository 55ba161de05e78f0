"""The channel under Google's client: how it is opened, waited for, and asked what it carried.

The client's own channel is not used: it retries nothing and sets no timeout, which is right, but it
also adds interceptors that log every request and leave failed tasks behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import grpc

from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.telemetry import outgoing as trace_out

GOOGLE_TARGET = "googleads.googleapis.com:443"

CONNECT_S = 2.0
_RECONNECT_S = 0.4
"""How long a broken channel is given: two attempts, at the longest backoff below."""

_KEEPALIVE_MS = 600_000
"""So rarely that no server minds; pings go out only while a call is under way."""

_CHANNEL_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 150),
    # Answers are never too large: an answer that cannot be read is a change in doubt.
    ("grpc.max_receive_message_length", -1),
)

kept_calls: ContextVar[list[Any] | None] = ContextVar("google_ads_calls", default=None)
"""Where KeepCall leaves the calls of the task that set it."""


class KeepCall(grpc.aio.UnaryUnaryClientInterceptor):
    """Keeps the innermost call, whose trailing metadata has Google's id of the request."""

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        call = await continuation(client_call_details, request)
        kept = kept_calls.get()
        if kept is not None:
            kept.append(call)
        return call


def metadata(authorization: str) -> tuple[tuple[str, str], ...]:
    """What goes with a call: who asks, and the trace that it belongs to, if any."""
    traceparent = trace_out.get()
    who = ("authorization", authorization)
    return (who, ("traceparent", traceparent)) if traceparent else (who,)


def open_channel(
    endpoint: str | None,
    interceptors: Sequence[grpc.aio.ClientInterceptor],
    outgoing: Outgoing,
    *,
    timeout_ms: int,
) -> grpc.aio.Channel:
    """A channel to a sandbox, without TLS; `endpoint` None: to Google.

    `timeout_ms`: the longest that a change's call may take. A connection is dropped when what was
    sent on it stays unacknowledged for longer, so that a mutate cannot wait in the kernel for the
    end of a network partition (`connector/sockets.py` explains how the times add up). gRPC's core
    sets TCP_USER_TIMEOUT to the keepalive timeout, and only with keepalive on. The connection
    carries other calls too, so giving up one mutate cannot reset it: gRPC sends the cancellation
    right behind.
    """
    options = (
        *_CHANNEL_OPTIONS,
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", timeout_ms),
    )
    if endpoint is not None:
        return grpc.aio.insecure_channel(
            endpoint,
            options=(*options, *outgoing.for_grpc(endpoint, encrypted=False)),
            interceptors=interceptors,
        )
    return grpc.aio.secure_channel(
        GOOGLE_TARGET,
        grpc.ssl_channel_credentials(outgoing.root_certificates()),
        options=(*options, *outgoing.for_grpc(GOOGLE_TARGET, encrypted=True)),
        interceptors=interceptors,
    )


async def warm_up(channel: grpc.aio.Channel) -> None:
    """Connects ahead of the first request. A failure is left for that request to meet."""
    with contextlib.suppress(TimeoutError):
        await wait_until_ready(channel)


async def wait_until_ready(channel: grpc.aio.Channel) -> None:
    """Returns when the channel is ready. Raises TimeoutError when it does not become so."""
    state = channel.get_state(try_to_connect=True)
    if state is not grpc.ChannelConnectivity.READY:
        await asyncio.wait_for(_become_ready(channel, state), CONNECT_S)


async def _become_ready(channel: grpc.aio.Channel, state: grpc.ChannelConnectivity) -> None:
    """Raises TimeoutError when the channel broke and stays so."""
    while state is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.SHUTDOWN:
            raise TimeoutError
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            await asyncio.wait_for(channel.wait_for_state_change(state), _RECONNECT_S)
        else:
            await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)


async def request_id_of(calls: Sequence[Any]) -> str:
    """Google's id of the request; empty when it gave none."""
    for call in calls:
        for key, value in await call.trailing_metadata() or ():
            if key == "request-id":
                return str(value)
    return ""
