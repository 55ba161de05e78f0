"""Messages of our own protos, drawn by their descriptors: near a bid that is placed, or far."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from smartconnectors_server.call import Kind, MethodSpec
from smartconnectors_server.platforms import PLATFORMS

METHODS = (
    "PlaceBid",
    "PlaceBid",
    "PlaceBid",
    "PlaceBids",
    "UpdateCampaignBudget",
    "UpdateTargetAudience",
    "PauseCampaign",
    "ResumeCampaign",
    "GetBid",
)
_AUCTION = {"id": "a-1", "site": {}, "imp": [{"id": "i", "banner": {"w": 300, "h": 250}}]}
_NUMBERS = st.sampled_from(
    [0, 1, -1, 999, 10_000, 8_500_000, 15_000_000, 10**15, 10**15 + 1, 2**31, 2**63 - 1, -(2**63)]
) | st.integers(-(2**63), 2**63 - 1)
_TEXTS = st.sampled_from(
    [
        "",
        "1001",
        "1002",
        "10011",
        "9999",
        "1" * 64,
        "1" * 65,
        "-1",
        "a b",
        "\u0661\u0662",
        "\x00",
        "\x1b[2J",
        "../..",
        "1001 OR 1=1",
        "x\ny",
        "USD",
        "JPY",
        "XXX",
        "501",
        json.dumps(_AUCTION),
        "{}",
        "[" * 3000,
    ]
) | st.text(max_size=70)


def spec_of(platform: str, method: str) -> MethodSpec:
    """What the chain knows of the method."""
    return MethodSpec.of(PLATFORMS[platform].service.methods_by_name[method])


@dataclass(frozen=True)
class Change:
    """One field set to something: counted round and round over the fields of the request."""

    field: int
    number: int = 0
    text: str = ""
    real: float = 0.0
    clear: bool = False


CHANGES = st.builds(
    Change,
    field=st.integers(0, 60),
    number=_NUMBERS,
    text=_TEXTS,
    real=st.floats(),
    clear=st.booleans(),
)


def base_of(spec: MethodSpec, request_id: str, *, auction: bool) -> Any:
    """A request that is taken as it is."""
    request: Any = spec.request_class()
    bid = {"campaign_id": "1001", "bid_micros": 15_000_000, "predicted_ltv_micros": 30_000_000}
    update: dict[str, Any] = {"campaign_id": "1001"}
    if spec.name == "PlaceBids":
        for number in range(2):
            json_format.ParseDict(
                {**bid, "request_id": f"{request_id}-{number}", "campaign_id": str(1001 + number)},
                request.bids.add().bid,
            )
    elif spec.kind is Kind.BID:
        json_format.ParseDict({**bid, "request_id": request_id}, request.bid)
        if auction and "open_rtb" in request.DESCRIPTOR.fields_by_name:
            request.open_rtb.bid_request_json = json.dumps(_AUCTION)
            request.open_rtb.price_cpm_micros = 8_500_000
    elif spec.kind is Kind.CAMPAIGN_BUDGET:
        update = {**update, "request_id": request_id, "daily_budget_micros": 120_000_000}
        json_format.ParseDict(update, request.update)
    elif spec.name == "GetBid":
        request.request_id = request_id
    elif spec.name == "UpdateTargetAudience":
        json_format.ParseDict({**update, "add_audience_ids": ["501"]}, request.update)
    else:
        json_format.ParseDict(update, request.update)
    return request


def change(request: Message, wanted: Change) -> None:
    """Makes the change, in the request or in a message inside it."""
    fields: list[Any] = list(request.DESCRIPTOR.fields)
    if not fields:
        return
    field = fields[wanted.field % len(fields)]
    rest = Change(
        wanted.field // len(fields), wanted.number, wanted.text, wanted.real, wanted.clear
    )
    if field.message_type is not None:
        _change_inside(request, field, rest)
    elif wanted.clear:
        request.ClearField(field.name)
    elif field.is_repeated:
        getattr(request, field.name).append(_value(field, wanted))
    else:
        setattr(request, field.name, _value(field, wanted))


def _change_inside(request: Message, field: Any, rest: Change) -> None:
    if field.message_type.GetOptions().map_entry:
        return
    if not field.is_repeated:
        inner = getattr(request, field.name)
        inner.SetInParent()
        change(inner, rest)
        return
    many = getattr(request, field.name)
    change(many[0] if many and not rest.clear else many.add(), rest)


def _value(field: Any, wanted: Change) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            is_bytes = field.type == FieldDescriptor.TYPE_BYTES
            return wanted.text.encode() if is_bytes else wanted.text
        case FieldDescriptor.CPPTYPE_BOOL:
            return wanted.number % 2 == 1
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return wanted.real
        case FieldDescriptor.CPPTYPE_INT64:
            return wanted.number
        case FieldDescriptor.CPPTYPE_UINT64 | FieldDescriptor.CPPTYPE_UINT32:
            return wanted.number % 2**32
        case _:
            return wanted.number % 2**31
