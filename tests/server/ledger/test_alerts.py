"""Levels of alerts: reached exactly, told once, left ten points below, by the fullest limit."""

from __future__ import annotations

import pytest
from tests.conformance.ledger.bench import PLATFORM, ask

from smartconnectors_server.ledger.alerts import AlertLevel, Alerts, Crossing, alert_level
from smartconnectors_server.ledger.records import Budget, Hold, Limit, SlidingWindow
from smartconnectors_server.ledger.scopes import Scopes

NOW = 1_700_000_000 * 10**9
MINUTE_NS = 60 * 10**9
NONE, WARNING, CRITICAL, EXHAUSTED = AlertLevel


class Told:
    """One budget whose use is set, and what is told of it."""

    def __init__(self, *limits: int) -> None:
        windows = tuple(Limit(limit, SlidingWindow(60.0)) for limit in limits)
        self.scopes = Scopes()
        self.scopes.configure(Budget(PLATFORM, "USD", windows), 0)
        self.alerts = Alerts(self.scopes)
        self._used = 0
        self.now_ns = NOW

    def use(self, used: int) -> list[str]:
        """Verbs and levels of what is told when so much is used from now on, a minute later."""
        self.now_ns += MINUTE_NS
        return [f"{crossing.verb} {crossing.level.name}" for crossing in self.crossings(used)]

    def crossings(self, used: int) -> list[Crossing]:
        before = self.alerts.before((PLATFORM,), self.now_ns)
        _open(self.scopes, used - self._used)
        self._used = used
        return self.alerts.after((PLATFORM,), before, self.now_ns)


def _open(scopes: Scopes, amount: int) -> None:
    scopes.count_open(Hold.begun(ask("held", amount), "h1", NOW), +1)


@pytest.mark.parametrize(
    ("used", "level"),
    [
        (0, NONE),
        (7_999, NONE),
        (8_000, WARNING),
        (9_499, WARNING),
        (9_500, CRITICAL),
        (9_999, CRITICAL),
        (10_000, EXHAUSTED),
        (20_000, EXHAUSTED),
    ],
)
def test_a_level_is_reached_at_exactly_its_share(used: int, level: AlertLevel) -> None:
    told = Told(10_000)
    assert told.use(used) == ([f"alert {level.name}"] if level else [])
    assert told.alerts.standing(PLATFORM) is level
    assert alert_level(told.scopes.state(PLATFORM, NOW)) is level


def test_a_level_that_stands_is_left_ten_points_below_it_and_then_told_again() -> None:
    told = Told(10_000)
    assert [told.use(used) for used in (10_000, 9_999, 9_000, 10_000, 8_999)] == [
        ["alert EXHAUSTED"],
        [],
        [],
        [],
        ["alert_end CRITICAL"],
    ]
    assert [told.use(used) for used in (9_500, 8_500, 8_499, 9_500)] == [
        [],
        [],
        ["alert_end WARNING"],
        ["alert CRITICAL"],
    ]
    assert [told.use(used) for used in (7_000, 6_999, 0, 8_000)] == [
        ["alert_end WARNING"],
        ["alert_end NONE"],
        [],
        ["alert WARNING"],
    ]


def test_a_fall_from_the_highest_level_to_nothing_is_told_once() -> None:
    told = Told(10_000)
    told.use(10_000)
    assert told.use(0) == ["alert_end NONE"]
    assert told.alerts.standing(PLATFORM) is NONE
    assert told.use(1) == []


def test_what_fell_by_time_alone_is_ended_before_the_rise_is_told() -> None:
    told = Told(10_000)
    told.scopes.commit(NOW - 61 * 10**9, 9_600, (PLATFORM,))
    told.alerts.restore(PLATFORM, "CRITICAL: as it was", NOW - MINUTE_NS)
    assert told.use(8_100) == ["alert_end NONE", "alert WARNING"]


def test_what_stood_is_taken_up_from_the_words_of_its_line() -> None:
    told = Told(10_000)
    (crossing,) = told.crossings(9_600)
    another = Told(10_000)
    another.use(9_600)
    another.alerts = Alerts(another.scopes)
    another.alerts.restore(PLATFORM, crossing.note, NOW)
    assert another.alerts.standing(PLATFORM) is CRITICAL
    assert another.use(9_600) == []
    assert another.use(10_000) == ["alert EXHAUSTED"]


def test_of_a_budget_that_is_not_configured_any_more_nothing_is_told() -> None:
    told = Told(10_000)
    told.alerts.restore("gone", "WARNING: as it was", NOW)
    assert told.alerts.before(("gone", PLATFORM), NOW) == {}
    assert told.alerts.after(("gone",), {}, NOW) == []
    assert told.alerts.standing("never heard of") is NONE


@pytest.mark.parametrize(
    ("limits", "used", "fullest"),
    [
        ((10_000, 9_000), 9_000, 9_000),
        ((9_000, 10_000), 9_000, 9_000),
        ((1_000_000_001, 1_000_000_000), 900_000_005, 1_000_000_000),
        ((2, 1), 1, 1),
    ],
)
def test_an_alert_tells_of_the_fullest_limit(
    limits: tuple[int, ...], used: int, fullest: int
) -> None:
    (crossing,) = Told(*limits).crossings(used)
    state = crossing.state
    assert crossing.used_micros == used
    assert state.limits[crossing._fullest()].limit.limit_micros == fullest


def test_a_limit_of_nothing_is_exhausted_from_the_start() -> None:
    (crossing,) = Told(0).crossings(0)
    assert crossing.note == "EXHAUSTED: $0.00 of $0.00 committed, held, deferred or in doubt"


def test_a_level_that_was_told_stands_for_a_minute_whatever_the_budget_does() -> None:
    told = Told(10_000)
    assert [crossing.verb for crossing in told.crossings(10_000)] == ["alert"]
    for used in (0, 10_000, 0, 9_600, 0):
        told.now_ns += MINUTE_NS // 6
        assert told.crossings(used) == []
        assert told.alerts.standing(PLATFORM) is EXHAUSTED
    told.now_ns += MINUTE_NS // 6 - 1
    assert told.crossings(0) == []
    told.now_ns += 1
    assert [crossing.level for crossing in told.crossings(0)] == [NONE]


def test_a_higher_level_is_told_while_the_lower_is_new() -> None:
    told = Told(10_000)
    levels = [told.crossings(used)[0].level for used in (8_000, 9_500, 10_000)]
    assert levels == [WARNING, CRITICAL, EXHAUSTED]


def test_after_a_restart_a_level_goes_on_standing_for_the_rest_of_its_minute() -> None:
    told = Told(10_000)
    told.alerts.restore(PLATFORM, "WARNING: as it was", NOW - MINUTE_NS + 1)
    assert told.crossings(1) == []
    told.now_ns += 1
    assert [crossing.level for crossing in told.crossings(2)] == [NONE]


def test_the_budgets_of_which_a_level_stands_are_known() -> None:
    told = Told(10_000)
    assert told.alerts.standing_ids() == ()
    told.use(8_000)
    assert told.alerts.standing_ids() == (PLATFORM,)
    told.use(0)
    assert told.alerts.standing_ids() == ()
