"""A short look at every target; `make fuzz` takes longer ones."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from tests.fuzz.targets import TARGETS

SOAK = 50
"""How many times as many examples the long proofs try."""


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_is_tried_breaks_a_promise(name: str) -> None:
    target = TARGETS[name]
    times = SOAK if os.environ.get("TEST_PROFILE") == "soak" else 1
    with target.opened() as fuzz:

        @settings(max_examples=target.examples * times)
        @given(case=target.cases)
        def look(case: object) -> None:
            fuzz(case)

        look()
