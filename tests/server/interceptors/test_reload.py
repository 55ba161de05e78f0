"""Every key that can be reloaded takes effect on the next bid."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from tests.server.alerts.receiver import SECRET, Receiver

from smartconnectors.common.v1 import campaign_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.circuitbreaker import CircuitOpen, State
from smartconnectors_server.errors import OutcomeUnknown
from smartconnectors_server.reload import RELOADABLE, Change, ReloadRefused

if TYPE_CHECKING:
    from tests.server.interceptors.conftest import Build, House

USD = 1_000_000
MakeBid = Callable[..., Any]
Effect = Callable[["House", "Reload", MakeBid], Awaitable[None]]


def changed(model: Any, path: list[str], value: Any) -> Any:
    """Settings with one value in another's place."""
    name, *rest = path
    below = model[name] if isinstance(model, Mapping) else getattr(model, name)
    new = changed(below, rest, value) if rest else value
    if isinstance(model, Mapping):
        return {**model, name: new}
    return model.model_copy(update={name: new})


class Reload:
    """Reloads a house with one key changed."""

    def __init__(self, house: House, key: str) -> None:
        self._house = house
        self._path = key.replace("platforms.*", "platforms.google_ads").replace("*", "1").split(".")

    async def to(self, value: Any) -> tuple[Change, ...]:
        settings = changed(self._house.core.engines.settings, self._path, value)
        return await self._house.core.reloader.take(settings)


async def a_limit(house: House, reload: Reload, bid: MakeBid) -> None:
    assert await house.status(bid("before")) == "PLACED"
    await reload.to(20 * USD)
    assert (await house.refused(bid("after"))).reason == "BUDGET_EXCEEDED"
    page = await house.core.keeper.entries(budget_id="", request_id="", size=50, token="")
    assert [line.note for line in page.rows if line.verb == "limit"] == ["configuration reload"]


async def a_deadline(house: House, reload: Reload, bid: MakeBid) -> None:
    await house.call(bid("before"), deadline_s=5)
    await reload.to(9000)
    assert (await house.refused(bid("after"), deadline_s=5)).reason == "DEADLINE_TOO_SHORT"


async def a_smallest_change(house: House, reload: Reload, bid: MakeBid) -> None:
    assert await house.status(bid("before")) == "PLACED"
    await reload.to(50.0)
    assert await house.status(bid("after")) == "UNCHANGED"


async def an_interval(house: House, reload: Reload, bid: MakeBid) -> None:
    house.script.after_value = 110
    assert await house.status(bid("before")) == "PLACED"
    assert await house.status(bid("again")) == "PLACED"
    await reload.to(600.0)
    assert (await house.refused(bid("after"))).metadata["limited_by"] == "min_interval"


async def a_largest_step(house: House, reload: Reload, bid: MakeBid) -> None:
    house.script.after_value = 200
    assert await house.status(bid("before")) == "PLACED"
    await reload.to(30.0)
    assert (await house.refused(bid("after"))).reason == "STEP_TOO_LARGE"


async def a_largest_daily_budget(house: House, reload: Reload, bid: MakeBid) -> None:
    def update(request_id: str) -> Any:
        return ads_pb2.UpdateCampaignBudgetRequest(
            update=campaign_pb2.CampaignBudgetUpdate(
                request_id=request_id, campaign_id="1", daily_budget_micros=120 * USD
            )
        )

    assert await house.status(update("before")) == "PLACED"
    await reload.to(100 * USD)
    assert (await house.refused(update("after"))).reason == "STEP_TOO_LARGE"


async def a_largest_bid(house: House, reload: Reload, bid: MakeBid) -> None:
    assert await house.status(bid("before")) == "PLACED"
    await reload.to(1)
    assert (await house.refused(bid("after"))).reason == "STEP_TOO_LARGE"


async def a_lowest_roas(house: House, reload: Reload, bid: MakeBid) -> None:
    house.script.after_value, house.script.roas_millionths = 110, 1_490_000
    assert await house.status(bid("before")) == "PLACED"
    await reload.to(1.5)
    assert (await house.refused(bid("after"))).reason == "STEP_TOO_LARGE"


