"""The audit's own rules for lines about alerts."""

from __future__ import annotations

import re

import pytest

from smartconnectors_server.ledger.alert_lines import Condition
from smartconnectors_server.ledger.audit_alerts import AlertRules
from smartconnectors_server.ledger.records import Entry


def line(
    verb: str,
    word: str,
    budget_id: str = "a",
    platform: str = "",
    request: str = "",
    number: int = 1,
) -> Entry:
    note = f"{word}: figures"
    return Entry(1, verb, (budget_id,), "", platform, request, 0, "USD", note, sequence=number)


def taken(*lines: Entry) -> AlertRules:
    rules = AlertRules()
    for one in lines:
        rules.take(one)
    return rules


RISE = line("alert", "WARNING"), line("alert", "EXHAUSTED"), line("alert_end", "CRITICAL")
OPENED = line("alert", "CIRCUIT", platform="p")
OVER = line("alert", "REPORTED", platform="p")


def test_levels_rise_by_alerts_fall_by_their_ends_and_may_rise_anew() -> None:
    fallen = (*RISE, line("alert_end", "NONE"))
    assert taken(*fallen).stands == {}
    risen = taken(*fallen, line("alert", "WARNING", number=7), line("alert", "WARNING", "b"))
    assert risen.stands == {"BUDGET a ": 7, "BUDGET b ": 1}


@pytest.mark.parametrize(
    ("twice", "why"),
    [
        (line("alert", "CRITICAL"), "a comes to CRITICAL from CRITICAL by alert"),
        (line("alert", "WARNING"), "a comes to WARNING from CRITICAL by alert"),
        (line("alert_end", "CRITICAL"), "a comes to CRITICAL from CRITICAL by alert_end"),
        (line("alert_end", "EXHAUSTED"), "a comes to EXHAUSTED from CRITICAL by alert_end"),
    ],
)
def test_a_level_that_stands_is_not_told_again(twice: Entry, why: str) -> None:
    rules = taken(*RISE)
    with pytest.raises(ValueError, match=f"^{why}$"):
        rules.take(twice)


def test_a_budget_that_is_configured_anew_may_be_told_anew() -> None:
    rules = taken(*RISE)
    rules.forget("a")
    rules.forget("never heard of")
    rules.take(line("alert", "WARNING", number=4))
    assert rules.stands == {"BUDGET a ": 4}


def test_a_condition_begins_and_ends_in_turns_for_each_platform_and_request() -> None:
    closed = line("alert_end", "CIRCUIT", platform="p")
    taken(
        OPENED,
        line("alert", "CIRCUIT", platform="q"),
        line("alert", "IN_DOUBT", platform="p", request="1"),
        line("alert", "IN_DOUBT", platform="p", request="2"),
        closed,
        OPENED,
    )
    of_it = re.escape("CIRCUIT of ('p', '')")
    with pytest.raises(ValueError, match=f"^{of_it} begins while it stands$"):
        taken(OPENED, OPENED)
    for wrong in ((closed,), (OPENED, closed, closed)):
        with pytest.raises(ValueError, match=f"^{of_it} ends and does not stand$"):
            taken(*wrong)


@pytest.mark.parametrize("word", [condition.value for condition in Condition])
def test_every_condition_is_known(word: str) -> None:
    assert list(taken(line("alert", word)).stands) == [f"{word}  "]
    assert taken(line("alert", word), line("alert_end", word)).stands == {}


def test_a_report_that_is_over_is_told_as_often_as_days_are_and_has_no_end() -> None:
    taken(OVER, OVER)
    for wrong in (line("alert", "REPORTED"), line("alert_end", "REPORTED", platform="p")):
        with pytest.raises(ValueError, match="no platform's report"):
            taken(wrong)


def test_what_alerts_are_not_about_is_refused() -> None:
    with pytest.raises(ValueError, match="'RUMOUR' is nothing that alerts are about"):
        taken(line("alert", "RUMOUR"))


def test_what_stands_is_known_by_the_line_that_said_so() -> None:
    rules = taken(
        line("alert", "WARNING", number=1),
        line("alert", "WARNING", "b", number=2),
        line("alert", "EXHAUSTED", number=3),
        line("alert", "CIRCUIT", platform="p", number=4),
        line("alert", "IN_DOUBT", platform="p", request="r", number=5),
        line("alert", "IN_DOUBT", platform="p", request="s", number=6),
        line("alert", "LEDGER", number=7),
        line("alert", "REPORTED", platform="p", number=8),
        line("alert_end", "CRITICAL", number=9),
        line("alert_end", "IN_DOUBT", platform="p", request="r", number=10),
        line("alert_end", "NONE", "b", number=11),
        line("alert_end", "NONE", "never told of", number=12),
    )
    rules.forget("a")
    stands = {"BUDGET a ": 9, "CIRCUIT p ": 4, "IN_DOUBT p s": 6, "LEDGER  ": 7}
    assert rules.stands == stands
