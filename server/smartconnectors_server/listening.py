"""How the gRPC port treats connections: who is closed, after how long, and how many there may be.

A connection that gets nowhere costs a file and some memory until it is closed here; none of it
reaches the chain.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

from smartconnectors_server.settings import ServerSettings

FILES_OF_OUR_OWN = 128
"""The ledger, connections to platforms, and the log."""
MOST_CONNECTIONS = 1_000_000
RECEIVED_FACTOR = 2
"""A message up to so many times the limit is read, to be refused with a reason; a larger one is
refused by gRPC, as RESOURCE_EXHAUSTED alone."""


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """Milliseconds, bytes, counts. The defaults are what is served with; HTTP/2 keeps time itself,
    so tests hand in shorter ones.
    """

    handshake_ms: int = 10_000
    """From accepting to the client's SETTINGS: who says nothing, or a byte now and then."""
    settings_ack_ms: int = 10_000
    """Until the client has acknowledged ours: who sends headers without an end cannot."""
    ping_every_ms: int = 30_000
    """Without traffic, with calls open or not."""
    ping_answer_ms: int = 10_000
    """Who does not answer a ping is gone."""
    idle_ms: int = 900_000
    """Without a call. A client connects again by itself when it has one."""
    spare_calls: int = 8_000
    """Calls beyond those that may hold money: watchers, lookups, requests that are still arriving,
    refusals on their way back.
    """
    spare_streams: int = 1_000
    """The same on one connection, so that no connection can take all of them."""

    def calls(self, server: ServerSettings) -> int:
        """Calls of every kind at once; one more is refused before it is looked at."""
        return server.max_in_flight + self.spare_calls

    def admitted_calls(self, server: ServerSettings) -> int:
        """Of those, the calls that are shared between callers once it is known who calls. The rest
        is for calls that are still arriving, and for operators.
        """
        return server.max_in_flight + self.spare_calls // 2

    def waiting_calls(self, server: ServerSettings) -> int:
        """Calls that have arrived and that nobody has looked at yet. More than `calls`, so that the
        refusal that names a bound comes first.
        """
        return 2 * self.calls(server)

    def options(self, server: ServerSettings) -> list[tuple[str, int]]:
        """As gRPC takes them."""
        return [
            # gRPC refuses without a reason, so it is left what is far beyond our own limit.
            ("grpc.max_receive_message_length", RECEIVED_FACTOR * server.max_message_bytes),
            # An answer is never too large: the bids in it have been placed.
            ("grpc.max_send_message_length", -1),
            # Between gRPC's two limits metadata would be refused at random, so they are one.
            ("grpc.max_metadata_size", server.max_metadata_bytes),
            ("grpc.absolute_max_metadata_size", server.max_metadata_bytes),
            ("grpc.so_reuseport", 0),
            ("grpc.max_allowed_incoming_connections", connections_of(server)),
            ("grpc.max_concurrent_streams", server.max_in_flight + self.spare_streams),
            # Calls that the event loop has not taken up yet. gRPC's own bounds (some at random from
            # 1,000 on, all from 3,000) end a call as CANCELLED, which tells its caller nothing.
            ("grpc.server.max_pending_requests", self.waiting_calls(server)),
            ("grpc.server.max_pending_requests_hard_limit", self.waiting_calls(server)),
            ("grpc.server_handshake_timeout_ms", self.handshake_ms),
            ("grpc.http2.settings_timeout", self.settings_ack_ms),
            ("grpc.keepalive_time_ms", self.ping_every_ms),
            ("grpc.keepalive_timeout_ms", self.ping_answer_ms),
            ("grpc.http2.ping_timeout_ms", self.ping_answer_ms),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_connection_idle_ms", self.idle_ms),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        ]


def connections_of(server: ServerSettings, open_files: int | None = None) -> int:
    """Connections at once; one more is closed at once. Absent in the settings: what the limit on
    open files leaves, since a server that runs out of files cannot open its ledger either.
    """
    if server.max_connections is not None:
        return server.max_connections
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if open_files is None else open_files
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(files - FILES_OF_OUR_OWN, MOST_CONNECTIONS))