async def amounts_that_differ(house: House, reload: Reload, bid: MakeBid) -> None:
    def differs(request_id: str) -> Any:
        request = bid(request_id)
        request.target_roas.roas = 0.01
        return request

    assert (await house.refused(differs("before"))).reason == "INVALID_BID"
    await reload.to(True)
    assert await house.status(differs("after")) == "PLACED"


async def a_quota(house: House, reload: Reload, bid: MakeBid) -> None:
    assert await house.status(bid("before")) == "PLACED"
    await reload.to(1)
    assert (await house.refused(bid("after"))).reason == "RATE_LIMITED"


async def a_reserve(house: House, reload: Reload, bid: MakeBid) -> None:
    for number in range(3):
        assert await house.status(bid(f"before-{number}", 1)) == "PLACED"
    await reload.to(50.0)
    assert (await house.refused(bid("after", 1))).reason == "RATE_LIMITED"


async def a_failure_threshold(house: House, reload: Reload, bid: MakeBid) -> None:
    house.runtime.breaker.acquire().fail()
    assert house.runtime.breaker.state is State.CLOSED
    await reload.to(2)
    house.runtime.breaker.acquire().fail()
    assert house.runtime.breaker.state is State.OPEN


async def a_slow_call(house: House, reload: Reload, bid: MakeBid) -> None:
    await reload.to(100)
    for _ in range(3):
        permit = house.runtime.breaker.acquire()
        house.clock.advance(0.2)
        permit.succeed()
    assert house.runtime.breaker.state is State.OPEN


async def an_open_time(house: House, reload: Reload, bid: MakeBid) -> None:
    house.open_breaker()
    await reload.to(1.0)
    house.clock.advance(1.0)
    assert house.runtime.breaker.would_admit()


async def some_probes(house: House, reload: Reload, bid: MakeBid) -> None:
    house.open_breaker()
    house.clock.advance(30)
    probe = house.runtime.breaker.acquire()
    with pytest.raises(CircuitOpen):
        house.runtime.breaker.acquire()
    await reload.to(2)
    house.runtime.breaker.acquire().release()
    probe.release()


async def some_successes(house: House, reload: Reload, bid: MakeBid) -> None:
    await reload.to(1)
    house.open_breaker()
    house.clock.advance(30)
    house.runtime.breaker.acquire().succeed()
    assert house.runtime.breaker.state is State.CLOSED


async def a_permit_s_age(house: House, reload: Reload, bid: MakeBid) -> None:
    house.open_breaker()
    house.clock.advance(30)
    house.runtime.breaker.acquire()
    await reload.to(1.0)
    house.clock.advance(1.0)
    assert house.runtime.breaker.state is State.OPEN


async def a_multiplier(house: House, reload: Reload, bid: MakeBid) -> None:
    assert (await house.call(bid("before", None))).result.bid_micros == 20 * USD
    await reload.to(500)
    assert (await house.call(bid("after", None))).result.bid_micros == 10 * USD


async def a_cap(house: House, reload: Reload, bid: MakeBid) -> None:
    assert await house.status(bid("own")) == "PLACED"
    assert (await house.call(bid("before", None))).result.bid_micros == 15 * USD
    await reload.to("none")
    assert (await house.call(bid("after", None))).result.bid_micros == 20 * USD


async def some_samples(house: House, reload: Reload, bid: MakeBid) -> None:
    assert await house.status(bid("own", 15, predicted_ltv_micros=30 * USD)) == "PLACED"
    before = await house.call(bid("before", None, predicted_ltv_micros=20 * USD))
    assert before.result.uncapped_fallback_micros == 30 * USD
    await reload.to(3)
    after = await house.call(bid("after", None, predicted_ltv_micros=20 * USD))
    assert after.result.uncapped_fallback_micros == 20 * USD


