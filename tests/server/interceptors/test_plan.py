"""What may change, by how much, how often and how far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors_server.errors import NotAReduction, RateLimited, StepTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

USD = 1_000_000


@pytest.mark.parametrize(
    ("after", "refused"), [(130, False), (131, True), (70, False), (69, False), (1, False)]
)
async def test_a_step_is_limited_towards_more_exposure_only(
    build: Build, make_bid: Callable[..., Any], after: int, refused: bool
) -> None:
    """In this script a lower value is less exposure."""
    house = await build(max_step_percent=30)
    house.script.after_value = after
    if refused:
        error = await house.refused(make_bid("r"))
        assert isinstance(error, StepTooLarge)
        assert error.metadata["change_percent"] == "31.000"
        assert house.script.sent == []
        assert house.money() == {}
    else:
        assert await house.status(make_bid("r")) == "PLACED"


async def test_a_step_from_an_unknown_setting_is_not_measured(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(max_step_percent=1, min_change_percent=50)
    house.script.before_value = None
    assert await house.status(make_bid("r")) == "PLACED"


async def test_too_small_a_change_is_none(build: Build, make_bid: Callable[..., Any]) -> None:
    house = await build(min_change_percent=5)
    house.script.after_value = 104
    assert await house.status(make_bid("r")) == "UNCHANGED"
    house.script.after_value = 105
    assert await house.status(make_bid("r")) == "PLACED"


async def test_a_target_is_changed_once_within_the_interval_unless_it_is_lowered(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(min_interval_s=60)
    house.script.after_value = 110
    assert await house.status(make_bid("first")) == "PLACED"
    error = await house.refused(make_bid("second"))
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == pytest.approx(60, abs=0.01)
    assert error.metadata["limited_by"] == "min_interval"
    assert await house.status(make_bid("elsewhere", campaign="2")) == "PLACED"
    house.script.after_value = 90
    assert await house.status(make_bid("lower")) == "PLACED"
    house.script.after_value = 110
    await house.pass_time(59.9)
    assert isinstance(await house.refused(make_bid("third")), RateLimited)
    await house.pass_time(0.2)
    assert await house.status(make_bid("third")) == "PLACED"


async def test_the_interval_survives_a_restart(build: Build, make_bid: Callable[..., Any]) -> None:
    house = await build(min_interval_s=60)
    house.script.after_value = 110
    await house.call(make_bid("first"))
    await house.app.stop()
    again = await build(min_interval_s=60)
    again.script.after_value = 110
    assert isinstance(await again.refused(make_bid("second")), RateLimited)


async def test_a_reduction_that_is_none_is_refused_and_one_that_is_holds_nothing(
    house: House, make_bid: Callable[..., Any]
) -> None:
    house.script.after_value = 100
    error = await house.refused(make_bid("r", reduce_only=True))
    assert isinstance(error, NotAReduction)
    assert error.metadata == {"target": "campaigns/1", "before": "100", "after": "100"}
    house.script.after_value = 99
    answer = await house.call(make_bid("r", reduce_only=True))
    assert answer.result.budget.committed_micros == 0
    assert house.script.sent == ["r"]


async def test_beyond_a_sandbox_careful_rules_hold_unless_they_are_configured(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(credentials=True, mode="live")
    house.script.after_value = 104  # less than 5 %
    assert await house.status(make_bid("small")) == "UNCHANGED"
    house.script.after_value = 131  # more than 30 %
    assert isinstance(await house.refused(make_bid("large")), StepTooLarge)
    house.script.after_value = 110
    assert await house.status(make_bid("good")) == "PLACED"
    house.script.after_value = 120
    error = await house.refused(make_bid("soon"))
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == pytest.approx(900, abs=0.01)


async def test_a_request_id_that_the_ledger_does_not_know_is_told_and_stops_no_bid(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build()
    books = house.core.books
    assert await house.status(make_bid("ours")) == "PLACED"
    house.script.marker = "ours"
    assert await house.status(make_bid("next")) == "PLACED"
    await books.unknown_ids.look()
    assert books.ledger.alerts.recent() == ()
    house.script.marker = "theirs"
    assert await house.status(make_bid("another")) == "PLACED"
    await books.unknown_ids.look()
    await books.ledger.flush()
    (alert,) = books.ledger.alerts.recent()
    assert "last changed by request theirs" in alert.text
