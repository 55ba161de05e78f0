"""Tokens and their file: what is made can be read, what is wrong is said without repeating it."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.server.access.stage import entry

from smartconnectors_server.access import Caller, Role, Scope
from smartconnectors_server.access.tokens import KEY, TokenEntry, hash_of, new_token, read_tokens
from smartconnectors_server.access.watched import Unusable

NAMES = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=3).map(tuple)


def read(text: str) -> dict[str, Caller]:
    return dict(read_tokens({KEY: text.encode()}))


def test_an_entry_says_who_shows_a_token_and_what_they_may_do() -> None:
    text = entry(
        "t",
        "operate",
        "alice",
        platforms=["meta"],
        campaigns=["1"],
        expires_at="2027-01-01T00:00:00Z",
    )
    until = dt.datetime(2027, 1, 1, tzinfo=dt.UTC).timestamp()
    assert read(text) == {
        hash_of("t"): Caller(
            "alice", Role.OPERATE, Scope.of(["meta"], ["1"]), round(until) * 1_000_000_000
        )
    }


def test_no_two_tokens_are_alike_and_none_is_short() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 43


def test_the_old_and_the_new_token_of_a_caller_may_both_be_in_the_file_under_two_names() -> None:
    both = read(entry("old", name="model") + entry("new", name="model-2"))
    assert set(both) == {hash_of("old"), hash_of("new")}


def test_two_tokens_of_one_name_are_refused_by_it() -> None:
    with pytest.raises(Unusable, match=r"two are called somebody$"):
        read(entry("old") + entry("new"))


def test_an_empty_file_knows_nobody() -> None:
    assert read("") == {}


@given(
    platforms=st.none() | NAMES,
    campaigns=st.none() | NAMES,
    expires=st.none() | st.datetimes(timezones=st.just(dt.UTC)),
)
def test_an_entry_is_read_as_it_was_written(
    platforms: tuple[str, ...] | None,
    campaigns: tuple[str, ...] | None,
    expires: dt.datetime | None,
) -> None:
    written = TokenEntry(
        name="a",
        hash=hash_of("t"),
        role="read",
        platforms=platforms,
        campaigns=campaigns,
        expires_at=expires,
    )
    assert read(written.text()) == {hash_of("t"): written.caller()}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[tokens]\n", "line 1"),
        ("token = 1\n", "token: unknown key"),
        (entry("t", "admin"), "tokens.0.role"),
        (entry("t", name="anonymous"), "tokens.0.name"),
        (entry("t", name="a b"), "tokens.0.name"),
        (entry("t", platforms=[]), "tokens.0.platforms"),
        (entry("t", expires_at="2027-01-01T00:00:00"), "tokens.0.expires_at"),
        (entry("t") + entry("t"), "twice"),
        ('[[tokens]]\nname = "a"\nrole = "bid"\nhash = "sc_itself"\n', "tokens.0.hash"),
        ("a = " + "[" * 5000, "nested"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_what_is_wrong_in_it(text: str, why: str) -> None:
    with pytest.raises(Unusable, match=why) as caught:
        read(text)
    assert "sc_" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(Unusable, match="not text"):
        read_tokens({KEY: b"\xff"})


def test_a_name_that_a_log_line_cannot_bear_is_refused() -> None:
    with pytest.raises(ValidationError):
        TokenEntry(name="a\nb", hash=hash_of("t"), role="read")
