"""Amounts: from what people write to integer micros and back, exactly or not at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors.money import MOST_MICROS, to_decimal, to_micros


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("75.00", 75_000_000),
        ("0.00", 0),
        ("0.000001", 1),
        ("0.10", 100_000),
        ("123.4567", 123_456_700),
        ("1000000000.00", MOST_MICROS),
    ],
)
def test_amounts_are_read_and_written_exactly(text: str, micros: int) -> None:
    assert to_micros(text) == to_micros(Decimal(text)) == micros
    assert str(to_decimal(micros)) == text


@given(st.integers(0, MOST_MICROS))
def test_every_amount_survives_the_way_there_and_back(micros: int) -> None:
    assert to_micros(to_decimal(micros)) == to_micros(str(to_decimal(micros))) == micros


@pytest.mark.parametrize("amount", [75, "75", Decimal(75), Decimal("7.5e1"), "75.0000000"])
def test_the_same_amount_may_be_written_in_many_ways(amount: Any) -> None:
    assert to_micros(amount) == 75_000_000


@pytest.mark.parametrize(
    "amount",
    [
        *("", ".", "1.", "-1", "+1", "1e3", "1,000.00", "0.0000001", " 1", "1\n", "٣", "1_000"),
        *("0x10", "1000000000.000001", "NaN", -1),
        *(Decimal("NaN"), Decimal("Infinity"), Decimal("1E-7")),
    ],
)
def test_what_is_no_plain_amount_is_refused(amount: Any) -> None:
    with pytest.raises(ValueError, match=r"plain decimal|largest"):
        to_micros(amount)


def test_a_float_is_refused_whatever_it_is() -> None:
    with pytest.raises(TypeError, match="float"):
        to_micros(75.0)  # type: ignore[arg-type]


def test_amounts_below_zero_are_written_too() -> None:
    assert str(to_decimal(-(2**63))) == "-9223372036854.775808"
