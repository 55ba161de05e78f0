"""How many campaigns are told of, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.server.platforms.meta.conftest import MakeRig

    from smartconnectors_server.platforms.meta.sandbox import MetaSandbox


@pytest.mark.parametrize(
    ("extra", "told", "has_more", "calls"),
    [
        (0, 14, False, 1),
        (36, 50, False, 1),
        (37, 51, False, 2),
        (186, 200, False, 4),
        (187, 200, True, 4),
        (5000, 200, True, 4),
    ],
)
async def test_two_hundred_are_told_of_page_by_page(
    make_rig: MakeRig, sandbox: MetaSandbox, extra: int, told: int, has_more: bool, calls: int
) -> None:
    sandbox.add_campaigns(extra)
    rig = await make_rig()
    found = await rig.connector.campaigns()
    assert (len(found.campaigns), found.has_more) == (told, has_more)
    assert len({one.campaign_id for one in found.campaigns}) == told
    assert rig.gate.reads == ["campaigns"] * calls
    assert len(sandbox.journal()) == calls
