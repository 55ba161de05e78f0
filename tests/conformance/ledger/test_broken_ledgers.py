"""The suite itself is tried: a ledger that is wrong breaks a promise."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import Maker
from tests.conformance.ledger.broken import CAUGHT_BY
from tests.conformance.ledger.suite import PROMISES, keeps


async def broken_promises(make: Maker, names: Iterable[str], directory: Path) -> list[str]:
    """Those of the promises that the ledger does not keep."""
    broken = []
    for name in names:
        try:
            await keeps(PROMISES[name], make, directory / name)
        except Exception:  # noqa: BLE001 - however it breaks
            broken.append(name)
    return broken


@pytest.mark.parametrize("make", CAUGHT_BY, ids=lambda make: make.__name__)
async def test_a_broken_ledger_is_caught(make: Maker, tmp_path: Path) -> None:
    name = CAUGHT_BY[make]
    assert await broken_promises(make, [name], tmp_path) == [name]


@pytest.mark.soak
@pytest.mark.parametrize("make", CAUGHT_BY, ids=lambda make: make.__name__)
async def test_the_whole_suite_catches(make: Maker, tmp_path: Path) -> None:
    assert CAUGHT_BY[make] in await broken_promises(make, PROMISES, tmp_path)
