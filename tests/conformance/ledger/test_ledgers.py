"""Every kind of ledger keeps every promise. A new kind is tried without anyone remembering."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.ledger.suite import PROMISES, keeps

from smartconnectors_server.ledger import LEDGERS


@pytest.mark.parametrize("kind", LEDGERS)
@pytest.mark.parametrize("name", PROMISES)
async def test_a_ledger_keeps(kind: str, name: str, tmp_path: Path) -> None:
    await keeps(PROMISES[name], LEDGERS[kind], tmp_path)


def test_the_suite_lost_no_promise() -> None:
    assert len(PROMISES) >= 65
