"""Every error of the contract by a real cause: its code, what it says, and what it does to money.

One scenario for each reason in errors.py; a reason without one fails the test of completeness.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sqlite3
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from grpc import StatusCode
from tests.end_to_end.refusals import Broken, Expected, blocked_auction, every_reason, shut_out

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2_grpc as trade_desk_pb2_grpc
from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, Stage, Words
    from tests.end_to_end.refusals import Refusal

USD = 1_000_000
HANG_MS = 300
"""The platform's timeout where a test lets it pass."""


Scenario = Callable[["Stage", "Words"], Awaitable[tuple["Refusal", "Server", Expected]]]
SCENARIOS: dict[str, Scenario] = {}


def reason(name: str) -> Callable[[Scenario], Scenario]:
    def add(scenario: Scenario) -> Scenario:
        SCENARIOS[name] = scenario
        return scenario

    return add


SCENARIOS.update(UNAUTHENTICATED=shut_out(""), PERMISSION_DENIED=shut_out("read"))
# The request is wrong


@reason("INVALID_BID")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve()
    refusal = await say.refused(server.place(say.bid("not an id", 15)))
    return refusal, server, Expected(StatusCode.INVALID_ARGUMENT, field="bid.request_id")


@reason("UNKNOWN_TARGET")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve()
    refusal = await say.refused(server.place(say.bid("r", 15, campaign="999")))
    return refusal, server, Expected(StatusCode.INVALID_ARGUMENT, text="999")


@reason("CURRENCY_MISMATCH")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve()
    refusal = await say.refused(server.place(say.bid("r", 15, currency_code="EUR")))
    says = {"expected": "USD", "actual": "EUR"}
    return refusal, server, Expected(StatusCode.INVALID_ARGUMENT, says, field="bid.currency_code")


@reason("STEP_TOO_LARGE")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve(max_step_percent=30)
    refusal = await say.refused(server.place(say.bid("r", 15, ltv_usd=30)))
    says = {"target": "campaigns/1001", "change_percent": "50.000", "max_step_percent": "30"}
    return refusal, server, Expected(StatusCode.INVALID_ARGUMENT, says)


@reason("NOT_A_REDUCTION")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve()
    refusal = await say.refused(server.place(say.bid("r", 15, ltv_usd=30, reduce_only=True)))
    says = {"target": "campaigns/1001", "before": "4000000", "after": "2000000"}
    return refusal, server, Expected(StatusCode.FAILED_PRECONDITION, says)


@reason("REQUEST_ID_REUSED")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve()
    await server.place(say.bid("r", 15))
    refusal = await say.refused(server.place(say.bid("r", 16)))
    return (
        refusal,
        server,
        Expected(StatusCode.ALREADY_EXISTS, {"request_id": "r"}, {"committed": 15 * USD}),
    )


@reason("REQUEST_IN_PROGRESS")
async def _(stage: Stage, say: Words) -> Any:
    """Reached while a deferred bid is being sent: there is no caller whose call could be joined."""
    server = await stage.serve(
        circuit_breaker={"failure_threshold": 1, "slow_call_ms": 100, "open_s": 0.3}
    )
    await stage.fault(FaultKind.SLOW, delay_ms=150)
    await server.place(say.bid("opener", 20))
    request = say.bid("r", 15, campaign="1002")
    assert (await server.place(request)).status == bid_pb2.BID_STATUS_DEFERRED
    await stage.fault(FaultKind.SLOW, delay_ms=1_000)
    await say.eventually(lambda: stage.mutates("r"), bool)
    refusal = await say.refused(server.place(request))
    # Only its price was held, and it goes on to its end.
    return (
        refusal,
        server,
        Expected(
            StatusCode.ABORTED,
            {"request_id": "r"},
            {"committed": 20 * USD, "held": 15 * USD},
            retry=True,
        ),
    )


@reason("DEADLINE_TOO_SHORT")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve(min_deadline_ms=10_000)
    refusal = await say.refused(server.place(say.bid("r", 15), timeout=5))
    return refusal, server, Expected(StatusCode.DEADLINE_EXCEEDED, {"min_deadline_ms": "10000"})


@reason("NOT_FOUND")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve()
    refusal = await say.refused(server.stats("nobody's"))
    return refusal, server, Expected(StatusCode.NOT_FOUND, text="google_ads")


# We refuse


