"""`bid` and `get`: what is sent for what was typed, and what is said of the answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from smartconnectors.common.v1.bid_pb2 import (
    BID_SOURCE_AI,
    BID_SOURCE_FALLBACK,
    BID_STATUS_DEFERRED,
    BID_STATUS_PLACED,
    CIRCUIT_STATE_CLOSED,
    CIRCUIT_STATE_OPEN,
    BidResponse,
)
from smartconnectors.common.v1.budget_pb2 import BudgetStats
from smartconnectors.common.v1.connector_pb2 import BidError
from smartconnectors.common.v1.errors_pb2 import ERROR_REASON_PLATFORM_REJECTED
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as google_ads_pb2
from smartconnectors.google_ads.v1.google_ads_service_pb2 import (
    BIDDING_FIELD_CAMPAIGN_TARGET_ROAS,
    GoogleAdsBid,
    PlaceBidResponse,
)
from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2

if TYPE_CHECKING:
    from tests.server.cli.conftest import CannedServer, Cli

BUDGET = BudgetStats(
    budget_id="google_ads",
    limit_micros=500_000_000,
    committed_micros=225_000_000,
    remaining_micros=275_000_000,
    currency_code="USD",
)
HALF_SPENT = "$225.00 of $500.00 committed (45 %), $275.00 remaining"
PLACED = PlaceBidResponse(
    result=BidResponse(
        request_id="r1",
        status=BID_STATUS_PLACED,
        source=BID_SOURCE_AI,
        bid_micros=75_000_000,
        currency_code="USD",
        circuit_state=CIRCUIT_STATE_CLOSED,
        budget=BUDGET,
    ),
    google_ads=GoogleAdsBid(
        resource_name="customers/1/campaigns/1001",
        field=BIDDING_FIELD_CAMPAIGN_TARGET_ROAS,
        target_roas=4.0,
    ),
)
BID = ("bid", "google_ads", "--campaign", "1001", "--amount", "75.00", "--ltv", "300.00")


def test_a_placed_bid_is_told_with_what_the_budget_has_left(ask: Cli, server: CannedServer) -> None:
    server.will("PlaceBid", PLACED)
    ended = ask(*BID)
    assert ended.exit_code == 0
    assert ended.out.splitlines() == [
        f"google_ads: $75.00 PLACED (source=ai). Budget: {HALF_SPENT}",
        "set campaign_target_roas = 4 on customers/1/campaigns/1001",
        "request id: r1",
    ]
    assert ended.err == ""


def test_amounts_are_sent_as_exact_micros_under_a_random_id(ask: Cli, server: CannedServer) -> None:
    server.will("PlaceBid", PLACED)
    ask("bid", "google_ads", "--campaign", "1001", "--amount", "0.1", "--ltv", "1.000001")
    ask("bid", "google_ads", "--campaign", "1001")
    first, second = (request.bid for request in server.requests)
    assert (first.bid_micros, first.predicted_ltv_micros) == (100_000, 1_000_001)
    assert not second.HasField("bid_micros"), "without an amount the service prices it"
    assert re.fullmatch("[0-9a-f]{32}", first.request_id)
    assert first.request_id != second.request_id


def test_every_option_reaches_the_server(ask: Cli, server: CannedServer) -> None:
    server.will("PlaceBid", PLACED)
    ask(
        *BID,
        *("--request-id", "mine", "--currency", "EUR", "--customer", "c7"),
        *("--reduce-only", "--validate-only"),
        *("--explain", "orders=3", "--explain", "segment=loyal", "--explain", "score=NaN"),
    )
    assert MessageToDict(server.requests[0], preserving_proto_field_name=True) == {
        "bid": {
            "request_id": "mine",
            "customer_id": "c7",
            "campaign_id": "1001",
            "predicted_ltv_micros": "300000000",
            "bid_micros": "75000000",
            "currency_code": "EUR",
            "explanation": {"orders": 3.0, "segment": "loyal", "score": "NaN"},
            "reduce_only": True,
            "validate_only": True,
        },
        "target_roas": {},
    }


@pytest.mark.parametrize(
    ("options", "knob", "value"),
    [
        ((), "target_roas", {}),
        (("--knob", "target_cpa"), "target_cpa", {}),
        (("--knob", "manual_cpc", "--ad-group", "77"), "manual_cpc", {"ad_group_id": "77"}),
    ],
)
def test_the_knob_is_what_was_asked_for(
    ask: Cli, server: CannedServer, options: tuple[str, ...], knob: str, value: object
) -> None:
    server.will("PlaceBid", PLACED)
    ask(*BID, *options)
    sent = MessageToDict(server.requests[0], preserving_proto_field_name=True)
    assert {key: sent[key] for key in sent if key != "bid"} == {knob: value}


def test_a_deferred_bid_says_who_priced_it_and_why_it_waits(ask: Cli, server: CannedServer) -> None:
    answer = PlaceBidResponse(
        result=BidResponse(
            request_id="r1",
            status=BID_STATUS_DEFERRED,
            source=BID_SOURCE_FALLBACK,
            bid_micros=75_000_000,
            uncapped_fallback_micros=250_000_000,
            currency_code="USD",
            circuit_state=CIRCUIT_STATE_OPEN,
            replayed=True,
            budget=BUDGET,
        )
    )
    answer.result.budget.deferred_micros = 75_000_000
    answer.result.budget.remaining_micros = 200_000_000
    server.will("PlaceBid", answer)
    assert ask(*BID).out.splitlines()[0] == (
        "google_ads: $75.00 DEFERRED (source=fallback, circuit=open, uncapped=$250.00, replayed: "
        "the stored answer of an earlier call). Budget: $225.00 of $500.00 committed (45 %), "
        "$75.00 deferred, $200.00 remaining"
    )


def test_json_is_the_contracts_own_with_every_field_and_int64_as_strings(
    ask: Cli, server: CannedServer
) -> None:
    server.will("PlaceBid", PLACED)
    document = ask(*BID, "--json").document
    assert document["result"]["bid_micros"] == "75000000"
    assert document["result"]["status"] == "BID_STATUS_PLACED"
    assert document["result"]["replayed"] is False
    assert document["result"]["budget"]["held_micros"] == "0"


def test_a_veto_is_told_in_the_servers_words_with_reason_and_retry_time(
    ask: Cli, server: CannedServer
) -> None:
    message = "google_ads: $300.00 does not fit: $275.00 committed + $0.00 held of $500.00"
    server.refuses(
        "PlaceBid",
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "BUDGET_EXCEEDED",
        message,
        retry_after_s=372,
    )
    ended = ask(*BID, "--request-id", "mine")
    assert ended.exit_code == 1
    assert ended.out == ""
    assert ended.err.splitlines() == [
        message,
        "reason: BUDGET_EXCEEDED; retry in 6 min 12 s",
    ]
    assert len(server.requests) == 1


def test_when_the_outcome_is_not_known_the_way_to_learn_it_is_told(
    ask: Cli, server: CannedServer
) -> None:
    server.refuses("PlaceBid", grpc.StatusCode.UNKNOWN, "OUTCOME_UNKNOWN", "No answer in 5 s.")
    ended = ask(*BID, "--request-id", "mine")
    assert ended.exit_code == 1
    assert "ask again with --request-id mine" in ended.err


def test_a_veto_with_json_is_one_error_document(ask: Cli, server: CannedServer) -> None:
    server.refuses(
        "PlaceBid",
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_BID",
        "bid.campaign_id: is empty",
        metadata={"field": "1"},
        violations={"bid.campaign_id": "is empty"},
    )
    ended = ask(*BID, "--request-id", "mine", "--json")
    assert ended.exit_code == 1
    assert ended.err == ""
    assert ended.document == {
        "error": {
            "reason": "INVALID_BID",
            "code": "INVALID_ARGUMENT",
            "message": "bid.campaign_id: is empty",
            "metadata": {"field": "1"},
            "retry_after_s": None,
            "violations": [{"field": "bid.campaign_id", "description": "is empty"}],
            "request_id": "mine",
        }
    }


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--amount", "7,50"), "--amount"),
        (("--ltv", "-1"), "--ltv"),
        (("--explain", "orders"), "--explain"),
        (("--knob", "manual_cpc"), "--ad-group"),
        (("--ad-group", "7"), "--ad-group"),
        (("--timeout-ms", "0"), "--timeout-ms"),
        (("--ad-set", "7"), "--ad-set"),
        (("--open-rtb", "x.json"), "--open-rtb"),
    ],
)
def test_what_is_typed_wrong_names_its_option_and_asks_nobody(
    ask: Cli, server: CannedServer, options: tuple[str, ...], named: str
) -> None:
    ended = ask(*BID, *options)
    assert ended.exit_code == 2
    assert named in ended.err
    assert server.requests == []


def test_an_unknown_platform_is_refused_with_those_that_there_are(cli: Cli) -> None:
    ended = cli("bid", "gogle_ads", "--campaign", "1001")
    assert ended.exit_code == 2
    assert "google_ads" in ended.err


def test_what_became_of_a_bid_is_told_like_its_own_answer(ask: Cli, server: CannedServer) -> None:
    answer = google_ads_pb2.BidAnswer(request_id="r1", response=PLACED)
    server.will("google_ads/GetBid", google_ads_pb2.GetBidResponse(answer=answer))
    ended = ask("get", "google_ads", "r1")
    assert ended.exit_code == 0
    assert ended.out.splitlines() == [
        f"google_ads: $75.00 PLACED (source=ai). Budget: {HALF_SPENT}",
        "set campaign_target_roas = 4 on customers/1/campaigns/1001",
        "request id: r1",
    ]
    document = ask("get", "google_ads", "r1", "--json").document
    assert document["response"]["result"]["status"] == "BID_STATUS_PLACED"


def test_an_operator_asks_for_another_callers_bid(ask: Cli, server: CannedServer) -> None:
    answer = google_ads_pb2.BidAnswer(request_id="r1", response=PLACED)
    server.will("google_ads/GetBid", google_ads_pb2.GetBidResponse(answer=answer))
    assert ask("get", "google_ads", "r1", "--caller", "alice").exit_code == 0
    assert server.requests == [google_ads_pb2.GetBidRequest(request_id="r1", caller="alice")]


def test_what_became_of_a_refused_bid_is_why(ask: Cli, server: CannedServer) -> None:
    error = BidError(
        code=9, reason=ERROR_REASON_PLATFORM_REJECTED, message="Meta refused it: too low."
    )
    error.retry_after.FromMilliseconds(1500)
    answer = meta_pb2.BidAnswer(request_id="r1", error=error)
    server.will("meta/GetBid", meta_pb2.GetBidResponse(answer=answer))
    ended = ask("get", "meta", "r1")
    assert ended.exit_code == 0, "the question was answered"
    assert ended.out.splitlines() == [
        "meta: refused: PLATFORM_REJECTED: Meta refused it: too low.; retry in 1.5 s",
        "request id: r1",
    ]


def test_a_bid_that_nobody_knows_is_said_so(ask: Cli, server: CannedServer) -> None:
    server.refuses("meta/GetBid", grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "no bid is known")
    ended = ask("get", "meta", "r1")
    assert ended.exit_code == 1
    assert ended.err.splitlines() == ["no bid is known", "reason: NOT_FOUND"]
