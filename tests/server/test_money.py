"""Money is exact: what is parsed is what was written, what is shown is what is held."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.money import (
    MAX_MICROS,
    InvalidAmount,
    format_amount,
    minor_unit_digits,
    parse_amount,
)

amounts = st.integers(0, MAX_MICROS)


@given(amounts, st.sampled_from(["USD", "EUR", "JPY", "KWD", "BRL", "CLF"]))
def test_a_formatted_amount_reads_back_as_the_same_micros(micros: int, currency: str) -> None:
    digits = format_amount(micros, currency).lstrip("$€£¥ABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    assert parse_amount(digits.replace(",", "")) == micros


@given(amounts)
def test_a_decimal_amount_is_parsed_exactly(micros: int) -> None:
    assert parse_amount(str(Decimal(micros) / 1_000_000)) == micros


@given(amounts, st.sampled_from(["USD", "JPY", "KWD"]))
def test_an_amount_shows_at_least_the_digits_of_its_currency(micros: int, currency: str) -> None:
    _, _, fraction = format_amount(micros, currency).partition(".")
    assert len(fraction) >= minor_unit_digits(currency)


@pytest.mark.parametrize(
    ("micros", "currency", "text"),
    [
        (300_000_000, "USD", "$300.00"),
        (0, "USD", "$0.00"),
        (1_234_567_890_000, "USD", "$1,234,567.89"),
        (12_500_000, "EUR", "€12.50"),
        (1, "GBP", "£0.000001"),
        (1_005_000, "USD", "$1.005"),
        (1_500_000_000, "JPY", "¥1,500"),
        (1_500_500_000, "JPY", "¥1,500.5"),
        (1_250_000, "KWD", "KWD 1.250"),
        (1_000, "KWD", "KWD 0.001"),
        (-12_500_000, "USD", "-$12.50"),
        (MAX_MICROS, "USD", "$1,000,000,000.00"),
    ],
)
def test_an_amount_is_written_as_people_write_it(micros: int, currency: str, text: str) -> None:
    assert format_amount(micros, currency) == text


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("500.00", 500_000_000),
        ("500", 500_000_000),
        (" 0.000001 ", 1),
        ("0", 0),
        (".5", 500_000),
        ("1000000000", MAX_MICROS),
        ("1.0000000000", 1_000_000),
        ("007.50", 7_500_000),
        ("5.", 5_000_000),
        ("-0.00", 0),
    ],
)
def test_an_amount_may_be_written_with_or_without_decimals(text: str, micros: int) -> None:
    assert parse_amount(text) == micros


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NaN", "plain decimal"),
        ("sNaN", "plain decimal"),
        ("Infinity", "plain decimal"),
        ("-Infinity", "plain decimal"),
        ("-0.01", "negative"),
        ("-5", "negative"),
        ("1000000000.000001", "above the largest"),
        ("10000000000", "above the largest"),
        ("1000000000.0000000000000000000000000001", "finer than one micro"),
        ("1e400", "plain decimal"),
        ("1e999999999", "plain decimal"),
        ("5e2", "plain decimal"),
        ("1E-6", "plain decimal"),
        ("0.0000001", "finer than one micro"),
        ("1.00000000000000000000000000000000001", "finer than one micro"),
        ("", "plain decimal"),
        (".", "plain decimal"),
        ("-", "plain decimal"),
        ("+5", "plain decimal"),
        ("five", "plain decimal"),
        ("1,000.00", "plain decimal"),
        ("1_000", "plain decimal"),
        ("$5", "plain decimal"),
        ("1.2.3", "plain decimal"),
        ("٣", "plain decimal"),
        ("9" * 5000, "above the largest"),
    ],
)
def test_what_is_not_an_exact_amount_is_refused_and_the_message_says_why(
    text: str, expected: str
) -> None:
    with pytest.raises(InvalidAmount, match=expected):
        parse_amount(text)


@pytest.mark.parametrize(("currency", "digits"), [("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_minor_units_are_those_of_iso_4217(currency: str, digits: int) -> None:
    assert minor_unit_digits(currency) == digits


@pytest.mark.parametrize("currency", ["", "usd", "XYZ", "US", "USDT"])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(InvalidAmount, match="ISO 4217"):
        minor_unit_digits(currency)
    with pytest.raises(InvalidAmount, match="ISO 4217"):
        format_amount(1, currency)


def test_a_refusal_quotes_no_more_than_the_beginning_of_a_long_text() -> None:
    with pytest.raises(InvalidAmount) as refused:
        parse_amount("9" * 5000)
    assert len(str(refused.value)) < 120


@given(st.text(max_size=12))
def test_no_text_raises_anything_but_invalid_amount(text: str) -> None:
    try:
        micros = parse_amount(text)
    except InvalidAmount:
        return
    assert 0 <= micros <= MAX_MICROS
