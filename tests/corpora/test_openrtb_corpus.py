"""Every bid request of the corpus gets a good bid response or a no-bid with its reason."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from smartconnectors_server.errors import NoBid
from smartconnectors_server.platforms.trade_desk.open_rtb import Ask, author

if TYPE_CHECKING:
    from tests.corpora.conftest import Judge, MakeOffer

# name -> (what the account is otherwise, the price in micros for a thousand impressions)
BIDDERS: dict[str, tuple[dict[str, Any], int]] = {
    "a dollar account that pays well": ({}, 20_000_000),
    "a dollar account that pays next to nothing": ({}, 10_000),
    "a euro account": ({"currency_code": "EUR"}, 3_141_593),
    "an account that advertises an app": ({"app_bundle": "com.example.app"}, 7_000_000),
}


def no_bid_response(no_bid: NoBid) -> Any:
    """What the exchange is answered; the caller has a number, a rule and a sentence beside it."""
    response = json.loads(no_bid.metadata["bid_response_json"])
    assert response["nbr"] == int(no_bid.metadata["nbr"])
    assert no_bid.metadata["rule"]
    assert re.fullmatch(r"No bid: .+\. Nothing was sent\.", no_bid.message)
    return response


@pytest.mark.parametrize("bidder", BIDDERS)
def test_every_request_is_answered_by_the_rules_or_declined_with_a_reason(
    corpus: list[str],
    response_schema: Any,
    make_offer: MakeOffer,
    broken_rules: Judge,
    bidder: str,
) -> None:
    otherwise, price_cpm_micros = BIDDERS[bidder]
    offer = make_offer(**otherwise)
    schema = jsonschema.Draft7Validator(response_schema)
    answered, declined = 0, 0
    for number, request in enumerate(corpus):
        ask = Ask(f"bid-{number}", price_cpm_micros, "", "", {"request_id": f"bid-{number}"})
        try:
            response_json = author(request, offer, ask).response_json
        except NoBid as no_bid:
            declined += 1
            response = no_bid_response(no_bid)
            assert response["id"] == json.loads(request)["id"]
        else:
            answered += 1
            response = json.loads(response_json)
            assert broken_rules(request, response_json) == [], (number, request, response_json)
        assert [error.message for error in schema.iter_errors(response)] == [], (number, response)
    assert answered + declined == len(corpus)
    assert answered
    assert declined


def test_most_requests_in_the_accounts_currency_are_bid_on(
    corpus: list[str], make_offer: MakeOffer
) -> None:
    offer, answered = make_offer(), 0
    for request in corpus:
        try:
            author(request, offer, Ask("bid", 20_000_000, "", "", {}))
        except NoBid:
            continue
        answered += 1
    assert answered > 0.7 * len(corpus)