async def in_doubt(house: House, bid: MakeBid) -> None:
    async def lost(request: Any, call: Any) -> None:
        call.dispatched = True
        raise OutcomeUnknown("nobody knows")

    house.script.sends = lost
    await house.refused(bid("lost"))


async def lookups_in(house: House, seconds: float) -> int:
    before = house.script.log.count("lookup")
    for _ in range(int(seconds)):
        await house.pass_time(1)
    return house.script.log.count("lookup") - before


async def a_longer_interval(house: House, reload: Reload, bid: MakeBid) -> None:
    await in_doubt(house, bid)
    assert await lookups_in(house, 20) >= 10
    await reload.to(1000.0)
    assert await lookups_in(house, 40) <= 6


async def a_quiet_period(house: House, reload: Reload, bid: MakeBid) -> None:
    await in_doubt(house, bid)
    await lookups_in(house, 20)
    assert house.money() == {"in_doubt": 15 * USD}
    await reload.to(10.0)
    await lookups_in(house, 5)
    assert house.money() == {"committed": 15 * USD}, "inconclusive, and settled as assumed"


async def told(house: House) -> list[str]:
    """The kinds of all alerts."""
    house.core.books.conditions.look(house.core.runtimes)
    await house.core.ledger.flush()
    return [alert.kind.value for alert in await house.core.ledger.alerts.page(0, 100)]


async def a_time_in_doubt(house: House, reload: Reload, bid: MakeBid) -> None:
    await in_doubt(house, bid)
    house.clock.advance(20)
    assert await told(house) == []
    await reload.to(10.0)
    assert await told(house) == ["in_doubt_too_long"]


async def a_beginning(house: House, reload: Reload, bid: MakeBid) -> None:
    while house.runtime.limiter.headroom():
        await house.runtime.limiter.take()
    assert await told(house) == []
    await reload.to(0.0)
    assert await told(house) == ["rate_limit_near"]


async def an_end(house: House, reload: Reload, bid: MakeBid) -> None:
    house.open_breaker()
    await house.pass_time(31)
    for _ in range(2):
        house.runtime.breaker.acquire().succeed()
    assert await told(house) == ["circuit_opened"]
    await reload.to(0.0)
    assert await told(house) == ["circuit_opened", "circuit_closed"]


async def a_slow_commit(house: House, reload: Reload, bid: MakeBid) -> None:
    house.core.books.conditions.committed(0.5)
    assert await told(house) == []
    await reload.to(400)
    house.core.books.conditions.committed(0.5)
    assert await told(house) == ["ledger_slow"]


async def ids_of_others(house: House, reload: Reload, bid: MakeBid) -> None:
    house.script.marker = "theirs"
    await house.call(bid("r"))
    await house.core.books.unknown_ids.look()
    assert await told(house) == ["unknown_request_id"]
    await reload.to(False)
    await house.core.books.unknown_ids.look()
    assert await told(house) == ["unknown_request_id", "unknown_request_id_ended"]


@contextlib.asynccontextmanager
async def received(house: House, reload: Reload, value: Any) -> AsyncIterator[Receiver]:
    """Where the webhook delivers to, once the key has this value."""
    receiver = Receiver()
    await receiver.start()
    try:
        await Reload(house, "alerts.webhooks.*.url").to(SecretStr(receiver.url))
        if value is not None:
            await reload.to(value)
        yield receiver
    finally:
        await receiver.stop()


async def an_address(house: House, reload: Reload, bid: MakeBid) -> None:
    async with received(house, reload, None) as receiver:
        house.open_breaker()
        await receiver.until(1)
        assert receiver.got[0].is_signed_with(SECRET)


async def a_secret(house: House, reload: Reload, bid: MakeBid) -> None:
    other = "whsec_" + "YW5vdGhlciBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXQ="
    async with received(house, reload, SecretStr(other)) as receiver:
        house.open_breaker()
        await receiver.until(1)
        assert receiver.got[0].is_signed_with(other)


async def a_format(house: House, reload: Reload, bid: MakeBid) -> None:
    async with received(house, reload, "slack") as receiver:
        house.open_breaker()
        await receiver.until(1)
        assert set(receiver.got[0].document) == {"text", "blocks"}


