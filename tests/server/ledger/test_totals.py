"""A total counts every line of its platforms, whether or not it is named there."""

from __future__ import annotations

import json
import sqlite3

import pytest

from smartconnectors_server.ledger.totals import COUNTS_IN, TOTAL, counted_in

CASES = [
    ("google_ads", ("google_ads",), "total"),
    ("google_ads", ("google_ads", "total"), "total"),
    ("shadow/google_ads", ("shadow/google_ads",), "shadow/total"),
    ("shadowy", ("shadowy",), "total"),
]


@pytest.mark.parametrize(("platform", "named", "total"), CASES)
def test_a_total_counts_what_names_it_and_what_does_not_once(
    platform: str, named: tuple[str, ...], total: str
) -> None:
    assert counted_in(platform, named) == (platform, total)


def test_what_is_for_no_platform_counts_where_it_says_alone() -> None:
    assert counted_in("", ("google_ads",)) == ("google_ads",)


@pytest.mark.parametrize(("platform", "named", "total"), [*CASES, ("", ("meta",), "")])
def test_the_statement_for_the_file_says_the_same(
    platform: str, named: tuple[str, ...], total: str
) -> None:
    file = sqlite3.connect(":memory:")
    file.execute("CREATE TABLE entries (platform TEXT, budget_ids TEXT)")
    file.execute("INSERT INTO entries VALUES (?, ?)", (platform, json.dumps(named)))
    for budget_id in (TOTAL, "shadow/total", "google_ads", "meta"):
        statement = f"SELECT count(*) FROM entries WHERE {COUNTS_IN}"
        (found,) = file.execute(statement, {"budget_id": budget_id}).fetchone()
        assert found == (budget_id in counted_in(platform, named)), (budget_id, total)
    file.close()
