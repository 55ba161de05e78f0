"""`bid`: what only one platform has, typed and told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import MessageToDict

from smartconnectors.common.v1.bid_pb2 import (
    BID_SOURCE_AI,
    BID_STATUS_PLACED,
    BID_STATUS_VALIDATED,
    BidResponse,
)
from smartconnectors.common.v1.budget_pb2 import BudgetStats
from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as trade_desk_pb2
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from tests.server.cli.conftest import CannedServer, Cli

RESULT = BidResponse(
    request_id="r1",
    status=BID_STATUS_PLACED,
    source=BID_SOURCE_AI,
    bid_micros=20_000_000,
    currency_code="USD",
    budget=BudgetStats(budget_id="meta", limit_micros=400_000_000, currency_code="USD"),
)


def test_each_platform_is_listed_and_says_its_own_options(cli: Cli) -> None:
    listed = cli("bid", "--help")
    assert listed.exit_code == 0
    for name, platform in PLATFORMS.items():
        assert name in listed.out
        assert platform.title in listed.out
    assert "--ad-set" in cli("bid", "meta", "--help").out
    assert "--open-rtb" in cli("bid", "trade_desk", "--help").out


BARE = ("--campaign", "1001", "--amount", "20", "--ltv", "50", "--request-id", "r1")


@pytest.mark.parametrize(
    ("platform", "options", "expected"),
    [
        ("meta", (), {"min_roas": {}}),
        ("meta", ("--ad-set", "77"), {"min_roas": {}, "ad_set_id": "77"}),
        ("meta", ("--knob", "bid_cap"), {"bid_cap": {}}),
        (
            "meta",
            ("--knob", "cost_cap", "--goal", "OFFSITE_CONVERSIONS"),
            {"cost_cap": {"optimization_goal": "OFFSITE_CONVERSIONS"}},
        ),
        ("trade_desk", (), {"ad_group": {}}),
        (
            "trade_desk",
            ("--ad-group", "10011", "--base-bid-cpm", "2.50", "--max-bid-cpm", "4.00"),
            {
                "ad_group": {
                    "ad_group_id": "10011",
                    "base_bid_cpm_micros": "2500000",
                    "max_bid_cpm_micros": "4000000",
                }
            },
        ),
    ],
)
def test_what_only_one_platform_has_reaches_it(
    ask: Cli, server: CannedServer, platform: str, options: tuple[str, ...], expected: object
) -> None:
    messages: Any = {"meta": meta_pb2, "trade_desk": trade_desk_pb2}[platform]
    placed = messages.PlaceBidResponse(result=RESULT)
    server.will(f"{platform}/PlaceBid", placed)
    ended = ask("bid", platform, *BARE, *options)
    assert ended.exit_code == 0, ended.err
    sent = MessageToDict(server.requests[0], preserving_proto_field_name=True)
    assert sent.pop("bid")["bid_micros"] == "20000000"
    assert sent == expected


def test_an_auction_is_read_from_a_file_and_its_answer_is_printed(
    ask: Cli, server: CannedServer, tmp_path: Path
) -> None:
    auction = tmp_path / "auction.json"
    auction.write_text('{"id": "a1", "imp": []}', encoding="utf-8")
    placed = trade_desk_pb2.PlaceBidResponse(
        result=RESULT,
        open_rtb=trade_desk_pb2.OpenRtbBid(bid_response_json='{"id": "a1"}', submitted=True),
    )
    server.will("trade_desk/PlaceBid", placed)
    ended = ask("bid", "trade_desk", *BARE, "--open-rtb", str(auction), "--price-cpm", "2.50")
    assert server.requests[0].open_rtb == trade_desk_pb2.OpenRtb(
        bid_request_json='{"id": "a1", "imp": []}', price_cpm_micros=2_500_000
    )
    assert 'submitted the bid response {"id": "a1"}' in ended.out.splitlines()


@pytest.mark.parametrize(
    ("platform", "options", "named"),
    [
        ("meta", ("--knob", "target_roas"), "--knob"),
        ("meta", ("--goal", "VALUE"), "--goal"),
        ("meta", ("--ad-group", "7"), "--ad-group"),
        ("trade_desk", ("--knob", "min_roas"), "--knob"),
        ("trade_desk", ("--price-cpm", "2.50"), "--price-cpm"),
        ("trade_desk", ("--base-bid-cpm", "2,50"), "--base-bid-cpm"),
        ("trade_desk", ("--open-rtb", "/no/such/file"), "--open-rtb"),
        ("trade_desk", ("--open-rtb", __file__), "--price-cpm"),
        (
            "trade_desk",
            ("--open-rtb", __file__, "--price-cpm", "1", "--max-bid-cpm", "2"),
            "--max-bid-cpm",
        ),
    ],
)
def test_an_option_that_is_not_the_platforms_or_does_not_fit_is_named(
    ask: Cli, server: CannedServer, platform: str, options: tuple[str, ...], named: str
) -> None:
    ended = ask("bid", platform, *BARE, *options)
    assert ended.exit_code == 2
    assert named in ended.err
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            meta_pb2.PlaceBidResponse(
                meta=meta_pb2.MetaBid(
                    object_id="10011",
                    bid_strategy="LOWEST_COST_WITH_MIN_ROAS",
                    roas_average_floor=25_000,
                )
            ),
            "set LOWEST_COST_WITH_MIN_ROAS = 2.5 on 10011",
        ),
        (
            meta_pb2.PlaceBidResponse(
                meta=meta_pb2.MetaBid(
                    object_id="10011", bid_strategy="COST_CAP", bid_amount_minor_units=2000
                )
            ),
            "set COST_CAP = 2000 minor units on 10011",
        ),
        (
            trade_desk_pb2.PlaceBidResponse(
                ad_group=trade_desk_pb2.AdGroupBid(
                    ad_group_id="10011",
                    base_bid_cpm_micros=2_500_000,
                    max_bid_cpm_micros=4_000_000,
                )
            ),
            "set base_bid_cpm = 2.5 (at most 4) on ad group 10011",
        ),
    ],
)
def test_what_was_set_is_told_in_the_platforms_words_and_what_would_be_is_told_as_such(
    ask: Cli, server: CannedServer, answer: Any, words: str
) -> None:
    platform = answer.DESCRIPTOR.full_name.split(".")[1]
    answer.result.CopyFrom(RESULT)
    would_be = type(answer)()
    would_be.CopyFrom(answer)
    would_be.result.status = BID_STATUS_VALIDATED
    server.will(f"{platform}/PlaceBid", answer, would_be)
    assert ask("bid", platform, *BARE).out.splitlines()[1] == words
    assert ask("bid", platform, *BARE).out.splitlines()[1] == f"would have {words}"