async def some_kinds(house: House, reload: Reload, bid: MakeBid) -> None:
    async with received(house, reload, ("ledger_slow",)) as receiver:
        house.open_breaker()
        house.core.books.conditions.committed(5.0)
        await receiver.until(1)
        assert receiver.got[0].document["type"] == "ledger_slow"


A_WEBHOOK = {"alerts": {"webhooks": {"1": {"url": "http://127.0.0.1:9/", "secret": SECRET}}}}

EFFECTS: Mapping[str, tuple[Mapping[str, Any], Effect]] = {
    "total_budget.limit": ({"total_budget": {"limit": "90"}}, a_limit),
    "reconciler.interval_s": (
        {"reconciler": {"interval_s": 1.0, "max_interval_s": 1.0, "quiet_period_s": 80_000}},
        a_longer_interval,
    ),
    "reconciler.max_interval_s": (
        {"reconciler": {"interval_s": 1.0, "max_interval_s": 1.0, "quiet_period_s": 80_000}},
        a_longer_interval,
    ),
    "reconciler.quiet_period_s": (
        {"reconciler": {"interval_s": 1.0, "max_interval_s": 1.0, "quiet_period_s": 80_000}},
        a_quiet_period,
    ),
    "alerts.begins_after_s": ({"rate_limit": {"calls": 1}}, a_beginning),
    "alerts.ends_after_s": ({}, an_end),
    "alerts.in_doubt_after_s": ({"reconciler": {"quiet_period_s": 80_000}}, a_time_in_doubt),
    "alerts.ledger_slow_ms": ({}, a_slow_commit),
    "alerts.unknown_request_ids": ({}, ids_of_others),
    "alerts.webhooks.*.url": (A_WEBHOOK, an_address),
    "alerts.webhooks.*.secret": (A_WEBHOOK, a_secret),
    "alerts.webhooks.*.format": (A_WEBHOOK, a_format),
    "alerts.webhooks.*.kinds": (A_WEBHOOK, some_kinds),
    "platforms.*.min_deadline_ms": ({}, a_deadline),
    "platforms.*.min_change_percent": ({}, a_smallest_change),
    "platforms.*.min_interval_s": ({}, an_interval),
    "platforms.*.max_step_percent": ({}, a_largest_step),
    "platforms.*.max_daily_budget": ({}, a_largest_daily_budget),
    "platforms.*.max_bid": ({}, a_largest_bid),
    "platforms.*.min_roas": ({}, a_lowest_roas),
    "platforms.*.amount_may_differ": ({}, amounts_that_differ),
    "platforms.*.budget.limit": ({}, a_limit),
    "platforms.*.budget.campaigns.*": (
        {"budget": {"limit": "100", "campaigns": {"1": "90"}}},
        a_limit,
    ),
    "platforms.*.rate_limit.calls": ({}, a_quota),
    "platforms.*.rate_limit.burst": ({}, a_quota),
    "platforms.*.rate_limit.reserve_percent": ({"rate_limit": {"calls": 6}}, a_reserve),
    "platforms.*.circuit_breaker.failure_threshold": ({}, a_failure_threshold),
    "platforms.*.circuit_breaker.slow_call_ms": ({}, a_slow_call),
    "platforms.*.circuit_breaker.open_s": ({}, an_open_time),
    "platforms.*.circuit_breaker.half_open_probes": ({}, some_probes),
    "platforms.*.circuit_breaker.close_after_successes": ({}, some_successes),
    "platforms.*.circuit_breaker.permit_max_age_s": ({}, a_permit_s_age),
    "platforms.*.fallback.multiplier": ({}, a_multiplier),
    "platforms.*.fallback.cap": ({}, a_cap),
    "platforms.*.fallback.min_samples": ({}, some_samples),
}


def test_the_effect_of_every_reloadable_key_is_shown() -> None:
    assert set(EFFECTS) == set(RELOADABLE)


