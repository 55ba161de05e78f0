"""What the network and the platform do to a change on its way, and where the money ends up."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from grpc import StatusCode

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Stage, Words

USD = 1_000_000
HANG_MS = 300


async def test_a_bug_after_the_change_was_sent_leaves_the_amount_in_doubt_and_then_known(
    stage: Stage, say: Words
) -> None:
    class Forgetful:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        async def PlaceBid(self, request: Any, call: Any) -> Any:  # noqa: N802
            await self._inner.PlaceBid(request, call)
            raise RuntimeError("forgot what to do with the answer")

    google = PLATFORMS["google_ads"]
    forgetful = dataclasses.replace(
        google, connector=lambda context: Forgetful(google.connector(context))
    )
    server = await stage.serve(platforms={"google_ads": forgetful})
    refusal = await say.refused(server.place(say.bid("r", 15)))
    assert (refusal.reason, refusal.code) == ("OUTCOME_UNKNOWN", StatusCode.UNKNOWN)
    await server.settled_to(committed=15 * USD)
    assert len(stage.mutates("r")) == 1


@pytest.mark.parametrize(
    ("kind", "money"),
    [
        (FaultKind.APPLY_THEN_RESET, {"committed": 15 * USD}),
        (FaultKind.MALFORMED, {"committed": 15 * USD}),
        (FaultKind.SERVER_ERROR, {}),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
async def test_an_answer_that_cannot_be_used_is_looked_up_and_ends_as_the_platform_has_it(
    stage: Stage, say: Words, kind: FaultKind, money: dict[str, int]
) -> None:
    server = await stage.serve(timeout_ms=HANG_MS)
    await stage.fault(kind)
    request = say.bid("r", 15)
    refusal = await say.refused(server.place(request))
    assert refusal.reason == "OUTCOME_UNKNOWN"
    await server.settled_to(**money)
    result = await server.place(request)
    assert (result.status, result.replayed) == (bid_pb2.BID_STATUS_PLACED, bool(money))
    assert len(stage.mutates("r")) == 1


async def test_the_platforms_own_too_many_gives_the_money_back_and_slows_us_down(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    await stage.fault(FaultKind.QUOTA, delay_ms=20_000)
    refusal = await say.refused(server.place(say.bid("r", 15)))
    assert (refusal.reason, refusal.code) == ("RATE_LIMITED", StatusCode.RESOURCE_EXHAUSTED)
    assert refusal.retry_s == pytest.approx(20, abs=0.1)
    assert await server.money() == {}
    calls = len(stage.sandbox.journal())
    following = await say.refused(server.place(say.bid("s", 15)))
    assert following.metadata["limited_by"] == "platform"
    assert following.retry_s is not None
    assert 15 < following.retry_s <= 20
    assert len(stage.sandbox.journal()) == calls


async def test_a_request_delivered_twice_by_the_network_is_committed_once(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    await stage.fault(FaultKind.DUPLICATE)
    result = await server.place(say.bid("r", 15))
    assert result.status == bid_pb2.BID_STATUS_PLACED
    assert len(stage.mutates("r")) == 2  # the same setting, set twice
    assert await server.money() == {"committed": 15 * USD}
