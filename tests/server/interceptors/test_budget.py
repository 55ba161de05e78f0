"""Money is held before anything is sent, and resolved by what happened and by nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors_server import errors
from smartconnectors_server.connector import Finding
from smartconnectors_server.ledger import HoldState

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

USD = 1_000_000


async def test_the_hold_is_there_when_the_change_is_sent_and_settled_when_it_is_answered(
    house: House, make_bid: Callable[..., Any]
) -> None:
    seen = []

    async def look(request: Any, call: Any) -> None:
        seen.append((house.money(), call.hold.state, call.dispatched))

    house.script.sends = look
    await house.call(make_bid("r"))
    assert seen == [({"held": 15 * USD}, HoldState.HELD, True)]
    assert house.money() == {"committed": 15 * USD}


@pytest.mark.parametrize(
    ("error", "raised", "money"),
    [
        (errors.PlatformRejected("no"), "PLATFORM_REJECTED", {}),
        (errors.PlatformUnavailable("refused"), "PLATFORM_UNAVAILABLE", {}),
        (errors.RateLimited("its own quota", retry_after_s=1), "RATE_LIMITED", {}),
        (errors.UnknownTarget("gone"), "UNKNOWN_TARGET", {}),
        (errors.OutcomeUnknown("lost"), "OUTCOME_UNKNOWN", {"in_doubt": 15 * USD}),
        (RuntimeError("a bug"), "OUTCOME_UNKNOWN", {"in_doubt": 15 * USD}),
        (TimeoutError(), "OUTCOME_UNKNOWN", {"in_doubt": 15 * USD}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_what_an_error_means_for_money_is_what_its_class_says(
    house: House,
    make_bid: Callable[..., Any],
    error: Exception,
    raised: str,
    money: dict[str, int],
) -> None:
    async def fail(request: Any, call: Any) -> None:
        raise error

    house.script.sends = fail
    refusal = await house.refused(make_bid("r"))
    assert refusal.reason == raised
    assert house.money() == money
    assert house.holds(HoldState.HELD) == 0


async def test_an_unknown_outcome_says_which_hold_and_to_ask_again_with_the_same_id(
    house: House, make_bid: Callable[..., Any]
) -> None:
    async def lost(request: Any, call: Any) -> None:
        raise errors.OutcomeUnknown("lost", metadata={"platform_status": "INTERNAL"})

    house.script.sends = lost
    refusal = await house.refused(make_bid("r"))
    (hold,) = house.core.keeper.open_holds(HoldState.IN_DOUBT)
    assert refusal.metadata == {
        "platform_status": "INTERNAL",
        "request_id": "r",
        "hold_id": hold.hold_id,
        "in_doubt_micros": "15000000",
    }
    assert "Retry with the SAME request id." in refusal.message
    assert refusal.retry_after_s is not None


@pytest.mark.parametrize(
    ("finding", "quiet", "money"),
    [
        (Finding.APPLIED, False, {"committed": 15 * USD}),
        (Finding.NOT_APPLIED, False, {"in_doubt": 15 * USD}),
        (Finding.NOT_APPLIED, True, {}),
        (Finding.INCONCLUSIVE, False, {"in_doubt": 15 * USD}),
        (Finding.INCONCLUSIVE, True, {"committed": 15 * USD}),
    ],
)
async def test_a_doubt_ends_by_what_a_look_says_and_never_by_time_alone(
    build: Build,
    make_bid: Callable[..., Any],
    finding: Finding,
    quiet: bool,
    money: dict[str, int],
) -> None:
    """The quiet period is twice the platform's timeout: twenty seconds here."""
    house = await build(timeout_ms=10_000)

    async def lost(request: Any, call: Any) -> None:
        raise errors.OutcomeUnknown("lost")

    house.script.sends = lost
    await house.refused(make_bid("r"))

    async def unreachable(sent: Any) -> Finding:
        raise errors.PlatformUnavailable("refused")

    house.script.lookup = unreachable  # type: ignore[method-assign]
    await house.pass_time(60 if quiet else 5)
    assert house.money() == {"in_doubt": 15 * USD}  # nobody could look

    async def look(sent: Any) -> Finding:
        return finding

    house.script.lookup = look  # type: ignore[method-assign]
    await house.pass_time(60 if quiet else 5)  # a platform that was down is asked once a minute
    assert house.money() == money


