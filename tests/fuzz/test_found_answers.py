"""Answers that once broke a promise, by what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.fuzz.answers import Case, open_answers
from tests.fuzz.middle import Poison
from tests.fuzz.mutations import SECRET, Edit, RawEdit

FOUND = {
    "a row of Google's without its campaign": Case(
        "google_ads/yen", Poison("plan", 0, (Edit("delete", 5),))
    ),
    "a row of Google's without its account": Case(
        "google_ads/yen", Poison("plan", 0, (Edit("replace", 6, "campaigns/2011"),))
    ),
    "an ad group of Google's that is not in its row": Case(
        "google_ads/manual_cpc", Poison("plan", 0, (Edit("delete", 15),))
    ),
    "a token of Google's that no header can carry": Case(
        "google_ads/yen", Poison("connect", 0, (Edit("replace", 1, "a\nb"),))
    ),
    "a mutate of Google's that names nothing it changed": Case(
        "google_ads/yen", Poison("send", 0, (Edit("replace", 3, {}),))
    ),
    "an error of Meta's without a code": Case(
        "meta/budget_increase", Poison("send", 0, (Edit("replace", 0, {"error": {}}),), status=400)
    ),
    "a flight of The Trade Desk's that is another one": Case(
        "trade_desk/budget_increase", Poison("send", 0, (Edit("next", 1),))
    ),
    "an answer of The Trade Desk's about nothing": Case(
        "trade_desk/budget_increase", Poison("send", 0, (Edit("replace", 0, {}),))
    ),
    "an ad group of The Trade Desk's that is another one": Case(
        "trade_desk/ad_group", Poison("send", 0, (Edit("replace", 1, "10012"),))
    ),
    "a quota header of Meta's that echoes the token": Case(
        "meta/bid_cap",
        Poison("plan", 0, headers=(("X-App-Usage", f'{{"call_count": 1, "a": "{SECRET}"}}'),)),
    ),
    "a refusal of Meta's with half a character": Case(
        "meta/bid_cap",
        Poison(
            "send",
            0,
            (Edit("replace", 0, {"error": {"code": 100, "message": "no \ud83d"}}),),
            status=400,
        ),
    ),
    "a refusal of Meta's as long as a book": Case(
        "meta/bid_cap",
        Poison(
            "send",
            0,
            (Edit("replace", 0, {"error": {"code": 100, "message": "x" * 9_000}}),),
            status=400,
        ),
    ),
    "a trace id of Meta's that is not UTF-8": Case(
        "meta/bid_cap", Poison("send", 0, headers=(("X-Fb-Trace-Id", "\udcff"),))
    ),
    "a refusal of The Trade Desk's that ends in the token": Case(
        "trade_desk/ad_group",
        Poison("send", 0, (Edit("replace", 0, {"Message": "x" * 486 + SECRET}),), status=400),
    ),
    "an id of The Trade Desk's with half a character": Case(
        "trade_desk/ad_group", Poison("plan", 0, (Edit("replace", 3, "1\ud83d"),))
    ),
    "an amount of Meta's without end": Case(
        "meta/bid_cap", Poison("plan", 0, (Edit("replace", 15, float("inf")),))
    ),
    "an amount of Meta's beyond any": Case(
        "meta/budget_increase", Poison("plan", 0, (Edit("replace", 17, 10**30),))
    ),
    "half a unit of Meta's in a look at what became of a change": Case(
        "meta/bid_cap", Poison("look", 0, (Edit("fraction", 14),))
    ),
    "a code of Meta's in a batch beyond any": Case(
        "meta/batch", Poison("send", 0, (Edit("replace", 2, 10**400),))
    ),
    "a token of The Trade Desk's that is empty": Case(
        "trade_desk/login", Poison("connect", -1, (Edit("replace", 1, ""),))
    ),
    "an answer that is nested deeper than any": Case(
        "trade_desk/ad_group", Poison("send", 0, raw=RawEdit("deep", 2000))
    ),
}


@pytest.fixture(scope="module")
def fuzz_answers() -> Iterator[Callable[[Case], None]]:
    with open_answers() as fuzz:
        yield fuzz


@pytest.mark.parametrize("what", FOUND)
def test_it_breaks_no_promise_any_more(fuzz_answers: Callable[[Case], None], what: str) -> None:
    fuzz_answers(FOUND[what])
