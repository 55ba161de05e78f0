"""How many campaigns are told of, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smartconnectors_server.platforms.trade_desk.campaigns import told_of
from smartconnectors_server.platforms.trade_desk.state import AdGroup, Campaign, Listed

if TYPE_CHECKING:
    from tests.server.platforms.trade_desk.conftest import MakeRig

    from smartconnectors_server.platforms.trade_desk.sandbox import TradeDeskSandbox

LISTED = Listed(Campaign("c1", "brand", True, ()), "Shop", "Available", "Solimar")
RUNS, STOPPED = (
    AdGroup(name, "c1", "EUR", 1, 1, on, "", ()) for name, on in (("g1", True), ("g2", False))
)


@pytest.mark.parametrize(
    ("extra", "told", "has_more", "pages"),
    [(0, 13, False, 1), (187, 200, False, 2), (188, 200, True, 2), (5000, 200, True, 2)],
)
async def test_two_hundred_are_told_of_page_by_page(
    make_rig: MakeRig, sandbox: TradeDeskSandbox, extra: int, told: int, has_more: bool, pages: int
) -> None:
    """An advertiser's ad groups are read in eleven calls at most."""
    sandbox.add_campaigns(extra)
    rig = await make_rig(timeout_ms=60_000, advertiser_id="adv-usd")
    found = await rig.connector.campaigns()
    assert found is not None
    assert (len(found.campaigns), found.has_more) == (told, has_more)
    assert rig.gate.reads.count("campaigns") == pages
    assert rig.gate.reads.count("ad groups") <= 11
    assert all(one.why_not for one in found.campaigns[10:13:2]), "two ad groups, and none"
    is_known = not found.campaigns[0].why_not.startswith("not known: ")
    assert is_known == (extra < 2000), "beyond that the first campaign may have a second ad group"


async def test_without_an_advertiser_nothing_is_read(make_rig: MakeRig) -> None:
    rig = await make_rig()
    assert await rig.connector.campaigns() is None
    assert rig.gate.reads == []


@pytest.mark.parametrize("ad_groups", [(), (RUNS,), (STOPPED,)])
def test_of_ad_groups_that_were_not_all_read_nothing_is_guessed(
    ad_groups: tuple[AdGroup, ...],
) -> None:
    told = told_of(LISTED, ad_groups, all_were_read=False)
    assert told.knobs == ()
    assert told.why_not.startswith("not known: only 2000 ad groups")
    assert told.status == ("Available, enabled" if RUNS in ad_groups else "Available")


def test_two_ad_groups_are_several_however_many_were_not_read() -> None:
    assert "has 2: g1, g2" in told_of(LISTED, (RUNS, STOPPED), all_were_read=False).why_not
