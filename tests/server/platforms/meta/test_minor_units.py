"""Amounts in Meta's minor units: exact both ways, in every currency there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.money import MAX_MICROS, InvalidAmount, minor_unit_digits
from smartconnectors_server.platforms.meta import minor_units
from smartconnectors_server.platforms.meta.knobs import exact_units

CURRENCIES = sorted(currency.code for currency in Currency)

# Meta's own table where it is not ISO's: currency -> minor units in one unit.
NOT_AS_ISO = {"COP": 1, "CRC": 1, "HUF": 1, "IDR": 1, "TWD": 1, "BHD": 100, "JOD": 100}
# The rest of Meta's table whose minor unit is not a hundredth.
AS_ISO = {"CLP": 1, "ISK": 1, "JPY": 1, "KRW": 1, "PYG": 1, "VND": 1}


@given(st.sampled_from(CURRENCIES), st.integers(0, MAX_MICROS))
def test_minor_units_come_back_as_they_were(currency_code: str, units: int) -> None:
    micros = minor_units.to_micros(units, currency_code)
    assert minor_units.from_micros(micros, currency_code) == units


@given(st.sampled_from(CURRENCIES), st.integers(1, MAX_MICROS))
def test_an_amount_is_exact_or_refused(currency_code: str, micros: int) -> None:
    unit_micros = minor_units.unit_micros(currency_code)
    if micros % unit_micros:
        with pytest.raises(InvalidBid, match=r"bid\.bid_micros: a multiple of"):
            exact_units("bid.bid_micros", micros, currency_code)
    else:
        units = exact_units("bid.bid_micros", micros, currency_code)
        assert minor_units.to_micros(units, currency_code) == micros


@pytest.mark.parametrize("currency_code", CURRENCIES)
def test_a_unit_of_every_currency_is_a_whole_number_of_minor_units(currency_code: str) -> None:
    units = minor_units.from_micros(1_000_000, currency_code)
    assert units == 10 ** minor_units.digits_of(currency_code)


@pytest.mark.parametrize("currency_code", sorted(NOT_AS_ISO))
def test_metas_own_table_wins_over_iso(currency_code: str) -> None:
    assert 10 ** minor_units.digits_of(currency_code) == NOT_AS_ISO[currency_code]
    assert 10 ** minor_unit_digits(currency_code) != NOT_AS_ISO[currency_code]


@pytest.mark.parametrize("currency_code", sorted(set(CURRENCIES) - set(NOT_AS_ISO)))
def test_every_other_currency_is_as_iso_has_it(currency_code: str) -> None:
    digits = minor_units.digits_of(currency_code)
    assert digits == minor_unit_digits(currency_code)
    assert 10**digits == AS_ISO.get(currency_code, 10**digits)


@pytest.mark.parametrize(
    ("micros", "currency_code", "units"),
    [
        (12_340_000, "USD", 1234),
        (1_500_000_000, "JPY", 1500),
        (1_234_000, "KWD", 1234),
        (5_000_000_000, "COP", 5000),
        (5_010_000, "JOD", 501),
    ],
)
def test_examples(micros: int, currency_code: str, units: int) -> None:
    assert minor_units.from_micros(micros, currency_code) == units


@pytest.mark.parametrize("micros", [0, -10_000])
def test_nothing_is_no_bid(micros: int) -> None:
    with pytest.raises(InvalidBid):
        exact_units("bid.bid_micros", micros, "USD")


def test_a_currency_that_does_not_exist_has_no_minor_unit() -> None:
    with pytest.raises(InvalidAmount):
        minor_units.digits_of("ZZZ")
