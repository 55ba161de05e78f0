"""What a refused caller is told, read from the wire, and what a test expects of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from smartconnectors.common.v1.bid_pb2 import BidRequest
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as trade_desk_pb2
from smartconnectors_server import errors
from smartconnectors_server.access.tokens import hash_of


@dataclass(frozen=True)
class Refusal:
    """Everything that a failed call says."""

    code: grpc.StatusCode
    message: str
    reason: str
    domain: str
    metadata: Mapping[str, str]
    retry_s: float | None
    pushback_ms: int | None
    quota_subjects: tuple[str, ...]
    fields: tuple[str, ...]


def refusal_of(error: Any) -> Refusal:
    """Reads a call's error: status, details and trailers."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    quota, bad = error_details_pb2.QuotaFailure(), error_details_pb2.BadRequest()
    retry_s = None
    for detail in status.details:
        if detail.Unpack(retry):
            retry_s = retry.retry_delay.ToNanoseconds() / 1e9
        else:
            assert any(detail.Unpack(known) for known in (info, quota, bad)), detail.type_url
    if status.details:
        assert status.code == error.code().value[0]
        assert status.message == error.details()
    pushback = trailers.get("grpc-retry-pushback-ms")
    return Refusal(
        code=error.code(),
        message=error.details(),
        reason=info.reason,
        domain=info.domain,
        metadata=dict(info.metadata),
        retry_s=retry_s,
        pushback_ms=None if pushback is None else int(pushback),
        quota_subjects=tuple(v.subject for v in quota.violations),
        fields=tuple(v.field for v in bad.field_violations),
    )


async def refused(call: Awaitable[Any]) -> Refusal:
    """What a call that must fail says."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)


@dataclass(frozen=True)
class Expected:
    """What a refusal says and leaves.

    Attributes:
        metadata: keys that must be there; a value other than None must be equal.
        money: what the budget counts afterwards, in micros.
        retry: whether a time to retry is given.
    """

    code: StatusCode
    metadata: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    money: Mapping[str, int] = dataclasses.field(default_factory=dict)
    retry: bool = False
    quota: str = ""
    field: str = ""
    text: str = ""


def every_reason() -> Iterator[str]:
    waiting = [errors.ConnectorError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__ == errors.__name__ and "reason" in vars(kind):
            yield kind.reason


def blocked_auction(bid: BidRequest) -> trade_desk_pb2.PlaceBidRequest:
    """A bid in an auction whose seller takes no ads of the advertiser's kind."""
    auction = {
        "id": "auction-1",
        "imp": [{"id": "imp-1", "banner": {"w": 728, "h": 90}}],
        "site": {"domain": "news.example"},
        "bcat": ["IAB3"],
    }
    target = trade_desk_pb2.OpenRtb(
        bid_request_json=json.dumps(auction), price_cpm_micros=8_000_000
    )
    return trade_desk_pb2.PlaceBidRequest(bid=bid, open_rtb=target)


def shut_out(token: str) -> Any:
    """A scenario: who shows this token, or none, wants to bid, and may not."""

    async def scenario(stage: Any, say: Any) -> Any:
        tokens = stage.directory / "tokens.toml"
        tokens.write_text(
            "".join(
                f'[[tokens]]\nname = "{role}-er"\nrole = "{role}"\nhash = "{hash_of(role)}"\n'
                for role in ("read", "operate")
            )
        )
        server = await stage.serve(access={"tokens_file": str(tokens)})
        server.use(server.address, token)
        refusal = await say.refused(server.place(say.bid("r", 15)))
        server.use(server.address, "operate")
        if not token:
            return refusal, server, Expected(StatusCode.UNAUTHENTICATED, text="no token")
        needs = {"needs": "bid"}
        text = "this needs the role `bid`, and read-er has `read`"
        return refusal, server, Expected(StatusCode.PERMISSION_DENIED, needs, text=text)

    return scenario


class Broken:
    """A connector with a bug: it fails in a way that nobody foresaw."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def plan(self, request: Any, priced: Any) -> Any:
        raise RuntimeError("the secret is 12345")
