"""All platforms at once: each has its own budget, and one that is down touches no other."""

from __future__ import annotations

import asyncio

from smartconnectors_server.cli.demo.stage import (
    Scenario,
    Stage,
    changes_text,
    committed_text,
    told,
)
from smartconnectors_server.money import format_amount
from smartconnectors_server.platforms import PLATFORMS

LIMITS = {"google_ads": "300.00", "meta": "200.00", "trade_desk": "250.00"}
SHARES = {"google_ads": "33.3 %", "meta": "50 %", "trade_desk": "40 %"}
DOWN = "meta"


async def play_together(stage: Stage) -> None:
    """$100 on each of them at the same moment."""
    await _bid_on_all(stage)
    total = 0
    for platform, limit in LIMITS.items():
        await _expect_bid(stage, platform, limit)
        total += (await stage.stats(platform)).committed_micros
    stage.expect("committed in all", "$300.00", format_amount(total, "USD"))
    balances = (await stage.audited()).balances()
    by_lines = format_amount(sum(balance.committed[0] or 0 for balance in balances), "USD")
    stage.expect("derived from the audit ledger", "$300.00", by_lines)


async def play_one_down(stage: Stage) -> None:
    """The same while one of them takes no connections."""
    await stage.control.add_fault(DOWN, {"kind": "refuse"})
    await _bid_on_all(stage, down=DOWN)
    for platform, limit in LIMITS.items():
        if platform != DOWN:
            await _expect_bid(stage, platform, limit)
    stats = await stage.stats(DOWN)
    stage.expect(f"{DOWN}: committed", f"$0.00 of ${LIMITS[DOWN]} (0 %)", committed_text(stats))
    open_micros = stats.held_micros + stats.deferred_micros + stats.in_doubt_micros
    stage.expect(f"{DOWN}: held or in doubt", "$0.00", format_amount(open_micros, "USD"))
    applied = changes_text(await stage.applied(DOWN))
    stage.expect(f"{DOWN}: at the sandbox", "0 changes, $0.00", applied)


async def _bid_on_all(stage: Stage, down: str = "") -> None:
    bids = [stage.sent.bid(platform, "1001", "100.00", "2.0") for platform in LIMITS]
    answers = await asyncio.gather(*(stage.place(bid) for bid in bids))
    for bid, answer in zip(bids, answers, strict=True):
        expected = (
            "refused: PLATFORM_UNAVAILABLE" if bid.platform == down else "PLACED source=ai $100.00"
        )
        stage.expect(f"{bid.platform}: bid $100.00", expected, told(answer))


async def _expect_bid(stage: Stage, platform: str, limit: str) -> None:
    committed = committed_text(await stage.stats(platform))
    expected = f"$100.00 of ${limit} ({SHARES[platform]})"
    stage.expect(f"{platform}: committed", expected, committed)
    applied = changes_text(await stage.applied(platform))
    stage.expect(f"{platform}: at the sandbox", "1 change, $100.00", applied)


_SETTINGS = {
    "platforms": {platform: {"budget": {"limit": limit}} for platform, limit in LIMITS.items()}
}

SCENARIOS = (
    Scenario(
        "together",
        "$100 on every platform at once: $300 in all, and each budget counts its own.",
        _SETTINGS,
        play_together,
    ),
    Scenario(
        "one-down",
        f"{PLATFORMS[DOWN].title} takes no connections: the others' figures are what they were.",
        _SETTINGS,
        play_one_down,
    ),
)
