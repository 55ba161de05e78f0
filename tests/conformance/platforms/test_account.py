"""What a platform says of its account, asked of its sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smartconnectors_server.connector import AccountFacts, check_account_currency
from smartconnectors_server.errors import PlatformUnavailable

if TYPE_CHECKING:
    from tests.conformance.platforms.conftest import Bench


async def test_the_account_is_read_through_the_gate_and_nothing_is_changed(bench: Bench) -> None:
    """A platform may say nothing: then nothing was read either."""
    facts = await bench.connector.account()
    assert facts == AccountFacts() or facts.currency_code == "USD"
    assert bool(bench.gate.reads) == (facts != AccountFacts())
    assert not any(entry.changes for entry in bench.sandbox.journal())


def test_a_currency_that_is_not_told_is_not_held_against_an_account() -> None:
    check_account_currency("meta", AccountFacts("act_1"), "USD")


def test_another_currency_names_both() -> None:
    with pytest.raises(PlatformUnavailable, match=r"act_1 is in EUR, but the budget .* in USD"):
        check_account_currency("meta", AccountFacts("act_1", currency_code="EUR"), "USD")
