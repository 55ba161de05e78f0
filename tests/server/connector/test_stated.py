"""What a setting is worth, and which amounts agree with it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.connector import Stated, by_amount, by_roas

USD = 1_000_000
CENT = 10_000
MICROS = st.integers(1, 10**15)


def roas(ltv: int, millionths: int) -> Stated:
    return by_roas("roas", millionths, scale=1_000_000, ltv_micros=ltv)


def test_a_roas_stands_for_ltv_by_roas() -> None:
    assert roas(30 * USD, 2_500_000).micros == 12 * USD


def test_a_worth_between_two_micros_counts_as_the_upper_one() -> None:
    assert roas(10, 3_000_000).micros == 4


def test_without_an_ltv_a_roas_says_what_it_needs() -> None:
    stated = by_roas("roas", 2_000_000, scale=1_000_000, ltv_micros=0)
    assert (stated.needs, stated.micros) == ("bid.predicted_ltv_micros", 0)
    assert not stated.agrees(1, CENT)


def test_what_names_nothing_is_worth_nothing_known() -> None:
    assert (Stated().field, Stated().micros) == ("", 0)


@pytest.mark.parametrize(
    ("bid", "agrees"),
    [
        (5_405_405, True),  # 20 / 3.7, rounded down to a micro
        (5_405_406, True),
        (5_405_404, False),
        (5_400_000, True),  # rounded down to a cent
        (5_410_000, True),
        (5_390_000, False),
        (5_420_000, False),
        (5_409_999, False),  # no whole cents, so no rounding to cents
        (1, False),
    ],
)
def test_an_amount_agrees_to_the_micro_or_to_the_minor_unit(bid: int, agrees: bool) -> None:
    assert roas(20 * USD, 3_700_000).agrees(bid, CENT) is agrees


def test_a_worth_below_a_minor_unit_agrees_with_no_single_micro() -> None:
    assert not roas(9_999, 1_000_000).agrees(1, CENT)


@given(ltv=MICROS, bid=MICROS)
def test_the_roas_that_the_platform_would_make_of_a_bid_agrees_with_it(ltv: int, bid: int) -> None:
    rounded = (2 * ltv * 1_000_000 + bid) // (2 * bid)
    if rounded:
        assert roas(ltv, rounded).agrees(bid, CENT)


@given(ltv=MICROS, millionths=st.integers(10_000, 10**9))
def test_the_amount_that_a_roas_is_worth_agrees_with_it(ltv: int, millionths: int) -> None:
    stated = roas(ltv, millionths)
    assert stated.agrees(stated.micros, CENT)


@given(ltv=MICROS, millionths=st.integers(10_000, 10**9), bid=MICROS)
def test_an_amount_that_agrees_is_at_least_half_of_what_is_set(
    ltv: int, millionths: int, bid: int
) -> None:
    stated = roas(ltv, millionths)
    if stated.agrees(bid, CENT):
        assert stated.worth is not None
        assert stated.worth < 2 * bid or stated.worth < bid + Fraction(ltv, 1_000)


@given(cpm=MICROS, bid=MICROS)
def test_an_amount_of_its_own_agrees_with_itself_alone(cpm: int, bid: int) -> None:
    assert by_amount("cpm", cpm).agrees(bid, CENT) is (bid == cpm)
