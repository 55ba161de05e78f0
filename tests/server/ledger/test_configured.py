"""What a line says of a budget, and what the lines after it make of that."""

from __future__ import annotations

import dataclasses

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, budget, daily

from smartconnectors_server.ledger import Budget, Entry
from smartconnectors_server.ledger.configured import after, configured, described

DAILY = budget(PLATFORM, 200 * USD, daily(950 * USD))


def line(verb: str, amount_micros: int = 0, note: str = "") -> Entry:
    return Entry(1, verb, (PLATFORM,), "", "", "", amount_micros, "USD", note)


def test_a_budget_is_described_in_one_compact_text_that_is_read_back() -> None:
    text = described(dataclasses.replace(DAILY, paused=True))
    assert text == (
        '{"limits":[{"limit_micros":200000000,"window_s":600.0},'
        '{"limit_micros":950000000,"calendar":"day","time_zone":"UTC"}],"paused":true}'
    )
    assert configured(PLATFORM, "USD", text) == dataclasses.replace(DAILY, paused=True)


@pytest.mark.parametrize(
    ("one", "made"),
    [
        (line("pause"), dataclasses.replace(DAILY, paused=True)),
        (line("resume"), DAILY),
        (line("limit", 7), budget(PLATFORM, 7, daily(950 * USD))),
        (line("configure", note=described(budget())), budget()),
    ],
)
def test_each_line_makes_of_a_budget_what_it_says(one: Entry, made: Budget) -> None:
    assert after(DAILY, one) == made


def test_a_line_about_something_else_makes_nothing_of_a_budget() -> None:
    with pytest.raises(ValueError, match="settle does not configure a budget"):
        after(DAILY, line("settle"))


def test_before_anything_else_a_budget_is_configured() -> None:
    with pytest.raises(ValueError, match=f"^{PLATFORM} was never configured$"):
        after(None, line("limit", 7))
