"""Trace context: what is taken from a caller, what is decided here, and what is passed on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.telemetry import outgoing
from smartconnectors_server.telemetry.tracing import Tracer

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_callers_trace_is_gone_on_with_as_the_caller_sampled_it() -> None:
    tracer = Tracer(0.0)
    sampled = tracer.begin(f"00-{TRACE}-{SPAN}-01")
    not_sampled = tracer.begin(f"00-{TRACE}-{SPAN}-00")
    assert sampled is not None
    assert not_sampled is not None
    assert (sampled.trace_id, sampled.parent_id, sampled.sampled) == (TRACE, SPAN, True)
    assert (not_sampled.trace_id, not_sampled.sampled) == (TRACE, False)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01 ",
    ],
)
def test_a_malformed_trace_context_counts_as_none(traceparent: str) -> None:
    assert Tracer(0.0).begin(traceparent) is None
    begun = Tracer(1.0).begin(traceparent)
    assert begun is not None
    assert begun.trace_id != TRACE
    assert begun.parent_id == ""


def test_a_later_version_of_trace_context_is_read_as_far_as_it_is_known() -> None:
    trace = Tracer(0.0).begin(f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like")
    assert trace is not None
    assert (trace.trace_id, trace.parent_id) == (TRACE, SPAN)


@given(st.text(max_size=80))
def test_no_trace_context_breaks_a_call(traceparent: str) -> None:
    Tracer(0.5).begin(traceparent)


def test_of_calls_without_a_trace_the_configured_share_is_sampled() -> None:
    tracer = Tracer(0.01, random.Random(7))
    sampled = sum(tracer.begin() is not None for _ in range(100_000))
    assert 850 <= sampled <= 1150


def test_a_call_of_the_platform_carries_its_own_span_out_and_only_while_it_lasts(
    clock: ManualClock,
) -> None:
    tracer = Tracer(1.0)
    trace = tracer.begin()
    assert trace is not None
    with tracer.inside(trace, "ask", clock, "client"):
        carried = outgoing.get()
    assert outgoing.get() == ""
    (span,) = trace.spans
    assert carried == f"00-{trace.trace_id}-{span.span_id}-01"
    assert span.parent_id == trace.span_id


def test_a_part_that_fails_is_a_span_that_names_the_error(clock: ManualClock) -> None:
    tracer = Tracer(1.0)
    trace = tracer.begin()
    assert trace is not None
    with pytest.raises(KeyError), tracer.inside(trace, "part", clock):
        raise KeyError
    assert [span.error for span in trace.spans] == ["KeyError"]


def test_what_is_not_sampled_keeps_no_spans_and_is_passed_on_as_not_sampled(
    clock: ManualClock,
) -> None:
    tracer = Tracer(0.0)
    trace = tracer.begin(f"00-{TRACE}-{SPAN}-00")
    with tracer.inside(trace, "ask", clock, "client"):
        assert outgoing.get().startswith(f"00-{TRACE}-")
        assert outgoing.get().endswith("-00")
    with tracer.inside(trace, "part", clock):
        assert outgoing.get() == ""
    assert trace is not None
    assert trace.spans == []