async def test_a_bug_in_the_plan_holds_nothing_and_leaves_the_target_free(
    house: House, make_bid: Callable[..., Any]
) -> None:
    plan = house.script.plans

    async def bug(request: Any, priced: Any) -> Any:
        raise RuntimeError("a bug")

    house.script.plans = bug
    with pytest.raises(RuntimeError):
        await house.call(make_bid("r"))
    assert (house.money(), house.holds(), len(house.runtime.targets)) == ({}, 0, 0)
    house.script.plans = plan
    assert await house.status(make_bid("r")) == "PLACED"


async def test_an_operator_cannot_give_back_what_is_being_sent(
    house: House, make_bid: Callable[..., Any]
) -> None:
    answered = asyncio.Event()

    async def slow(request: Any, call: Any) -> None:
        await answered.wait()

    house.script.sends = slow
    call = house.begin(make_bid("r"))
    await house.until(lambda: house.script.sent)
    (hold,) = house.core.keeper.open_holds()
    with pytest.raises(errors.RequestInProgress):
        await house.core.keeper.end_by_operator(hold.hold_id, settled=False, reason="looks stuck")
    assert house.money() == {"held": 15 * USD}
    answered.set()
    assert (await call).result.status
    assert house.money() == {"committed": 15 * USD}


async def test_the_breaker_hears_of_the_platform_only_and_never_of_our_own_vetoes(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(budget={"limit": "15"})
    await house.call(make_bid("first"))
    for number in range(10):
        assert (await house.refused(make_bid(f"veto-{number}", 16))).reason == "BUDGET_EXCEEDED"
        assert (await house.refused(make_bid("", 1))).reason == "INVALID_BID"
    assert house.runtime.breaker.state.value == "closed"
    assert house.runtime.breaker.bad_in_a_row == 0


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (errors.PlatformUnavailable("refused"), True),
        (errors.OutcomeUnknown("lost"), True),
        (errors.PlatformRejected("no"), False),
        (errors.RateLimited("its own quota"), False),
    ],
    ids=lambda value: getattr(value, "reason", ""),
)
async def test_three_faults_of_the_platform_open_the_breaker_and_its_refusals_do_not(
    house: House, make_bid: Callable[..., Any], error: errors.ConnectorError, opens: bool
) -> None:
    async def fail(request: Any, call: Any) -> None:
        raise error

    house.script.sends = fail
    for number in range(3):
        await house.refused(make_bid(f"r{number}", 1, campaign=str(number)))
    assert house.runtime.breaker.would_admit() is not opens


async def test_a_budget_of_another_platforms_campaign_does_not_count(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(budget={"limit": "100", "campaigns": {"2": "1"}})
    assert await house.status(make_bid("r", campaign="1")) == "PLACED"
    error = await house.refused(make_bid("s", campaign="2"))
    assert error.metadata["budget_id"] == "google_ads/campaigns/2"


async def test_every_campaign_without_a_limit_of_its_own_gets_the_default_one(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(budget={"limit": "100", "campaign_default": "20"})
    assert await house.status(make_bid("a", 15, campaign="1")) == "PLACED"
    refused = await house.refused(make_bid("b", 15, campaign="1"))
    assert (refused.reason, refused.metadata["budget_id"]) == (
        "BUDGET_EXCEEDED",
        "google_ads/campaigns/1",
    )
    assert await house.status(make_bid("c", 15, campaign="2")) == "PLACED"
    body, _ = house.app.telemetry.metrics.exposition("")
    assert b'budget="google_ads"' in body
    assert b"google_ads/campaigns/" not in body
