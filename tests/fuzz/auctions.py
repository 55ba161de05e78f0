"""Auctions: any bid request to The Trade Desk's OpenRTB path, through the whole chain.

A response by the rules, or a refusal that says why; and what one impression can cost is never more
than what is held.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from grpc import StatusCode
from hypothesis import strategies as st
from tests.corpora.openrtb_rules import broken_rules
from tests.fuzz.bids import open_house
from tests.fuzz.documents import scenarios
from tests.fuzz.middle import Poison
from tests.fuzz.mutations import EDITS, RAW_EDITS, Edit, RawEdit, edited, raw_edited

from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as pb
from smartconnectors_server.interceptors.status import StatusError

_IMPRESSIONS_OF_A_CPM = 1000


@functools.lru_cache
def requests() -> tuple[str, ...]:
    """The bid requests of the exemplary documents."""
    found = (
        scenario.document["request"].get("openRtb", {}).get("bidRequestJson")
        for scenario in scenarios().values()
    )
    return tuple(text for text in found if text)


@dataclass(frozen=True)
class Case:
    """A bid request, spoilt, and what is bid on it."""

    base: int
    edits: tuple[Edit, ...] = ()
    raw: RawEdit | None = None
    price_cpm_micros: int = 8_500_000
    bid_micros: int = 15_000_000
    imp_id: str = ""
    platform: str = "trade_desk"
    method: str = "PlaceBid"
    poison: Poison | None = None

    def asked(self) -> str:
        """The bid request."""
        document = json.loads(requests()[self.base % len(requests())])
        content = json.dumps(edited(document, self.edits)).encode()
        return raw_edited(content, self.raw).decode("utf-8", "replace")

    def content(self, request_id: str) -> bytes:
        request = pb.PlaceBidRequest()
        request.bid.request_id, request.bid.campaign_id = request_id, "1001"
        request.bid.bid_micros, request.bid.predicted_ltv_micros = self.bid_micros, 30_000_000
        request.open_rtb.bid_request_json = self.asked()
        request.open_rtb.price_cpm_micros = self.price_cpm_micros
        request.open_rtb.imp_id = self.imp_id
        return bytes(request.SerializeToString())


PRICES = st.sampled_from([1, 999, 8_499_999, 8_500_000, 9_000_000, 10**12, 10**15])
CASES = st.builds(
    Case,
    base=st.integers(0, 10),
    edits=EDITS,
    raw=st.sampled_from([False] * 5 + [True]).flatmap(lambda yes: RAW_EDITS if yes else st.none()),
    price_cpm_micros=PRICES | st.integers(-1, 10**15),
    bid_micros=st.sampled_from([1, 8_499, 8_500, 15_000_000, 10**15]),
    imp_id=st.sampled_from(["", "", "", "imp-1", "imp-2", "\x00"]),
)


def check_said(case: Case, said: Any) -> None:
    """A bid by the rules that the hold covers, or a reason."""
    if isinstance(said, StatusError):
        assert said.code is not StatusCode.UNKNOWN, "the sandbox's exchange takes every bid"
        return
    response = said.open_rtb.bid_response_json
    assert broken_rules(case.asked(), response) == []
    document = json.loads(response, parse_float=Decimal)
    for seat in document["seatbid"]:
        for bid in seat["bid"]:
            billed = times_billed(case.asked(), bid["impid"])
            most_micros = Decimal(bid["price"]) * billed * 10**6 / _IMPRESSIONS_OF_A_CPM
            assert most_micros <= said.result.bid_micros <= case.bid_micros


def times_billed(asked: str, imp_id: str) -> Decimal:
    """How often the impression is billed if it is won, as OpenRTB 2.6 says it; never below once."""
    for imp in json.loads(asked, parse_float=Decimal)["imp"]:
        if isinstance(imp, dict) and str(imp.get("id")) == imp_id:
            quantity = imp.get("qty")
            billed = quantity.get("multiplier") if isinstance(quantity, dict) else quantity
            return max(Decimal(1), Decimal(1 if billed is None else billed))
    raise AssertionError("the impression is one of the request")


@contextmanager
def open_auctions() -> Iterator[Callable[[Case], None]]:
    """`fuzz_auctions`, with everything that it needs open."""
    with open_house() as send:

        def fuzz_auctions(case: Case) -> None:
            check_said(case, send(case))

        yield fuzz_auctions
