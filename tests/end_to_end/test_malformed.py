"""Whatever bytes arrive: a refusal that names the field, a server that stays up, a ledger that does
not move. A synchronous caller on a plain channel, as pytest-grpc makes it.
"""

from __future__ import annotations

import asyncio
import math
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.budgets.v1 import budget_service_pb2_grpc as budgets_grpc
from smartconnectors.common.v1 import bid_pb2
from smartconnectors.common.v1.campaign_pb2 import AudienceUpdate, CampaignBudgetUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.listening import RECEIVED_FACTOR
from smartconnectors_server.settings import ServerSettings

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Words
    from tests.end_to_end.refusals import Refusal

PLACE_BID = "/smartconnectors.google_ads.v1.GoogleAdsService/PlaceBid"
UPDATE_CAMPAIGN_BUDGET = "/smartconnectors.google_ads.v1.GoogleAdsService/UpdateCampaignBudget"
UPDATE_AUDIENCE = "/smartconnectors.google_ads.v1.GoogleAdsService/UpdateTargetAudience"
UPDATE_BUDGET = "/smartconnectors.budgets.v1.BudgetService/UpdateBudget"
RESOLVE_HOLD = "/smartconnectors.budgets.v1.BudgetService/ResolveHold"
MOST = 10**15
INT64_MOST = 2**63 - 1
OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.max_send_message_length", -1))


