"""Requests that once made a sandbox or its control port fail, by what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.fuzz.mutations import Edit, RawEdit
from tests.fuzz.surfaces import CONTROL, Case, open_surfaces

FOUND = {
    "a multipart to Meta without a boundary": Case("meta", 0, content_type="multipart/form-data"),
    "a multipart to Google without a boundary": Case(
        "google_ads", 0, content_type="multipart/form-data"
    ),
    "a form to Meta in a charset that nobody knows": Case(
        "meta", 0, content_type="application/x-www-form-urlencoded; charset=bogus"
    ),
    "an audience of The Trade Desk's that is a list": Case(
        "trade_desk", 2, (Edit("replace", 4, []),)
    ),
    "a fault in a charset that nobody knows": Case(
        CONTROL, 0, content_type="application/json; charset=bogus"
    ),
    "a fault that is nested deeper than any": Case(CONTROL, 0, raw=RawEdit("deep", 1000)),
    "a fault that lasts longer than any clock counts": Case(
        CONTROL, 0, (Edit("replace", 3, 10**400), Edit("replace", 4, ""))
    ),
}


@pytest.fixture(scope="module")
def fuzz_surfaces() -> Iterator[Callable[[Case], None]]:
    with open_surfaces() as fuzz:
        yield fuzz


@pytest.mark.parametrize("what", FOUND)
def test_it_is_refused_and_the_next_one_is_answered(
    fuzz_surfaces: Callable[[Case], None], what: str
) -> None:
    fuzz_surfaces(FOUND[what])
