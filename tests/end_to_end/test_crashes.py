"""`kill -9` at every point between a bid's arrival and its settling, and what the restart makes of
it: whatever the platform applied is committed, whatever it did not is given back, nothing is sent
twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

import grpc.aio
import pytest

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.connector.sandbox import FaultKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.end_to_end.conftest import Process, Stage, Words

    from smartconnectors.google_ads.v1.google_ads_service_pb2 import PlaceBidRequest

SHORT_MS = 300
"""The platform's timeout; what may still arrive late is waited for twice as long."""
AMOUNT = 15_000_000
KILLED = -signal.SIGKILL

APPLIED = {"answered", "settle_in_memory"}
HELD_AND_NOT_SENT = ["deferred_dispatch", "held", "mark:2", "reserve_after_commit"]
NOTHING_ON_DISK = {"reserve_in_memory", "reserve_before_commit"}
LIVE_BID = sorted(APPLIED | {*HELD_AND_NOT_SENT} - {"deferred_dispatch"} | NOTHING_ON_DISK)
"""Where one bid passes before its caller is told; the first mark is of the configuration. Every
other point is met by tests.crash.
"""


async def die_at(point: str, stage: Stage, request: PlaceBidRequest) -> None:
    """Sends the bid to a server that kills itself at `point`."""
    process = await stage.process(server={"failpoint": point}, timeout_ms=SHORT_MS)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await process.place(request)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await process.ended() == KILLED


async def assert_sent_once_at_most(stage: Stage, request_id: str, *, applied: bool) -> None:
    assert len(stage.mutates(request_id)) == (1 if applied else 0)


@pytest.mark.parametrize("point", LIVE_BID)
async def test_after_a_crash_what_the_platform_applied_is_what_is_committed(
    stage: Stage, say: Words, point: str
) -> None:
    request = say.bid("crash", 15)
    await die_at(point, stage, request)
    await assert_sent_once_at_most(stage, "crash", applied=point in APPLIED)
    assert len(stage.mutates()) == len(stage.mutates("crash"))

    server = await stage.serve(timeout_ms=SHORT_MS)
    if point in APPLIED:
        # From the first moment on it counts, and it ends as committed.
        assert sum((await server.money()).values()) == AMOUNT
        await server.settled_to(committed=AMOUNT)
    else:
        await server.settled_to()
    holds = await server.audited("crash")
    assert bool(holds) is (point not in NOTHING_ON_DISK)

    result = await server.place(request)
    assert result.status == bid_pb2.BID_STATUS_PLACED
    assert result.replayed is (point in APPLIED)
    await assert_sent_once_at_most(stage, "crash", applied=True)
    await server.settled_to(committed=AMOUNT)


@pytest.mark.parametrize("point", HELD_AND_NOT_SENT)
async def test_a_hold_found_at_start_is_in_doubt_and_keeps_its_target_until_it_is_known(
    stage: Stage, say: Words, point: str
) -> None:
    request = say.bid("crash", 15, campaign="1002")
    if point == "deferred_dispatch":
        before = await die_while_a_deferred_bid_is_dispatched(stage, say, request)
    else:
        await die_at(point, stage, request)
        before = 0

    # For as long as it may still arrive late, it counts, and nothing else is sent to its target.
    server = await stage.serve(timeout_ms=SHORT_MS, reconciler={"quiet_period_s": 60})
    money = await server.money()
    amount = money.pop("in_doubt")
    assert 0 < amount <= AMOUNT
    assert money == ({"committed": before} if before else {})
    refusal = await say.refused(server.place(say.bid("other", 10, campaign="1002")))
    assert (refusal.reason, refusal.metadata["target"]) == ("TARGET_IN_DOUBT", "campaigns/1002")
    again = await say.refused(server.place(request))
    assert (again.reason, again.code) == ("OUTCOME_UNKNOWN", grpc.StatusCode.UNKNOWN)
    other_target = await server.place(say.bid("elsewhere", 10, campaign="1003"))
    assert other_target.status == bid_pb2.BID_STATUS_PLACED
    await server.stop()

    # After that the platform's word that it has nothing gives the money back.
    server = await stage.serve(timeout_ms=SHORT_MS)
    await server.settled_to(committed=before + 10_000_000)
    await server.audited("crash", "doubt", "release")
    await assert_sent_once_at_most(stage, "crash", applied=False)
    assert not (await server.place(request)).replayed
    await assert_sent_once_at_most(stage, "crash", applied=True)


async def die_while_a_deferred_bid_is_dispatched(
    stage: Stage, say: Words, request: PlaceBidRequest
) -> int:
    """Opens the breaker, defers the bid, recovers. Returns what was committed before, in micros."""
    process = await stage.process(
        server={"failpoint": "deferred_dispatch"},
        timeout_ms=SHORT_MS,
        circuit_breaker={"failure_threshold": 1, "slow_call_ms": 150, "open_s": 0.5},
    )
    await stage.fault(FaultKind.SLOW, delay_ms=200)
    opener = await process.place(say.bid("opener", 20))
    assert opener.status == bid_pb2.BID_STATUS_PLACED
    deferred = await process.place(request)
    assert deferred.status == bid_pb2.BID_STATUS_DEFERRED
    assert await process.ended() == KILLED
    return 20_000_000