@pytest.mark.parametrize("key", EFFECTS)
async def test_a_reloaded_key_takes_effect_on_the_next_call(
    build: Build, make_bid: MakeBid, key: str
) -> None:
    settings, effect = EFFECTS[key]
    house = await build(**settings)
    await effect(house, Reload(house, key), make_bid)


async def test_a_key_that_needs_a_restart_keeps_all_others_from_changing(
    house: House, make_bid: MakeBid
) -> None:
    settings = changed(
        house.core.engines.settings, ["platforms", "google_ads", "budget", "limit"], 1 * USD
    )
    settings = changed(settings, ["platforms", "google_ads", "timeout_ms"], 9999)
    settings = changed(settings, ["server", "grpc_port"], 1)
    with pytest.raises(ReloadRefused) as caught:
        await house.core.reloader.take(settings)
    assert str(caught.value) == (
        "a restart is needed for platforms.google_ads.timeout_ms, server.grpc_port"
    )
    assert await house.status(make_bid("as-before")) == "PLACED"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["mode"], "live"),
        (["endpoint"], "127.0.0.1:2"),
        (["options"], {"customer_id": "1111111111"}),
        (["accounts"], {"eu": {"customer_id": "1111111111"}}),
        (["enabled"], False),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else "",
)
async def test_where_money_goes_is_never_changed_by_a_reload(
    house: House, make_bid: MakeBid, path: list[str], value: Any
) -> None:
    house.open_breaker()
    assert await house.status(make_bid("waits")) == "DEFERRED"
    before = house.core.engines.settings
    with pytest.raises(
        ReloadRefused, match=rf"a restart is needed for platforms\.google_ads\.{path[0]}"
    ):
        await house.core.reloader.take(changed(before, ["platforms", "google_ads", *path], value))
    assert house.core.engines.settings is before


async def test_an_operator_s_limit_stays_when_the_file_s_has_not_changed(
    house: House, make_bid: MakeBid
) -> None:
    await house.core.keeper.set_limit("google_ads", 20 * USD, "careful today")
    await Reload(house, "platforms.*.max_step_percent").to(1000.0)
    assert house.state.limits[0].limit.limit_micros == 20 * USD


async def test_a_limit_that_has_changed_in_the_file_goes_before_an_operator_s(
    house: House,
) -> None:
    await house.core.keeper.set_limit("google_ads", 20 * USD, "careful today")
    await Reload(house, "platforms.*.budget.limit").to(50 * USD)
    assert house.state.limits[0].limit.limit_micros == 50 * USD


async def test_a_lower_quota_never_lets_more_through_than_it_says(
    build: Build, make_bid: MakeBid
) -> None:
    """Calls made under the old limit count in the window of the new one."""
    house = await build(rate_limit={"calls": 10, "window_s": 60.0}, budget={"limit": "1000"})
    for number in range(6):
        assert await house.status(make_bid(f"early-{number}", 1)) == "PLACED"
        house.clock.advance(1)
    await Reload(house, "platforms.*.rate_limit.calls").to(4)
    house.clock.advance(54.5)  # the first has left the window, and five are more than four
    assert (await house.refused(make_bid("early-still", 1))).reason == "RATE_LIMITED"
    house.clock.advance(2)
    assert await house.status(make_bid("late", 1)) == "PLACED"
    assert (await house.refused(make_bid("too-many", 1))).reason == "RATE_LIMITED"


async def test_a_ledger_that_is_away_keeps_everything_from_changing(
    house: House, make_bid: MakeBid
) -> None:
    await house.core.ledger.close()
    before = house.core.engines.settings
    settings = changed(before, ["platforms", "google_ads", "budget", "limit"], 1 * USD)
    settings = changed(settings, ["platforms", "google_ads", "min_deadline_ms"], 9000)
    with pytest.raises(ReloadRefused, match="cannot be written"):
        await house.core.reloader.take(settings)
    assert house.core.engines.settings is before
    assert house.runtime.settings.min_deadline_ms != 9000
    assert house.state.limits[0].limit.limit_micros == 100 * USD
