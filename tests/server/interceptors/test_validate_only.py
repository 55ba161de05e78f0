"""`validate_only` when the breaker opens in the middle of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from smartconnectors_server.errors import CircuitOpenNoFallback

if TYPE_CHECKING:
    from tests.server.interceptors.conftest import Build

    from smartconnectors_server.call import Plan


async def test_a_breaker_that_opens_while_a_bid_is_validated_is_what_the_caller_hears_of(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build()
    plan = house.script.plans

    async def sicken(request: Any, priced: Any) -> Plan:
        planned = await plan(request, priced)
        house.open_breaker()
        return planned

    house.script.plans = sicken
    error = await house.refused(make_bid("r", validate_only=True))
    assert isinstance(error, CircuitOpenNoFallback)
    assert house.money() == {}
