"""What every test may ask for, and how hard Hypothesis looks.

TEST_PROFILE=ci (the default) keeps the whole suite short and tries the same examples every time, so
that a change fails by what it changed; TEST_PROFILE=soak, which `make proofs` sets, tries some
hundred times as many, new ones each time. A failure prints the blob that replays it.
TEST_PROFILE=mutants, which `make mutants` sets, tries the same examples every time and looks for no
smaller one: there a failure is expected, and only that there is one matters.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

from smartconnectors_server.clock import ManualClock

# A machine that is busy with something else is not a failure of ours.
_PATIENT = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", _PATIENT, max_examples=50, derandomize=True)
settings.register_profile("soak", _PATIENT, max_examples=5000)
settings.register_profile(
    "mutants",
    _PATIENT,
    max_examples=50,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("TEST_PROFILE", "ci"))


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when the test says so."""
    return ManualClock()
