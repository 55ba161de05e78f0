"""Spans to an OTLP collector over gRPC.

OpenTelemetry's own exporter writes what a collector answers into the log, and a collector may
repeat the key that it was sent. Here a failure is told by the status code and by where the
collector is, once when it begins, at most once a minute while it lasts, and once when it ends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock, SystemClock
from smartconnectors_server.outgoing_proxy import Outgoing

TIMEOUT_S = 10.0
RETRY_AFTER_S = (1.0, 2.0)
SAY_EVERY_NS = 60 * NANOS_PER_SECOND
_LATER = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes after which the specification of OTLP wants the batch to be sent again."""

log = logging.getLogger(__name__)


class Collector(SpanExporter):
    """One collector. `export` is called by one thread; the rest by any."""

    def __init__(
        self,
        endpoint: str,
        *,
        insecure: bool,
        headers: Sequence[tuple[str, str]] = (),
        outgoing: Outgoing | None = None,
        ca_file: Path | None = None,
        clock: Clock | None = None,
        timeout_s: float = TIMEOUT_S,
        retry_after_s: Sequence[float] = RETRY_AFTER_S,
    ) -> None:
        """Args:
        endpoint: `host:port`, or a URL, whose `https` means TLS.
        headers: what every export carries; may be secret.
        outgoing: through which proxy it is reached, and who may have signed its certificate.
        ca_file: who may have, in the place of that.
        timeout_s: the longest that one attempt may take.
        retry_after_s: how long to wait before each further attempt.

        Raises OSError when `ca_file` cannot be read.
        """
        through = outgoing or Outgoing()
        self.place, target, encrypted = _place_of(endpoint, insecure=insecure)
        options = through.for_grpc(target, encrypted=encrypted)
        roots = through.root_certificates() if ca_file is None else ca_file.read_bytes()
        self._channel = (
            grpc.secure_channel(target, grpc.ssl_channel_credentials(roots), options=options)
            if encrypted
            else grpc.insecure_channel(target, options=options)
        )
        stub: Any = TraceServiceStub
        self._export: Any = stub(self._channel).Export
        self._headers = tuple(headers)
        self._clock = clock or SystemClock()
        self._timeout_s = timeout_s
        self._retry_after_s = tuple(retry_after_s)
        self._closing = threading.Event()
        self._said_ns: int | None = None
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends them, again after a failure that may pass. Never raises."""
        failure = ""
        for wait_s in (*self._retry_after_s, None):
            failure, later = self._try(spans)
            if not failure:
                self._arrived()
                return SpanExportResult.SUCCESS
            if wait_s is None or not later or self._closing.wait(wait_s):
                break
        self._failed(failure, len(spans))
        return SpanExportResult.FAILURE

    def hurry(self) -> None:
        """From now on nothing is sent a second time."""
        self._closing.set()

    def shutdown(self) -> None:
        """Closes the connection; an export under way fails."""
        self._closing.set()
        self._channel.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept here."""
        del timeout_millis
        return True

    def _try(self, spans: Sequence[ReadableSpan]) -> tuple[str, bool]:
        """What went wrong, in words that are ours, and whether it may pass; empty: nothing did."""
        try:
            self._export(encode_spans(spans), metadata=self._headers, timeout=self._timeout_s)
        except grpc.RpcError as error:
            failed: Any = error  # a call, too
            code: grpc.StatusCode = failed.code()
            return code.name, code in _LATER
        except Exception as error:  # noqa: BLE001 - its words may repeat a header
            return type(error).__name__, False
        return "", False

    def _arrived(self) -> None:
        if self._said_ns is not None:
            log.info("traces are exported to %s again; %d spans were lost", self.place, self._lost)
        self._said_ns, self._lost = None, 0

    def _failed(self, failure: str, spans: int) -> None:
        self._lost += spans
        now_ns = self._clock.monotonic_ns()
        if self._said_ns is None or now_ns - self._said_ns >= SAY_EVERY_NS:
            self._said_ns = now_ns
            log.warning(
                "traces cannot be exported to %s: %s; %d spans are lost so far",
                self.place,
                failure,
                self._lost,
            )


def _place_of(endpoint: str, *, insecure: bool) -> tuple[str, str, bool]:
    """Where a collector is, for the log; gRPC's target; whether TLS is spoken there."""
    if "://" not in endpoint:
        return endpoint.rpartition("@")[2], endpoint, not insecure
    parts = urlsplit(endpoint)
    place = parts.netloc.rpartition("@")[2]
    return place, place, parts.scheme == "https" or not insecure
