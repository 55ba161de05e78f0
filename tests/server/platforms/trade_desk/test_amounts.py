"""Micros on the wire and back: exact, in every currency."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.platforms.trade_desk import amounts

MICROS = st.integers(0, 10**15)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(-(10**9), 10**9, places=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(micros=MICROS)
def test_an_amount_comes_back_to_the_micro_by_way_of_json(micros: int) -> None:
    text = amounts.write({"Amount": amounts.decimal_of(micros)})
    assert "e" not in text.partition(":")[2].lower()
    assert amounts.micros_of(amounts.parse(text)["Amount"]) == micros
    # A reader that takes numbers for floats sees the same digits, where a float has room for them.
    if micros < 10**15:
        assert round(json.loads(text)["Amount"] * 1_000_000) == micros


@given(document=DOCUMENTS)
def test_a_document_is_written_as_it_is_read(document: Any) -> None:
    assert amounts.parse(amounts.write(document)) == document
    assert amounts.write(document).isascii()


@pytest.mark.parametrize(
    ("amount", "micros"),
    [
        (Decimal("0.0000004"), 0),
        (Decimal("0.0000006"), 1),
        (3, 3_000_000),
        (Decimal("1E+3"), 10**9),
    ],
)
def test_what_is_finer_than_a_micro_is_rounded(amount: Decimal | int, micros: int) -> None:
    assert amounts.micros_of(amount) == micros


@pytest.mark.parametrize("amount", [Decimal("1E+99"), Decimal("NaN"), Decimal("Infinity")])
def test_what_is_no_amount_is_refused(amount: Decimal) -> None:
    with pytest.raises(ValueError, match="not an amount of money"):
        amounts.micros_of(amount)


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", "-Infinity", "[" * 100_000, "1" * 5_000, "1e" + "9" * 30]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        amounts.parse(text)
