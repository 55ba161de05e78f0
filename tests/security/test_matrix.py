"""SECURITY.md names tests that there are, and every letter in its matrix leads to some."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()
SHOWN_BY = dict(re.findall(r"(?m)^\| ([a-z]) \| (.+) \|$", TEXT))


def test_every_test_that_the_matrix_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
    assert len(named) > 30
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not re.search(rf"(?m)^(async )?def {name}\(", (ROOT / file).read_text())
    ]
    assert missing == []


def test_every_letter_in_the_matrix_leads_to_tests() -> None:
    assert set(re.findall(r"\[([a-z])\]", TEXT)) == SHOWN_BY.keys()


def test_the_matrix_has_a_cell_for_every_asset_and_role() -> None:
    lines = TEXT.splitlines()
    (head,) = (line for line in lines if line.startswith("| asset |"))
    rows = [line for line in lines if line.startswith("| **")]
    roles = [cell.strip() for cell in head.strip("|").split("|")]
    assert len(roles) == 9
    assert len(rows) > 10
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == len(roles), cells[0]
        assert all(cells), cells[0]
