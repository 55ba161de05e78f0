"""How amounts, times and tables look."""

from __future__ import annotations

import io

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from smartconnectors.common.v1.budget_pb2 import ALERT_LEVEL_CRITICAL, BudgetStats
from smartconnectors_server.cli.output import (
    STATS_COLUMNS,
    budget_text,
    compact_stats,
    duration_text,
    plain_table,
    rich_table,
    share,
    stats_row,
    time_text,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.31, "0.4 s"),
        (9.95, "10 s"),
        (12.0, "12 s"),
        (59.2, "1 min"),
        (372.0, "6 min 12 s"),
        (7200.0, "2 h"),
        (7261.0, "2 h 1 min 1 s"),
    ],
)
def test_a_duration_reads_like_a_persons(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(seconds=st.floats(0, 1e6))
def test_a_duration_is_never_shown_shorter_than_it_is(seconds: float) -> None:
    units = {"h": 3600, "min": 60, "s": 1}
    words = duration_text(seconds).split()
    shown = sum(float(n) * units[u] for n, u in zip(words[::2], words[1::2], strict=True))
    assert seconds - 1e-6 <= shown < seconds + 1


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (275, 500, "55 %"),
        (1, 3, "33.3 %"),
        (999_999, 1_000_000, "99.9 %"),
        (600, 500, "120 %"),
        (1, 0, "–"),
    ],
)
def test_a_share_is_never_rounded_up_to_full(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


def test_a_time_that_is_not_set_is_empty() -> None:
    assert time_text(Timestamp()) == ""
    assert time_text(Timestamp(seconds=1_767_268_800, nanos=5_000_000)).endswith("12:00:00.005Z")


def stats(**amounts: int) -> BudgetStats:
    result = BudgetStats(
        budget_id="google_ads",
        limit_micros=500_000_000,
        currency_code="USD",
        alert_level=ALERT_LEVEL_CRITICAL,
        accepted_count=4,
        vetoed_count=1,
    )
    for name, micros in amounts.items():
        setattr(result, name, micros)
    result.window.seconds = 600
    return result


def test_a_budget_in_one_line_names_only_what_is_not_zero() -> None:
    line = budget_text(stats(committed_micros=225_000_000, in_doubt_micros=15_000_000))
    assert line == "$225.00 of $500.00 committed (45 %), $15.00 in doubt, $0.00 remaining"


def test_on_a_terminal_of_80_columns_no_figure_of_a_budget_is_cut() -> None:
    rows = [stats_row(stats(committed_micros=480_000_000, remaining_micros=20_000_000))]
    text = io.StringIO()
    table = rich_table(*compact_stats(STATS_COLUMNS, rows))
    Console(file=text, width=80).print(table)
    lines = text.getvalue().splitlines()
    assert "…" not in text.getvalue()
    for figure in (
        "google_ads",
        "$480.00",
        "$20.00",
        "$500.00 in 10 min",
        "96 %",
        "1 of 5",
        "critical",
    ):
        assert any(figure in line for line in lines), figure
    assert not any("held" in line for line in lines), "nothing is held, so nothing says so"


def test_held_money_is_shown_as_soon_as_there_is_any() -> None:
    columns, rows = compact_stats(STATS_COLUMNS, [stats_row(stats(held_micros=1))])
    assert rows[0][columns.index("held")] == "$0.000001"


def test_a_plain_table_has_its_columns_under_their_names() -> None:
    lines = plain_table(("a", "long name"), [("1", "x"), ("22", "")])
    assert lines == ["a   long name", "1   x", "22"]
