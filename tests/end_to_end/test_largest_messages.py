"""What the contract permits fits into what the server takes, and every answer arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import struct_pb2

from smartconnectors.client import Client, channel_options
from smartconnectors.common.v1 import bid_pb2, errors_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2
from smartconnectors_server.interceptors.validation import MAX_EXPLANATION_BYTES
from smartconnectors_server.listening import ConnectionRules
from smartconnectors_server.settings import ServerSettings

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Stage

MANY = 1000
WIDEST = "\U0001f600"
"""A character that takes four bytes."""
LARGEST = 10**15


def explanation() -> struct_pb2.Struct:
    """The longest that is permitted."""
    made = struct_pb2.Struct()
    text = "x" * (MAX_EXPLANATION_BYTES - 40)
    made["why"] = text
    made["why"] = text + "x" * (MAX_EXPLANATION_BYTES - made.ByteSize())
    assert made.ByteSize() == MAX_EXPLANATION_BYTES
    return made


def longest(number: int) -> bid_pb2.BidRequest:
    """A bid with every field as long as the contract allows."""
    return bid_pb2.BidRequest(
        request_id=f"{number:064d}",
        customer_id=WIDEST * 128,
        campaign_id=WIDEST * 64,
        audience_id=WIDEST * 128,
        predicted_ltv_micros=LARGEST,
        bid_micros=LARGEST,
        currency_code="USD",
        explanation=explanation(),
        account="a" * 32,
    )


def test_a_thousand_of_the_longest_bids_fit_into_one_message() -> None:
    limit = ServerSettings().max_message_bytes
    bids = [longest(number) for number in range(MANY)]
    google = ads_pb2.PlaceBidsRequest(bids=[ads_pb2.PlaceBidRequest(bid=bid) for bid in bids])
    meta = meta_pb2.PlaceBidsRequest(
        bids=[
            meta_pb2.PlaceBidRequest(
                bid=bid, bid_cap=meta_pb2.BidCap(optimization_goal=WIDEST * 64)
            )
            for bid in bids
        ]
    )
    # Room for what a platform adds: an ad group's or ad set's id, flags, caps.
    assert google.ByteSize() + MANY * 512 < limit
    assert meta.ByteSize() + MANY * 512 < limit


async def test_a_thousand_bids_with_the_longest_explanations_are_answered_one_by_one(
    stage: Stage,
) -> None:
    server = await stage.serve(budget={"limit": "100000"})
    bids = [
        ads_pb2.PlaceBidRequest(
            bid=bid_pb2.BidRequest(
                request_id=f"r{number}",
                campaign_id=str(500_000 + number),
                bid_micros=1_000_000,
                predicted_ltv_micros=2_000_000,
                explanation=explanation(),
            )
        )
        for number in range(MANY)
    ]
    async with Client(server.address) as client:
        answer = await client.google_ads.PlaceBids(ads_pb2.PlaceBidsRequest(bids=bids), timeout=120)
    assert [each.request_id for each in answer.answers] == [f"r{n}" for n in range(MANY)]
    assert errors_pb2.ERROR_REASON_INVALID_BID not in {each.error.reason for each in answer.answers}
    assert stage.mutates() == []


async def test_a_stream_answers_a_message_above_the_limit_and_goes_on(stage: Stage) -> None:
    server = await stage.serve(server={"max_message_bytes": 2_000})
    large = ads_pb2.StreamBidsRequest(bid=ads_pb2.PlaceBidRequest(bid=longest(0)))
    large.bid.bid.explanation["why"] = "x" * 1_500
    small = ads_pb2.StreamBidsRequest(
        bid=ads_pb2.PlaceBidRequest(bid=bid_pb2.BidRequest(request_id="small"))
    )
    stub: Any = server.ads
    answers = [each.answer async for each in stub.StreamBids(iter([large, small]), timeout=60)]
    assert {each.error.reason for each in answers} == {errors_pb2.ERROR_REASON_INVALID_BID}
    texts = sorted(each.error.message for each in answers)
    assert any("the limit is 2000" in text for text in texts)
    assert len(texts) == 2


@pytest.mark.parametrize(("most", "code"), [(4 * 1024, "RESOURCE_EXHAUSTED"), (64 * 1024, "OK")])
async def test_the_limit_on_metadata_is_a_setting(stage: Stage, most: int, code: str) -> None:
    server = await stage.serve(server={"max_metadata_bytes": most})
    ask: Any = server.channel.unary_unary(
        "/smartconnectors.budgets.v1.BudgetService/ListBudgetStats"
    )
    call = ask(b"", metadata=(("x-large", "x" * 20_000),), timeout=60)
    assert (await call.code()).name == code


def test_an_answer_is_never_too_large_for_the_server_or_for_the_client() -> None:
    served = dict(ConnectionRules().options(ServerSettings()))
    assert served["grpc.max_send_message_length"] == -1
    assert dict(channel_options("127.0.0.1:1"))["grpc.max_receive_message_length"] == -1