class LoopThread:
    """An event loop in a thread of its own, for a server beside a synchronous test."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server")
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs it there and returns its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=30)
        self._loop.close()


class Running(NamedTuple):
    app: Application
    address: str


# pytest-grpc's fixtures: its channel and stub, on our server instead of a synchronous one.


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    thread = LoopThread()
    app = Application(
        load_settings(
            None,
            {},
            {
                "server": {
                    "state_dir": str(tmp_path_factory.mktemp("state")),
                    "grpc_port": 0,
                    "drain_pause_s": 0,
                },
                "platforms": {"google_ads": {"rate_limit": {"calls": 100_000}}},
            },
        )
    )
    yield Running(app, thread.run(app.start()).grpc_address)
    thread.run(app.stop())
    thread.end()


@pytest.fixture(scope="module")
def grpc_addr(running: Running) -> str:
    return running.address


@pytest.fixture(scope="module")
def grpc_server(running: Running) -> Application:
    return running.app


@pytest.fixture(scope="module")
def grpc_channel(grpc_create_channel: Callable[..., grpc.Channel]) -> Iterator[grpc.Channel]:
    with grpc_create_channel(options=OPTIONS) as channel:
        yield channel


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[budgets_grpc.BudgetServiceStub]:
    return budgets_grpc.BudgetServiceStub


class Caller:
    """Sends bytes, and compares the ledger before and after."""

    def __init__(self, channel: grpc.Channel, budgets: Any, say: Words) -> None:
        self._channel = channel
        self._budgets = budgets
        self._say = say

    def ledger(self) -> tuple[Any, ...]:
        """Everything of money that can be read."""
        stats = self._budgets.ListBudgetStats(budgets_pb2.ListBudgetStatsRequest()).stats
        for one in stats:
            one.ClearField("as_of")
        return (
            [one.SerializeToString(deterministic=True) for one in stats],
            self._budgets.ListHolds(budgets_pb2.ListHoldsRequest()).holds,
            self._budgets.ListLedgerEntries(budgets_pb2.ListLedgerEntriesRequest()).entries,
        )

    def send(self, raw: bytes, method: str = PLACE_BID) -> None:
        call: Any = self._channel.unary_unary(method)
        call(raw, timeout=60)

    def refused(self, raw: bytes, method: str = PLACE_BID) -> Refusal:
        """What the server says to bytes that it must refuse, the ledger untouched."""
        before = self.ledger()
        with pytest.raises(grpc.RpcError) as caught:
            self.send(raw, method)
        assert self.ledger() == before
        return self._say.refusal_of(caught.value)


@pytest.fixture(scope="module")
def caller(grpc_channel: grpc.Channel, grpc_stub: Any, say: Words) -> Caller:
    return Caller(grpc_channel, grpc_stub, say)


def bid(**fields: Any) -> bytes:
    """A bid that would be placed, but for `fields`."""
    common = {
        "request_id": "malformed",
        "campaign_id": "1001",
        "predicted_ltv_micros": 30_000_000,
        "bid_micros": 15_000_000,
    }
    message = ads_pb2.PlaceBidRequest(bid=bid_pb2.BidRequest(**{**common, **fields}))
    return bytes(message.SerializeToString())


def explained(fill: Callable[[Struct], None]) -> bytes:
    explanation = Struct()
    fill(explanation)
    return bid(explanation=explanation)


def _deep(levels: int) -> Callable[[Struct], None]:
    def fill(struct_message: Struct) -> None:
        inner = struct_message
        for _ in range(levels):
            inner = inner.fields["a"].struct_value
        inner["end"] = 1

    return fill


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _field(number: int, wire: int, payload: bytes) -> bytes:
    return _varint(number << 3 | wire) + (_varint(len(payload)) + payload if wire == 2 else payload)


def _with_bytes(field_number: int, value: bytes) -> bytes:
    """A PlaceBidRequest whose bid has this length-delimited field, whatever its bytes are."""
    return _field(1, 2, _field(field_number, 2, value))


def _deeper_than_any_parser_goes() -> bytes:
    """No library would write this: structures in values in structures, by hand."""
    nested = b""
    for _ in range(60):
        value = _field(5, 2, nested)
        nested = _field(1, 2, _field(1, 2, b"a") + _field(2, 2, value))
    return _with_bytes(8, nested)


FIELDS = {
    "no request id": (bid(request_id=""), "bid.request_id"),
    "a request id with a blank": (bid(request_id="a b"), "bid.request_id"),
    "a request id that ends in a line break": (bid(request_id="abc\n"), "bid.request_id"),
    "a request id that is too long": (bid(request_id="a" * 65), "bid.request_id"),
    "no campaign": (bid(campaign_id=""), "bid.campaign_id"),
    "a campaign that is too long": (bid(campaign_id="1" * 65), "bid.campaign_id"),
    "a campaign of another platform": (bid(campaign_id="abc"), "bid.campaign_id"),
    "a customer that is too long": (bid(customer_id="c" * 129), "bid.customer_id"),
    "an audience that is too long": (bid(audience_id="a" * 129), "bid.audience_id"),
    "a negative bid": (bid(bid_micros=-1), "bid.bid_micros"),
    "the most negative bid": (bid(bid_micros=-(2**63)), "bid.bid_micros"),
    "a bid of nothing": (bid(bid_micros=0), "bid.bid_micros"),
    "a bid one micro too large": (bid(bid_micros=MOST + 1), "bid.bid_micros"),
    "the largest integer as a bid": (bid(bid_micros=INT64_MOST), "bid.bid_micros"),
    "a negative LTV": (bid(predicted_ltv_micros=-1), "bid.predicted_ltv_micros"),
    "the largest integer as an LTV": (
        bid(predicted_ltv_micros=INT64_MOST),
        "bid.predicted_ltv_micros",
    ),
    "an LTV that makes no ROAS": (
        bid(predicted_ltv_micros=1, bid_micros=MOST),
        "bid.predicted_ltv_micros",
    ),
    "no price and nothing to price from": (
        ads_pb2.PlaceBidRequest(
            bid=bid_pb2.BidRequest(request_id="r", campaign_id="1001")
        ).SerializeToString(),
        "bid.bid_micros",
    ),
    "a currency in lower case": (bid(currency_code="usd"), "bid.currency_code"),
    "a currency that is not one": (bid(currency_code="DOLLARS"), "bid.currency_code"),
    "another currency": (bid(currency_code="JPY"), "bid.currency_code"),
    "no bid at all": (b"", "bid"),
    "NaN in the explanation": (
        explained(lambda s: s.update({"score": math.nan})),
        "bid.explanation.score",
    ),
    "infinity in a list of the explanation": (
        explained(lambda s: s.update({"scores": [1, math.inf]})),
        "bid.explanation.scores[1]",
    ),
    "an explanation that is too deep": (explained(_deep(17)), "bid.explanation" + ".a" * 17),
    "an explanation that is too large": (
        explained(lambda s: s.update({"why": "x" * 9_000})),
        "bid.explanation",
    ),
    "garbage": (b"\xff\xff\xff\xff not a message", "(request)"),
    "a length that runs past the end": (b"\x0a\x7f\x0a", "(request)"),
    "a request id that is not UTF-8": (_with_bytes(1, b"\xff\xfe"), "(request)"),
    "a campaign that is not UTF-8": (_with_bytes(3, b"\xc3\x28"), "(request)"),
    "an unending variable-length integer": (b"\x08" + b"\xff" * 11, "(request)"),
    "a message nested too deep for the parser": (_deeper_than_any_parser_goes(), "(request)"),
}


@pytest.mark.parametrize("what", FIELDS)
def test_a_malformed_bid_is_refused_by_the_name_of_its_field(caller: Caller, what: str) -> None:
    raw, field = FIELDS[what]
    refusal = caller.refused(raw)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT, refusal
    assert refusal.reason in {"INVALID_BID", "CURRENCY_MISMATCH"}
    assert field in refusal.fields
    assert field in refusal.message or refusal.reason == "CURRENCY_MISMATCH"
    assert refusal.retry_s is None


OTHER_METHODS = {
    "a daily budget of nothing": (
        UPDATE_CAMPAIGN_BUDGET,
        ads_pb2.UpdateCampaignBudgetRequest(
            update=CampaignBudgetUpdate(request_id="r", campaign_id="1001", daily_budget_micros=0)
        ),
        "update.daily_budget_micros",
    ),
    "a daily budget in another currency": (
        UPDATE_CAMPAIGN_BUDGET,
        ads_pb2.UpdateCampaignBudgetRequest(
            update=CampaignBudgetUpdate(
                request_id="r",
                campaign_id="1001",
                daily_budget_micros=1_000_000,
                currency_code="EUR",
            )
        ),
        "update.currency_code",
    ),
    "an audience that is named twice": (
        UPDATE_AUDIENCE,
        ads_pb2.UpdateTargetAudienceRequest(
            update=AudienceUpdate(campaign_id="1001", add_audience_ids=["9001", "9001"])
        ),
        "update.add_audience_ids",
    ),
    "an audience without a name": (
        UPDATE_AUDIENCE,
        ads_pb2.UpdateTargetAudienceRequest(
            update=AudienceUpdate(campaign_id="1001", remove_audience_ids=["9001", ""])
        ),
        "update.remove_audience_ids[1]",
    ),
    "a negative limit": (
        UPDATE_BUDGET,
        budgets_pb2.UpdateBudgetRequest(budget_id="google_ads", limit_micros=-1, reason="x"),
        "limit_micros",
    ),
    "a change of a limit without a reason": (
        UPDATE_BUDGET,
        budgets_pb2.UpdateBudgetRequest(budget_id="google_ads", limit_micros=1),
        "reason",
    ),
    "a hold ended in a state that is no end": (
        RESOLVE_HOLD,
        budgets_pb2.ResolveHoldRequest(
            hold_id="h", state=budgets_pb2.HOLD_STATE_DEFERRED, reason="x"
        ),
        "state",
    ),
}


@pytest.mark.parametrize("what", OTHER_METHODS)
def test_every_method_refuses_what_is_malformed_by_the_name_of_its_field(
    caller: Caller, what: str
) -> None:
    method, message, field = OTHER_METHODS[what]
    refusal = caller.refused(message.SerializeToString(), method)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT, refusal
    assert field in refusal.fields


def test_every_field_that_is_wrong_is_named_at_once(caller: Caller) -> None:
    refusal = caller.refused(bid(request_id="", campaign_id="", bid_micros=-1))
    assert set(refusal.fields) == {"bid.request_id", "bid.campaign_id", "bid.bid_micros"}


def test_a_stream_refuses_what_is_malformed_by_the_name_of_its_field(
    grpc_channel: grpc.Channel, caller: Caller, say: Words
) -> None:
    watch: Any = grpc_channel.unary_stream(
        "/smartconnectors.budgets.v1.BudgetService/WatchBudgetStats"
    )
    too_long = budgets_pb2.WatchBudgetStatsRequest(budget_ids=["x" * 201])
    for raw, field in ((b"\xff\xff", "(request)"), (too_long.SerializeToString(), "budget_ids[0]")):
        before = caller.ledger()
        with pytest.raises(grpc.RpcError) as caught:
            next(iter(watch(raw, timeout=60)))
        refusal = say.refusal_of(caught.value)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refusal.fields == (field,)
        assert caller.ledger() == before


def test_a_message_above_the_size_limit_is_refused_and_moves_no_money(caller: Caller) -> None:
    limit = ServerSettings().max_message_bytes
    refusal = caller.refused(b"\x0a" * (limit + 1))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_BID"
    assert refusal.fields == ("(request)",)


def test_a_message_far_above_the_size_limit_is_refused_by_grpc_and_moves_no_money(
    caller: Caller,
) -> None:
    refusal = caller.refused(b"\x0a" * (RECEIVED_FACTOR * ServerSettings().max_message_bytes + 1))
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == ""  # gRPC's own answer, before anything of ours is asked


@given(raw=st.binary(max_size=300))
def test_no_bytes_whatsoever_bring_the_server_down_or_move_money(
    caller: Caller, raw: bytes
) -> None:
    refusal = caller.refused(raw)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields


WIRE_FIELDS = st.one_of(
    st.builds(_field, st.integers(1, 12), st.just(2), st.binary(max_size=70)),
    st.builds(_field, st.integers(1, 12), st.just(0), st.integers(0, 2**64 - 1).map(_varint)),
    st.builds(
        _field, st.integers(1, 12), st.just(1), st.floats().map(lambda f: struct.pack("<d", f))
    ),
)


@given(inner=st.lists(WIRE_FIELDS, max_size=8).map(b"".join))
def test_no_message_that_nearly_is_a_bid_brings_the_server_down_or_moves_money(
    caller: Caller, inner: bytes
) -> None:
    """The campaign, when there is one, is none that exists, so that nothing can be placed."""
    refusal = caller.refused(_field(1, 2, inner + _field(3, 2, b"none")))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason in {"INVALID_BID", "CURRENCY_MISMATCH", "UNKNOWN_TARGET"}


def test_after_all_that_the_server_places_a_bid(caller: Caller, grpc_stub: Any) -> None:
    caller.send(bid(request_id="after-all"))
    stats = grpc_stub.GetBudgetStats(budgets_pb2.GetBudgetStatsRequest(budget_id="google_ads"))
    assert stats.stats.committed_micros == 15_000_000
