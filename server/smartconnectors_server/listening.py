"""How the gRPC port treats connections: who is closed, after how long, and how many there may be;
and how gRPC and HTTP share the files that a process may open.

A connection that gets nowhere costs a file and some memory until it is closed here; none of it
reaches the chain.
"""

from __future__ import annotations

import logging
import resource
from dataclasses import dataclass

from smartconnectors_server.http import BACKLOG
from smartconnectors_server.http import MOST_CONNECTIONS as MOST_HTTP_CONNECTIONS
from smartconnectors_server.interceptors.arrivals import ArrivalRules
from smartconnectors_server.settings import HttpSettings, ServerSettings, Settings

FILES_OF_OUR_OWN = 128
"""The ledger, connections to platforms, and the log."""
MOST_CONNECTIONS = 1_000_000
HTTP_SHARE = 8
"""HTTP has one connection in so many."""
RECEIVED_FACTOR = 2
"""A message up to so many times the limit is read, to be refused with a reason; a larger one is
refused by gRPC, as RESOURCE_EXHAUSTED alone."""

log = logging.getLogger(__name__)


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
    unknown_calls: int = 1_000
    """Calls of callers that nobody knows, beyond those above: health."""
    unknown_calls_on_one_connection: int = 100

    def calls(self, server: ServerSettings) -> int:
        """Calls of known callers at once, of every kind; one more is refused by its headers."""
        return server.max_in_flight + self.spare_calls

    def arrivals(self, server: ServerSettings) -> ArrivalRules:
        """What holds for calls until their message is there."""
        return ArrivalRules(
            message_s=server.message_timeout_s,
            known=self.calls(server),
            unknown=self.unknown_calls,
            unknown_on_one_connection=self.unknown_calls_on_one_connection,
        )

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

    def options(
        self, server: ServerSettings, http: HttpSettings | None = None
    ) -> list[tuple[str, int]]:
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
            ("grpc.max_allowed_incoming_connections", connections_of(server, http=http)),
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


def connections_of(
    server: ServerSettings, open_files: int | None = None, http: HttpSettings | None = None
) -> int:
    """Connections of gRPC at once; one more is closed at once. Absent in the settings: what the
    limit on open files leaves beside our own and HTTP's, since a server that runs out of files
    cannot open its ledger either.
    """
    if server.max_connections is not None:
        return server.max_connections
    files = _open_files(open_files)
    left = files - FILES_OF_OUR_OWN - _http_files(http or HttpSettings(), files)
    return max(1, min(left, MOST_CONNECTIONS))


def http_connections_of(http: HttpSettings, open_files: int | None = None) -> int:
    """HTTP connections at once. Absent in the settings: an eighth of what the limit on open files
    leaves.
    """
    if http.max_connections is not None:
        return http.max_connections
    left = _open_files(open_files) - FILES_OF_OUR_OWN
    return max(1, min(left // HTTP_SHARE, MOST_HTTP_CONNECTIONS))


def warn_of_files(settings: Settings, open_files: int | None = None) -> None:
    """Logs a warning when the connections that are allowed need more files than there may be."""
    files = _open_files(open_files)
    grpc = connections_of(settings.server, files, settings.http)
    http = _http_files(settings.http, files)
    if FILES_OF_OUR_OWN + grpc + http > files:
        log.warning(
            "the limit on open files is %d, and this server may need %d: %d gRPC connections, %d "
            "for HTTP and %d of its own. Raise the limit (ulimit -n), or lower "
            "server.max_connections and http.max_connections",
            files,
            FILES_OF_OUR_OWN + grpc + http,
            grpc,
            http,
            FILES_OF_OUR_OWN,
        )


def _http_files(http: HttpSettings, open_files: int) -> int:
    """Those that are being accepted included."""
    return http_connections_of(http, open_files) + BACKLOG if http.enabled else 0


def _open_files(given: int | None) -> int:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if given is None else given
    return 2 * MOST_CONNECTIONS if files == resource.RLIM_INFINITY else files
