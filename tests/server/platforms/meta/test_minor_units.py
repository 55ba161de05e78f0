"""Amounts in Meta's minor units: exact both ways in the currencies of Meta's table, refused in all
others.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.money import MAX_MICROS, minor_unit_digits
from smartconnectors_server.platforms.meta import minor_units
from smartconnectors_server.platforms.meta.knobs import exact_units

# Meta's table, code and offset: a second copy, so that a slip in one of them shows.
OFFSETS = dict(
    re.findall(
        "([A-Z]{3}) ([0-9]+)",
        """
        DZD 100, ARS 100, AUD 100, BHD 100, BDT 100, BOB 100, BGN 100, BRL 100, GBP 100, CAD 100,
        CLP 1, CNY 100, COP 1, CRC 1, HRK 100, CZK 100, DKK 100, EGP 100, EUR 100, GTQ 100, HNL 100,
        HKD 100, HUF 1, ISK 1, INR 100, IDR 1, ILS 100, JPY 1, JOD 100, KES 100, KRW 1, LVL 100,
        LTL 100, MOP 100, MYR 100, MXN 100, NZD 100, NIO 100, NGN 100, NOK 100, PKR 100, PYG 1,
        PEN 100, PHP 100, PLN 100, QAR 100, RON 100, RUB 100, SAR 100, RSD 100, SGD 100, SKK 100,
        ZAR 100, SEK 100, CHF 100, TWD 1, THB 100, TRY 100, AED 100, UAH 100, USD 100, UYU 100,
        VEF 100, VND 1, VES 100
        """,
    )
)
_ISO = {currency.code for currency in Currency}
CURRENCIES = sorted(OFFSETS)
PRESENT = sorted(OFFSETS.keys() & _ISO)
"""Without those that are history: no budget can be in them."""
NOT_LISTED = sorted(_ISO - OFFSETS.keys())
# Where Meta's table is not ISO 4217's.
NOT_AS_ISO = ("COP", "CRC", "HUF", "IDR", "TWD", "BHD", "JOD")


@given(st.sampled_from(CURRENCIES), st.integers(0, MAX_MICROS))
def test_minor_units_come_back_as_they_were(currency_code: str, units: int) -> None:
    micros = minor_units.to_micros(units, currency_code)
    assert minor_units.from_micros(micros, currency_code) == units


@given(st.sampled_from(PRESENT), st.integers(1, MAX_MICROS))
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


@pytest.mark.parametrize("currency_code", CURRENCIES)
def test_every_currency_of_metas_table_has_its_offset(currency_code: str) -> None:
    assert 10 ** minor_units.digits_of(currency_code) == int(OFFSETS[currency_code])


@pytest.mark.parametrize("currency_code", NOT_AS_ISO)
def test_metas_own_table_wins_over_iso(currency_code: str) -> None:
    assert minor_units.digits_of(currency_code) != minor_unit_digits(currency_code)


@pytest.mark.parametrize("currency_code", [*NOT_LISTED, "ZZZ", "", "usd", "FBZ"])
def test_a_currency_that_metas_table_lacks_has_no_minor_unit(currency_code: str) -> None:
    for ask in (
        minor_units.digits_of,
        minor_units.unit_micros,
        lambda code: minor_units.to_micros(1, code),
        lambda code: minor_units.from_micros(1, code),
    ):
        with pytest.raises(minor_units.UndocumentedCurrency, match="does not list"):
            ask(currency_code)


def test_the_field_that_names_a_currency_which_is_not_listed_is_named() -> None:
    minor_units.check("bid.currency_code", "USD")
    with pytest.raises(InvalidBid, match=r"bid\.currency_code: Meta's table .* KWD"):
        minor_units.check("bid.currency_code", "KWD")


@pytest.mark.parametrize(
    ("micros", "currency_code", "units"),
    [
        (12_340_000, "USD", 1234),
        (1_500_000_000, "JPY", 1500),
        (1_230_000, "BHD", 123),
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
