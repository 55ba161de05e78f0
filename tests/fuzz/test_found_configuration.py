"""Configurations that once were neither taken nor refused, by what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.fuzz.configuration import Case, open_configuration

MULTIPLIER = b"platforms.meta.fallback.multiplier"
CALENDAR = (
    b'total_budget = { limit = "1", further_limits = '
    b'[{ limit = "1", calendar = "day", time_zone = "%s" }] }'
)
FOUND = {
    "a number with more digits than Python reads": Case(b"server.grpc_port = " + b"9" * 5000),
    "a number beyond any exponent": Case(b"server.grpc_port = 1e99999999999999999999"),
    "a number that fills the memory": Case(b"server.grpc_port = 1e999999999"),
    "lists nested deeper than any": Case(b"a = " + b"[" * 3000 + b"]" * 3000),
    "a multiplier beyond any": Case(MULTIPLIER + b' = "1e999999999"'),
    "a multiplier beyond any, as a number": Case(MULTIPLIER + b" = 1e999999999"),
    "a time zone that is nowhere": Case(CALENDAR % b"Nowhere/At_All"),
    "a time zone that is a path": Case(CALENDAR % b"../../etc/passwd"),
    "a directory that no path can name": Case(b'server.state_dir = "a\\u0000"'),
}


@pytest.fixture(scope="module")
def fuzz_configuration() -> Iterator[Callable[[Case], None]]:
    with open_configuration() as fuzz:
        yield fuzz


@pytest.mark.parametrize("what", FOUND)
def test_it_is_taken_or_refused_by_name(
    fuzz_configuration: Callable[[Case], None], what: str
) -> None:
    fuzz_configuration(FOUND[what])
