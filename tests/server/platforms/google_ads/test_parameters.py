"""Custom parameters: whatever we write, nobody else's is ever lost."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.platforms.google_ads import parameters

keys = st.from_regex(r"[A-Za-z0-9]{1,16}", fullmatch=True)
values = st.from_regex(r"[!-z]{0,30}", fullmatch=True)
existing_lists = st.lists(
    st.tuples(keys | st.sampled_from(["kikireq", "KIKILTV", "kikiwhy"]), values),
    max_size=parameters.MAX_PARAMETERS,
    unique_by=lambda parameter: parameter[0].lower(),
).map(tuple)
leaves = st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
documents = st.dictionaries(
    st.text(min_size=1, max_size=40),
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=4), max_leaves=8),
    max_size=8,
)


def struct(document: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(document)
    return made


def wanted(document: dict[str, Any], ltv_micros: int = 5) -> tuple[parameters.Parameter, ...]:
    return parameters.signal(
        request_id="bid-1",
        ltv_micros=ltv_micros,
        explanation=struct(document),
        ltv_in_click_urls=True,
    )


@given(existing_lists, documents)
def test_foreign_parameters_are_kept_unchanged_and_in_their_order(
    existing: tuple[parameters.Parameter, ...], document: dict[str, Any]
) -> None:
    merged = parameters.merge(existing, wanted(document))
    foreign = [parameter for parameter in existing if not parameters.is_ours(parameter[0])]
    assert list(merged.parameters[: len(foreign)]) == foreign


@given(existing_lists, documents)
def test_the_list_is_always_one_that_google_takes(
    existing: tuple[parameters.Parameter, ...], document: dict[str, Any]
) -> None:
    merged = parameters.merge(existing, wanted(document))
    assert len(merged.parameters) <= parameters.MAX_PARAMETERS
    lowered = [key.lower() for key, _ in merged.parameters]
    assert len(set(lowered)) == len(lowered)
    for key, value in merged.parameters:
        assert re.fullmatch(r"[A-Za-z0-9]{1,16}", key)
        assert re.fullmatch(r"[!-z|~]{0,200}", value)


@given(existing_lists, documents)
def test_each_of_ours_is_written_or_reported_as_dropped(
    existing: tuple[parameters.Parameter, ...], document: dict[str, Any]
) -> None:
    ours = wanted(document)
    merged = parameters.merge(existing, ours)
    assert merged.written + merged.dropped == tuple(key for key, _ in ours)


@given(existing_lists, documents)
def test_merging_twice_is_merging_once(
    existing: tuple[parameters.Parameter, ...], document: dict[str, Any]
) -> None:
    once = parameters.merge(existing, wanted(document))
    assert parameters.merge(once.parameters, wanted(document)) == once


@given(documents)
def test_an_explanation_is_whole_json_of_what_was_said(document: dict[str, Any]) -> None:
    encoded = parameters.encode_explanation(struct(document))
    assert len(encoded) <= parameters.MAX_VALUE_CHARS
    if not encoded:
        return
    decoded = json.loads(unquote(encoded))
    for key, value in decoded.items():
        said = document[key]
        assert value == said or (isinstance(said, str) and said.startswith(value))


def test_a_text_that_is_too_long_by_itself_is_cut() -> None:
    encoded = parameters.encode_explanation(struct({"why": "x" * 1000}))
    assert len(encoded) == parameters.MAX_VALUE_CHARS
    assert set(json.loads(unquote(encoded))["why"]) == {"x"}


def test_without_the_privacy_option_neither_ltv_nor_reasons_are_written() -> None:
    ours = parameters.signal(
        request_id="bid-1",
        ltv_micros=5,
        explanation=struct({"a": 1}),
        ltv_in_click_urls=False,
    )
    assert ours == ((parameters.MARKER, "bid-1"),)
