"""Traces: W3C trace context in, spans while it is carried, trace context out to the platform.

A call that is not sampled carries its identifiers and nothing else; the SDK is touched only when a
sampled one ends.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol

from smartconnectors_server.clock import Clock

SpanKind = Literal["server", "client", "internal"]

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01
_NOBODY = nullcontext()

current: ContextVar[Trace | None] = ContextVar("smartconnectors_trace", default=None)
"""The trace of the call that is being carried; None: of none."""
outgoing: ContextVar[str] = ContextVar("smartconnectors_traceparent", default="")
"""The `traceparent` for what is sent to a platform now; empty: none."""


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span. Wall-clock nanoseconds; `error` empty for success."""

    name: str
    span_id: str
    parent_id: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    error: str = ""
    attributes: Mapping[str, str | int | bool] = field(default_factory=dict)
    link: str = ""
    """The traceparent of another trace that led to this span; empty: none."""


@dataclass(slots=True, eq=False)
class Trace:
    """The trace that a call belongs to. Identifiers in lower-case hexadecimal."""

    trace_id: str
    span_id: str
    """Of the call's own span."""
    parent_id: str
    """Of the caller's span; empty: the trace begins here."""
    sampled: bool
    link: str = ""
    spans: list[Span] = field(default_factory=list)
    """Those inside the call's own, finished."""

    @property
    def traceparent(self) -> str:
        """As W3C writes it."""
        return _written(self.trace_id, self.span_id, sampled=self.sampled)


class SpanExporting(Protocol):
    """Where finished traces go."""

    def record(self, trace: Trace, root: Span) -> None:
        """Records the call's own span and those inside it."""
        ...

    def shutdown(self) -> None:
        """Exports what is left."""
        ...


def _written(trace_id: str, span_id: str, *, sampled: bool) -> str:
    return f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}"


class Tracer:
    """Begins traces, and decides which are sampled: as the caller decided, else by the ratio."""

    def __init__(self, ratio: float, source: random.Random | None = None) -> None:
        """`ratio` 0: only what callers sample."""
        self._ratio = ratio
        self._source = source or random.Random()  # noqa: S311 - names traces, guards nothing

    def begin(self, traceparent: str = "", *, link: str = "") -> Trace | None:
        """The trace of a call. None: the caller has none, and this one is not sampled.

        A traceparent that is malformed counts as absent, as W3C asks.
        """
        caller = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        if caller is not None and (int(caller[1], 16) == 0 or int(caller[2], 16) == 0):
            caller = None
        if caller is None:
            if self._source.random() >= self._ratio:
                return None
            return Trace(self._identifier(128), self._identifier(64), "", sampled=True, link=link)
        sampled = bool(int(caller[3], 16) & _SAMPLED)
        return Trace(caller[1], self._identifier(64), caller[2], sampled=sampled, link=link)

    def inside(
        self, trace: Trace | None, name: str, clock: Clock, kind: SpanKind = "internal"
    ) -> AbstractContextManager[None]:
        """Around a part of a call: a span of it, when the call is sampled. A part that is a call of
        a platform (`client`) carries the trace context out.
        """
        if trace is None or not (trace.sampled or kind == "client"):
            return _NOBODY
        return self._inside(trace, name, clock, kind)

    @contextmanager
    def _inside(self, trace: Trace, name: str, clock: Clock, kind: SpanKind) -> Iterator[None]:
        span_id = self._identifier(64)
        token = None
        if kind == "client":
            token = outgoing.set(_written(trace.trace_id, span_id, sampled=trace.sampled))
        start_ns, error = clock.wall_ns(), ""
        try:
            yield
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            if token is not None:
                outgoing.reset(token)
            if trace.sampled:
                span = Span(name, span_id, trace.span_id, kind, start_ns, clock.wall_ns(), error)
                trace.spans.append(span)

    def _identifier(self, bits: int) -> str:
        return f"{self._source.getrandbits(bits) or 1:0{bits // 4}x}"
