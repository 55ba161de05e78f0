"""Secrets in what a platform says: gone, however they are written."""

from __future__ import annotations

import base64
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.connector.secrecy import HIDDEN, hidden

SECRET = "s3cret+with/signs=="


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        SECRET.encode().hex(),
    ],
)
def test_a_secret_is_hidden_however_it_is_written(written: str) -> None:
    assert hidden(f"no such token: {written}.", [SECRET]) == f"no such token: {HIDDEN}."


@given(before=st.binary(max_size=8), after=st.binary(max_size=8))
def test_of_base64_no_more_than_the_edges_of_a_secret_remain(before: bytes, after: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        code = encode(before + SECRET.encode() + after).decode()
        rest = hidden(code, [SECRET])
        assert HIDDEN in rest
        assert len(rest) - len(HIDDEN) <= len(code) - 4 * (len(SECRET) // 3) + 8


def test_what_is_not_secret_stays() -> None:
    assert hidden("account 17 is closed", ["", SECRET]) == "account 17 is closed"