@reason("BUDGET_EXCEEDED")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve(budget={"limit": "500"})
    await server.place(say.bid("first", 275, ltv_usd=550))
    refusal = await say.refused(server.place(say.bid("r", 300, ltv_usd=600)))
    says = {
        "budget_id": "google_ads",
        "amount_micros": "300000000",
        "limit_micros": "500000000",
        "committed_micros": "275000000",
        "held_micros": "0",
        "remaining_micros": "225000000",
        "currency_code": "USD",
    }
    text = "google_ads: $300.00 does not fit: $275.00 committed + $0.00 held of $500.00 in 10 min."
    return (
        refusal,
        server,
        Expected(
            StatusCode.RESOURCE_EXHAUSTED,
            says,
            {"committed": 275 * USD},
            retry=True,
            quota="google_ads",
            text=text,
        ),
    )


@reason("BUDGET_PAUSED")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve()
    await server.budgets.PauseBudget(
        budgets_pb2.PauseBudgetRequest(budget_id="google_ads", reason="audit")
    )
    refusal = await say.refused(server.place(say.bid("r", 15)))
    return (
        refusal,
        server,
        Expected(
            StatusCode.FAILED_PRECONDITION,
            {"budget_id": "google_ads", "blocked_by": "pause"},
            quota="google_ads",
        ),
    )


@reason("RATE_LIMITED")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve(rate_limit={"calls": 3})
    await server.place(say.bid("first", 15))
    refusal = await say.refused(server.place(say.bid("r", 16)))
    says = {"limit_calls": "3", "window_s": "60", "used_calls": "3", "limited_by": "window"}
    return (
        refusal,
        server,
        Expected(
            StatusCode.RESOURCE_EXHAUSTED,
            says,
            {"committed": 15 * USD},
            retry=True,
            quota="google_ads/calls",
        ),
    )


@reason("OVERLOADED")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve(server={"max_in_flight": 1})
    await stage.fault(FaultKind.SLOW, delay_ms=400)
    first = asyncio.ensure_future(server.place(say.bid("first", 15)))
    await say.eventually(lambda: stage.mutates("first"), bool)
    refusal = await say.refused(server.place(say.bid("r", 15, campaign="1002")))
    await first
    return (
        refusal,
        server,
        Expected(
            StatusCode.RESOURCE_EXHAUSTED,
            {"max_in_flight": "1"},
            {"committed": 15 * USD},
            retry=True,
            quota="server/in_flight",
        ),
    )


@reason("TARGET_IN_DOUBT")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve(timeout_ms=HANG_MS, reconciler={"interval_s": 600})
    await stage.fault(FaultKind.APPLY_THEN_HANG)
    await say.refused(server.place(say.bid("first", 15)))
    refusal = await say.refused(server.place(say.bid("r", 16)))
    return (
        refusal,
        server,
        Expected(
            StatusCode.ABORTED,
            {"target": "campaigns/1001", "hold_id": None},
            {"in_doubt": 15 * USD},
            retry=True,
        ),
    )


@reason("CIRCUIT_OPEN_NO_FALLBACK")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve(circuit_breaker={"failure_threshold": 1})
    await stage.fault(FaultKind.REFUSE)
    first = await say.refused(server.place(say.bid("first", 15)))
    assert first.reason == "PLATFORM_UNAVAILABLE"
    refusal = await say.refused(server.place(say.bid("r", 15, ltv_usd=0)))
    return refusal, server, Expected(StatusCode.UNAVAILABLE, {"circuit_state": "open"}, retry=True)


