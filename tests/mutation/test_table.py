"""The table fits the code, and each guard in it is noticed when it is missing."""

from __future__ import annotations

import pytest
from tests.mutation.run import ROOT, mutated, survivors_of
from tests.mutation.table import Mutant
from tests.mutation.table_store import TABLE

QUICK = ("a micro more than the limit is admitted", "two servers share a directory")


@pytest.mark.parametrize("mutant", TABLE, ids=lambda mutant: mutant.name)
def test_the_guard_is_where_the_table_says(mutant: Mutant) -> None:
    compile(mutated(mutant), mutant.file, "exec")
    for killer in mutant.killers:
        assert (ROOT / killer.partition("::")[0]).is_file()


def test_no_two_guards_have_one_name() -> None:
    assert len({mutant.name for mutant in TABLE}) == len(TABLE) >= 55


@pytest.mark.parametrize("name", QUICK)
def test_a_guard_that_is_missing_is_noticed(name: str) -> None:
    (mutant,) = (m for m in TABLE if m.name == name)
    assert survivors_of(mutant) == []


@pytest.mark.soak
@pytest.mark.parametrize("mutant", TABLE, ids=lambda mutant: mutant.name)
def test_every_guard_that_is_missing_is_noticed(mutant: Mutant) -> None:
    assert survivors_of(mutant) == []
