"""The sums of budgets: what is told of them, and which scope a refusal is about."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, WINDOW_S, ask, budget, daily

from smartconnectors_server.ledger import Budget, Hold, Limit, Paused, Refused, SlidingWindow
from smartconnectors_server.ledger.records import ALL, EVERY_CAMPAIGN, Pause
from smartconnectors_server.ledger.scopes import Scopes

SECOND = 10**9
NOW = 1_700_000_000 * SECOND
DAY_NS = 86_400 * SECOND
OTHER = "meta"
BOTH = (PLATFORM, OTHER)
CAMPAIGN = f"{PLATFORM}/campaigns/7"


def scopes_of(*budgets: Budget) -> Scopes:
    scopes = Scopes()
    for one in budgets:
        scopes.configure(one, 0)
    return scopes


def hold(scopes: Scopes, amount_micros: int, *budget_ids: str) -> None:
    """Something is held in these budgets."""
    asked = ask("held", amount_micros, budget_ids=budget_ids)
    scopes.count_open(Hold.begun(asked, "h1", NOW), +1)


def refused(scopes: Scopes, amount_micros: int, **changed: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        scopes.check_fits(ask("new", amount_micros, **changed), None, NOW)
    return caught.value


def refused_in_any_order(scopes: Scopes, amount_micros: int) -> Refused:
    one, other = (
        refused(scopes, amount_micros, budget_ids=ids) for ids in (BOTH, tuple(reversed(BOTH)))
    )
    assert one.state == other.state
    return one


# What is told


def test_budgets_are_told_in_the_order_of_their_names() -> None:
    scopes = scopes_of(*(budget(name) for name in ("b", "a", "c")))
    assert scopes.budget_ids() == ("a", "b", "c")


def test_every_change_of_a_budget_gives_it_a_higher_number() -> None:
    scopes = scopes_of(budget(), budget(OTHER))

    def number(budget_id: str = PLATFORM) -> int:
        return scopes.state(budget_id, NOW).sequence

    scopes.configure(budget(), 3)
    assert number() == 3
    scopes.touch((PLATFORM,), 5)
    assert number() == 5
    # A refusal writes no line: it takes the number of the next one, which then goes one further.
    scopes.veto((PLATFORM,), NOW, 6)
    assert number() == 6
    scopes.veto((PLATFORM,), NOW, 6)
    assert number() == 7
    scopes.touch((PLATFORM,), 6)
    assert number() == 8
    scopes.touch((PLATFORM,), 20)
    assert number() == 20
    assert number(OTHER) == 0, "nothing has happened to it"
    scopes.veto((PLATFORM,), NOW, 30)
    assert number() == 30


def test_a_refusal_counts_once_and_for_as_long_as_the_first_window() -> None:
    scopes = scopes_of(
        Budget(PLATFORM, "USD", (Limit(USD, SlidingWindow(60.0)), daily(USD))),
        Budget(OTHER, "USD", (daily(USD), Limit(USD, SlidingWindow(60.0)))),
    )
    scopes.veto(BOTH, NOW, 1)
    for budget_id, length_ns in ((PLATFORM, 60 * SECOND), (OTHER, DAY_NS)):
        told = [
            scopes.state(budget_id, NOW + after_ns).vetoed_count
            for after_ns in (0, length_ns - 1, length_ns)
        ]
        assert told == [1, 1, 0]


def test_what_was_accepted_is_counted_over_the_first_window() -> None:
    scopes = scopes_of(Budget(PLATFORM, "USD", (Limit(USD, SlidingWindow(60.0)), daily(USD))))
    scopes.commit(NOW, 1, (PLATFORM,))
    assert scopes.state(PLATFORM, NOW).accepted_count == 1
    assert scopes.state(PLATFORM, NOW + 61 * SECOND).accepted_count == 0


def test_a_share_of_a_limit_is_reached_at_exactly_that_share() -> None:
    scopes = scopes_of(budget(PLATFORM, 1_000, daily(10_000)))
    scopes.commit(NOW, 300, (PLATFORM,))
    hold(scopes, 499, PLATFORM)
    assert not scopes.reaches(PLATFORM, 80, NOW)
    scopes.commit(NOW, 1, (PLATFORM,))
    assert scopes.reaches(PLATFORM, 80, NOW)
    assert not scopes.reaches(PLATFORM, 81, NOW)


# Which scope a refusal is about


def test_what_the_limit_would_take_when_it_is_empty_only_has_to_wait() -> None:
    scopes = scopes_of(budget(PLATFORM, 500))
    scopes.commit(NOW, 1, (PLATFORM,))
    error = refused(scopes, 500)
    assert (error.blocked_by, error.fits_at_ns) == ("", NOW + round(WINDOW_S) * SECOND)
    assert refused(scopes, 501).blocked_by == "limit"


def test_what_is_above_a_limit_is_told_before_what_open_holds_keep_out() -> None:
    scopes = scopes_of(budget(PLATFORM, 100), budget(OTHER, 200))
    hold(scopes, 150, OTHER)  # so that less room is there
    error = refused_in_any_order(scopes, 101)
    assert (error.state.budget_id, error.blocked_by) == (PLATFORM, "limit")


def test_what_open_holds_keep_out_is_told_before_what_only_has_to_wait() -> None:
    scopes = scopes_of(budget(PLATFORM, 100), budget(OTHER, 100))
    hold(scopes, 50, PLATFORM)
    scopes.commit(NOW, 90, (OTHER,))
    error = refused_in_any_order(scopes, 60)
    assert (error.state.budget_id, error.blocked_by) == (PLATFORM, "holds")


def test_of_two_that_open_holds_keep_out_the_one_with_less_room_is_told() -> None:
    scopes = scopes_of(budget(PLATFORM, 100), budget(OTHER, 100))
    hold(scopes, 50, PLATFORM)
    hold(scopes, 70, OTHER)
    assert refused_in_any_order(scopes, 60).state.budget_id == OTHER


def test_a_campaign_without_a_budget_takes_what_its_platform_takes() -> None:
    scopes = scopes_of(budget(PLATFORM, 100))
    scopes.check_fits(ask("a", 100, budget_ids=(CAMPAIGN, PLATFORM)), None, NOW)
    for budget_ids in ((CAMPAIGN, PLATFORM), (PLATFORM, CAMPAIGN)):
        assert refused(scopes, 101, budget_ids=budget_ids).state.budget_id == PLATFORM
    with pytest.raises(KeyError):
        scopes.check_fits(ask("a", 1, budget_ids=("nothing",)), None, NOW)


# Pauses


def test_a_pause_stops_its_scope_until_it_is_resumed_and_says_why_and_since_when() -> None:
    scopes = scopes_of(budget(), budget(OTHER))
    assert scopes.pause_of((PLATFORM, CAMPAIGN, OTHER)) is None
    for scope in (CAMPAIGN, OTHER):
        pause = Pause(scope, "stop", 7)
        scopes.pause(pause)
        assert scopes.pause_of((PLATFORM, scope)) == pause
        with pytest.raises(Paused) as caught:
            scopes.check_paused((PLATFORM, scope))
        assert caught.value.pause == pause
        scopes.check_paused((PLATFORM,))
        scopes.resume(scope)
        scopes.check_paused((PLATFORM, scope))
    scopes.resume(CAMPAIGN)


def test_of_several_pauses_that_of_everything_is_told_and_then_the_first_asked_for() -> None:
    scopes = scopes_of(budget(), budget(OTHER))
    ours, theirs, all_of_it = (Pause(scope, "stop", 7) for scope in (*BOTH, ALL))
    scopes.pause(theirs)
    scopes.pause(ours)
    assert scopes.pause_of(BOTH) == ours
    assert scopes.pause_of((OTHER, PLATFORM)) == theirs
    scopes.pause(all_of_it)
    assert scopes.pause_of(BOTH) == scopes.pause_of(()) == all_of_it


def test_a_budget_is_shown_as_paused_by_its_own_pause_and_by_that_of_everything() -> None:
    scopes = scopes_of(budget(), budget(OTHER))
    scopes.pause(Pause(OTHER, "stop", 7))
    assert [scopes.state(name, NOW).paused for name in BOTH] == [False, True]
    assert [scopes.budget(name).paused for name in BOTH] == [False, True]
    scopes.pause(Pause(ALL, "stop", 7))
    assert [scopes.state(name, NOW).paused for name in BOTH] == [True, True]
    scopes.resume(ALL)
    scopes.resume(OTHER)
    assert [scopes.state(name, NOW).paused for name in BOTH] == [False, False]


def test_a_budget_that_is_configured_as_paused_is_and_a_pause_that_is_known_keeps_its_words() -> (
    None
):
    scopes = scopes_of(budget(paused=True), budget(OTHER))
    assert scopes.pause_of((PLATFORM,)) == Pause(PLATFORM, "", 0)
    assert scopes.pause_of((OTHER,)) is None
    known = Pause(OTHER, "stop", 7)
    scopes.pause(known)
    scopes.configure(budget(OTHER, paused=True), 1)
    assert scopes.pause_of((OTHER,)) == known


def test_only_campaigns_of_a_platform_that_gives_each_a_budget_lack_one() -> None:
    other = "meta/campaigns/7"
    known = f"{PLATFORM}/campaigns/8"
    asked = (PLATFORM, OTHER, "unknown", CAMPAIGN, known, other)
    assert scopes_of(budget(), budget(known)).lacking(asked) == []
    every = budget(f"{PLATFORM}/campaigns/{EVERY_CAMPAIGN}", 40 * USD)
    scopes = scopes_of(budget(), budget(known), every)
    assert scopes.lacking(asked) == [budget(CAMPAIGN, 40 * USD)]


def test_what_is_paused_says_so_until_it_is_resumed() -> None:
    scopes = scopes_of(budget())
    scopes.pause(Pause(PLATFORM, "stop", 1))
    assert scopes.budget(PLATFORM).paused
    scopes.resume(PLATFORM)
    assert not scopes.budget(PLATFORM).paused
    assert scopes.pause_of([PLATFORM]) is None