async def in_flight(process: Process) -> bool:
    return bool((await process.money()).get("held"))


async def kill_between_send_and_settle(
    stage: Stage, say: Words, request: PlaceBidRequest, sent: Callable[[], bool], timeout_ms: int
) -> None:
    """SIGKILL from outside, once the platform has the request and before it has answered."""
    process = await stage.process(timeout_ms=timeout_ms)
    call = asyncio.ensure_future(process.place(request))
    await say.eventually(sent, bool)
    assert await in_flight(process)
    process.signal(signal.SIGKILL)
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call
    assert await process.ended() == KILLED


@pytest.mark.parametrize("kind", [FaultKind.APPLY_THEN_HANG, FaultKind.SLOW])
async def test_a_kill_between_send_and_settle_leaves_what_was_applied_committed(
    stage: Stage, say: Words, kind: FaultKind
) -> None:
    await stage.fault(kind, delay_ms=30_000 if kind is FaultKind.SLOW else 0)
    request = say.bid("killed", 15)
    await kill_between_send_and_settle(
        stage, say, request, lambda: bool(stage.mutates("killed")), 20_000
    )

    server = await stage.serve(timeout_ms=SHORT_MS)
    assert sum((await server.money()).values()) == AMOUNT
    await server.settled_to(committed=AMOUNT)
    result = await server.place(request)
    assert (result.status, result.replayed) == (bid_pb2.BID_STATUS_PLACED, True)
    assert len(stage.mutates()) == 1


async def test_a_kill_while_the_platform_never_read_the_bid_gives_the_money_back(
    stage: Stage, say: Words
) -> None:
    await stage.fault(FaultKind.HANG)
    request = say.bid("killed", 15)
    faults = stage.sandbox._faults
    await kill_between_send_and_settle(stage, say, request, lambda: not faults._waiting, 20_000)

    server = await stage.serve(timeout_ms=SHORT_MS)
    await server.settled_to()
    await server.audited("killed", "doubt", "release")
    assert stage.mutates() == []
    assert not (await server.place(request)).replayed
    assert len(stage.mutates()) == 1


async def test_a_change_that_arrives_after_the_crash_is_waited_for_and_committed(
    stage: Stage, say: Words
) -> None:
    await stage.fault(FaultKind.APPLY_LATE, delay_ms=1_000)
    request = say.bid("late", 15)
    sandbox = stage.sandbox
    await kill_between_send_and_settle(stage, say, request, lambda: bool(sandbox._late), 5_000)

    server = await stage.serve(timeout_ms=1_500)
    assert await server.money() == {"in_doubt": AMOUNT}
    assert stage.mutates() == []
    await server.settled_to(committed=AMOUNT)
    assert len(stage.mutates("late")) == 1
    assert (await server.place(request)).replayed
    assert len(stage.mutates()) == 1


async def test_an_operator_can_end_a_hold_that_a_crash_left_in_doubt(
    stage: Stage, say: Words
) -> None:
    await die_at("held", stage, say.bid("crash", 15))
    server = await stage.serve(timeout_ms=SHORT_MS, reconciler={"quiet_period_s": 60})
    (hold,) = (await server.budgets.ListHolds(budgets_pb2.ListHoldsRequest())).holds
    assert (hold.request_id, hold.state) == ("crash", budgets_pb2.HOLD_STATE_IN_DOUBT)
    await server.budgets.ResolveHold(
        budgets_pb2.ResolveHoldRequest(
            hold_id=hold.hold_id,
            state=budgets_pb2.HOLD_STATE_RELEASED,
            reason="seen in the platform's own console",
        )
    )
    assert await server.money() == {}
    entries = await server.audited("crash", "reserve", "doubt", "release")
    assert "seen in the platform's own console" in entries[-1].note
    placed = await server.place(say.bid("next", 15))
    assert placed.status == bid_pb2.BID_STATUS_PLACED


async def test_the_rate_limit_survives_a_kill(stage: Stage, say: Words) -> None:
    """The campaign, what may override it and each change are a call; 101 are allowed a minute."""
    limit = {"calls": 101}
    process = await stage.process(rate_limit=limit)
    results = await asyncio.gather(
        *(process.place(say.bid(f"r{n}", 1, ltv_usd=2 + n / 100)) for n in range(98))
    )
    assert {result.status for result in results} == {bid_pb2.BID_STATUS_PLACED}
    on_the_wire = [e for e in stage.sandbox.journal() if e.method in ("Mutate", "SearchStream")]
    assert len(on_the_wire) == 100
    process.signal(signal.SIGKILL)
    assert await process.ended() == KILLED

    # Calls are remembered before they are made, a claim of two at a time: never fewer than made.
    server = await stage.serve(rate_limit=limit)
    refusals = [
        await say.refused(server.place(say.bid(f"s{n}", 1, ltv_usd=4 + n / 100))) for n in range(3)
    ]
    assert [refusal.reason for refusal in refusals[1:]] == ["RATE_LIMITED"] * 2
    calls = [e for e in stage.sandbox.journal() if e.method in ("Mutate", "SearchStream")]
    assert len(calls) <= 101
    assert len([e for e in calls if e.changes]) == 98