@reason("LEDGER_UNAVAILABLE")
async def _(stage: Stage, say: Words) -> Any:
    """Somebody else holds the store's write lock for longer than a commit may take."""
    server = await stage.serve(ledger={"commit_timeout_s": 0.3})
    await server.place(say.bid("first", 15))
    await server.audited("first", "reserve", "settle")
    blocker = sqlite3.connect(stage.directory / "state" / "ledger.sqlite3", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        refusal = await say.refused(server.place(say.bid("r", 15, campaign="1002")))
        assert not server.core.ledger.available
        assert stage.mutates("r") == []
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    await say.eventually(lambda: server.core.ledger.available, bool)
    return (
        refusal,
        server,
        Expected(StatusCode.UNAVAILABLE, money={"committed": 15 * USD}, retry=True),
    )


@reason("SERVER_DRAINING")
async def _(stage: Stage, say: Words) -> Any:
    """The server begins to stop before the bid is sent."""
    server = await stage.serve()
    await server.place(say.bid("first", 15))
    server.core.begin_drain()
    refusal = await say.refused(server.place(say.bid("r", 16)))
    assert stage.mutates("r") == []
    return (
        refusal,
        server,
        Expected(StatusCode.UNAVAILABLE, money={"committed": 15 * USD}, retry=True),
    )


@reason("NO_BID")
async def _(stage: Stage, say: Words) -> Any:
    """Whoever sold the place blocks what the advertiser sells."""
    server = await stage.serve()
    request = blocked_auction(say.bid("r", 15).bid)
    exchange = trade_desk_pb2_grpc.TradeDeskServiceStub(server.channel)
    refusal = await say.refused(exchange.PlaceBid(request))
    assert json.loads(refusal.metadata["bid_response_json"])["id"] == "auction-1"
    assert (await server.stats("trade_desk")).committed_micros == 0
    assert not [entry for entry in stage.sandboxes["trade_desk"].journal() if entry.changes]
    says = {"nbr": None, "rule": "category", "bid_response_json": None}
    return refusal, server, Expected(StatusCode.FAILED_PRECONDITION, says, text="IAB3")


# The platform


@reason("PLATFORM_REJECTED")
async def _(stage: Stage, say: Words) -> Any:
    """The token is revoked between the read of the campaign and the change."""
    server = await stage.serve()
    await server.place(say.bid("first", 15))
    stage.sandbox.revoke_tokens()
    request = say.bid("r", 16)
    refusal = await say.refused(server.place(request))
    again = await say.refused(server.place(request))
    assert (again.reason, again.message) == (refusal.reason, refusal.message)
    assert stage.mutates("r") == []
    says = {
        "platform_status": "UNAUTHENTICATED",
        "platform_errors": "authentication_error.OAUTH_TOKEN_INVALID",
    }
    return refusal, server, Expected(StatusCode.FAILED_PRECONDITION, says, {"committed": 15 * USD})


@reason("PLATFORM_UNAVAILABLE")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve()
    await server.place(say.bid("first", 15))
    await stage.fault(FaultKind.REFUSE)
    refusal = await say.refused(server.place(say.bid("r", 16)))
    return (
        refusal,
        server,
        Expected(StatusCode.UNAVAILABLE, money={"committed": 15 * USD}, retry=True),
    )


@reason("OUTCOME_UNKNOWN")
async def _(stage: Stage, say: Words) -> Any:
    server = await stage.serve(timeout_ms=HANG_MS, reconciler={"interval_s": 600})
    await stage.fault(FaultKind.APPLY_THEN_HANG)
    refusal = await say.refused(server.place(say.bid("r", 15)))
    says = {"request_id": "r", "hold_id": None, "in_doubt_micros": "15000000"}
    return (
        refusal,
        server,
        Expected(
            StatusCode.UNKNOWN,
            says,
            {"in_doubt": 15 * USD},
            retry=True,
            text="Retry with the SAME request id.",
        ),
    )


# We are at fault


@reason("INTERNAL")
async def _(stage: Stage, say: Words) -> Any:
    google = PLATFORMS["google_ads"]
    broken = dataclasses.replace(
        google, connector=lambda context: Broken(google.connector(context))
    )
    server = await stage.serve(platforms={"google_ads": broken})
    refusal = await say.refused(server.place(say.bid("r", 15)))
    assert "12345" not in refusal.message
    return refusal, server, Expected(StatusCode.INTERNAL)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
async def test_every_refusal_says_why_with_its_numbers_and_does_what_it_says_to_money(
    stage: Stage, say: Words, name: str
) -> None:
    refusal, server, expected = await SCENARIOS[name](stage, say)

    assert (refusal.reason, refusal.code) == (name, expected.code), refusal
    assert refusal.domain == "smartconnectors"
    for key, value in expected.metadata.items():
        assert key in refusal.metadata
        assert value is None or refusal.metadata[key] == value, key
    assert expected.text in refusal.message
    assert (refusal.retry_s is not None) is expected.retry
    if refusal.retry_s is not None:
        assert refusal.retry_s > 0
    if refusal.retry_s is not None and refusal.code is StatusCode.UNAVAILABLE:
        assert refusal.pushback_ms is not None
        assert refusal.pushback_ms / 1000 == pytest.approx(refusal.retry_s, abs=0.001)
    else:
        assert refusal.pushback_ms is None
    assert refusal.quota_subjects == ((expected.quota,) if expected.quota else ())
    assert refusal.fields == ((expected.field,) if expected.field else ())
    assert await server.money() == expected.money


def test_every_reason_there_is_has_its_scenario() -> None:
    assert set(SCENARIOS) == set(every_reason())


async def test_an_amount_above_the_limit_can_never_fit_and_has_no_time_to_retry(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(budget={"limit": "500"})
    refusal = await say.refused(server.place(say.bid("r", 500.01, ltv_usd=1_000.02)))
    assert refusal.reason == "BUDGET_EXCEEDED"
    assert "$500.01 can never fit; the limit is $500.00." in refusal.message
    assert (refusal.retry_s, refusal.pushback_ms) == (None, None)
    assert refusal.metadata["blocked_by"] == "limit"
