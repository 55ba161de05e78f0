"""What is logged and counted of callers that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from smartconnectors_server.access import Refusals
from smartconnectors_server.access.refusals import LINES, MOST_CALLERS, PERIOD_S
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import PermissionDenied, Unauthenticated
from smartconnectors_server.telemetry import Telemetry

UNKNOWN = Unauthenticated("the token is not known here")


class Log:
    """Keeps the events."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def info(self, _event: str, **values: Any) -> None:
        self.lines.append(values)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def refusals(log: Log, clock: ManualClock) -> Refusals:
    return Refusals(Telemetry(logger=log), clock)


def test_a_flood_of_refusals_leaves_a_bounded_number_of_lines_and_says_what_it_left_out(
    refusals: Refusals, log: Log, clock: ManualClock
) -> None:
    for _ in range(LINES + 500):
        refusals.tell("grpc", "/a/B", "", UNKNOWN)
    assert len(log.lines) == LINES
    assert not any("left_out" in line for line in log.lines)
    clock.advance(PERIOD_S)
    refusals.tell("grpc", "/a/B", "", UNKNOWN)
    refusals.tell("grpc", "/a/B", "", UNKNOWN)
    assert [line.get("left_out") for line in log.lines[LINES:]] == [500, None]


def test_a_flood_of_unknown_callers_hides_no_refusal_of_a_known_one(
    refusals: Refusals, log: Log
) -> None:
    for _ in range(LINES + 1):
        refusals.tell("grpc", "/a/B", "", UNKNOWN)
    refusals.tell("grpc", "/a/B", "reader", PermissionDenied("no"))
    assert log.lines[-1]["actor"] == "reader"


def test_every_refusal_counts_in_the_metric_by_port_and_reason() -> None:
    telemetry = Telemetry(logger=Log())
    refusals = Refusals(telemetry, ManualClock())
    for _ in range(LINES + 5):
        refusals.tell("grpc", "/a/B", "", UNKNOWN)
    refusals.tell("http", "/events", "reader", PermissionDenied("no"))
    body = telemetry.metrics.exposition("")[0].decode()
    assert (
        'smartconnectors_turned_away_total{port="grpc",reason="UNAUTHENTICATED"} '
        f"{LINES + 5}.0" in body
    )
    assert 'smartconnectors_turned_away_total{port="http",reason="PERMISSION_DENIED"} 1.0' in body


def test_a_line_is_bounded_and_printable_whatever_the_caller_calls(
    refusals: Refusals, log: Log
) -> None:
    refusals.tell(
        "http", "/" + "x" * 10_000 + "\x1b[2J", "y" * 1_000, PermissionDenied("z" * 9_000)
    )
    (line,) = log.lines
    assert sum(len(str(value)) for value in line.values()) < 700
    refusals.tell("http", "/\x1b[2J", "\x1b", UNKNOWN)
    assert all(str(value).isprintable() for value in log.lines[-1].values())


def test_a_caller_that_was_forgotten_for_others_is_logged_again(
    refusals: Refusals, log: Log
) -> None:
    for _ in range(LINES + 1):
        refusals.tell("grpc", "/a/B", "first", UNKNOWN)
    for number in range(MOST_CALLERS):
        refusals.tell("grpc", "/a/B", f"caller-{number}", UNKNOWN)
    refusals.tell("grpc", "/a/B", "first", UNKNOWN)
    assert len(log.lines) == LINES + MOST_CALLERS + 1
