"""Log lines about what lasts: said when it begins, then with a count at most each minute."""

from __future__ import annotations

import logging

import pytest

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.telemetry import Lasting

log = logging.getLogger("lasting")


@pytest.fixture
def lasting(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> Lasting:
    caplog.set_level("INFO")
    return Lasting(log, clock)


def test_what_is_met_four_times_a_second_is_said_once_and_then_counted_each_minute(
    lasting: Lasting, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(4 * 130):
        lasting.say("meta", "bids wait: %s", "not connected")
        clock.advance(0.25)
    assert caplog.messages == [
        "bids wait: not connected",
        "bids wait: not connected (240 times in 60 s)",
        "bids wait: not connected (240 times in 60 s)",
    ]


def test_a_change_is_said_at_once(lasting: Lasting, caplog: pytest.LogCaptureFixture) -> None:
    for why in ("away", "away", "refused", "away"):
        lasting.say(("meta", why), "%s", why)
    assert caplog.messages == ["away", "refused"]


def test_what_comes_again_after_a_silence_is_said_as_new(
    lasting: Lasting, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    lasting.say("meta", "waits")
    clock.advance(120)
    lasting.say("meta", "waits")
    assert caplog.messages == ["waits", "waits"]


def test_an_end_is_said_when_its_beginning_was(
    lasting: Lasting, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    lasting.over("meta", "over")
    for _ in range(10):
        lasting.say("meta", "down")
        clock.advance(1)
        lasting.over("meta", "over")
        clock.advance(1)
    assert caplog.messages == ["down", "over"]


def test_an_error_has_its_traceback_in_the_first_line_alone(
    lasting: Lasting, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        lasting.say("x", "failed", level=logging.ERROR, error=ValueError("why"))
        clock.advance(61)
    assert [record.exc_info is not None for record in caplog.records] == [True, False]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_of_many_kinds_only_the_newest_thousand_are_told_apart(
    lasting: Lasting, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1001):
        lasting.say(number, "%d", number)
    lasting.say(1, "%d", 1)
    lasting.say(0, "%d", 0)
    assert caplog.messages[-2:] == ["1000", "0"]
