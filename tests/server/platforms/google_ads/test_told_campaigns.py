"""How many campaigns are told of, and what that costs."""

from __future__ import annotations

import pytest
from tests.server.platforms.google_ads.conftest import OpenGate

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector import Context, Mode
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.platforms.google_ads.sandbox import GoogleAdsSandbox
from smartconnectors_server.platforms.google_ads.servicer import GoogleAdsConnector

LONG_MS = 60_000
USUAL = 18


@pytest.mark.parametrize(("extra", "told", "has_more"), [(182, 200, False), (183, 200, True)])
async def test_two_hundred_are_told_of_in_two_calls_in_the_order_of_their_ids(
    clock: ManualClock, extra: int, told: int, has_more: bool
) -> None:
    sandbox = GoogleAdsSandbox(clock, extra_campaigns=extra)
    endpoint, gate = await sandbox.start(), OpenGate()
    context = Context(Mode.SANDBOX, GoogleAdsOptions(), endpoint, LONG_MS, gate, clock)
    connector = GoogleAdsConnector(context)
    await connector.connect()
    try:
        found = await connector.campaigns()
    finally:
        await connector.close()
        await sandbox.close()
    ids = [int(one.campaign_id) for one in found.campaigns]
    assert (len(ids), found.has_more) == (told, has_more)
    assert ids == sorted(ids)
    assert ids[USUAL - 1] == 1018
    assert gate.reads == ["campaigns", "overrides"]
