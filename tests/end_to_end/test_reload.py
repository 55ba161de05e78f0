"""SIGHUP to a real server that is at work."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

from smartconnectors.common.v1 import bid_pb2

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Process, Stage, Words

BIDS = 120
USD = 1_000_000


def log_of(process: Process) -> list[str]:
    """What it has said of reloading."""
    lines = (json.loads(line) for line in process.log.read_text().splitlines() if line[:1] == "{")
    return [line["event"] for line in lines if "configuration reload" in line["event"]]


async def test_no_bid_is_lost_while_the_configuration_is_reloaded(stage: Stage, say: Words) -> None:
    process = await stage.process()
    path = stage.directory / "serve.toml"
    first = path.read_text()

    async def limit_is(usd: int) -> None:
        path.write_text(first.replace('limit = "1000"', f'limit = "{usd}"'))
        process.signal(signal.SIGHUP)
        await say.eventually(process.stats, lambda stats: stats.limit_micros == usd * USD)

    placing = [
        asyncio.ensure_future(
            process.place(say.bid(f"r{n}", 1 + n / 100, campaign=str(1001 + n % 10)))
        )
        for n in range(BIDS)
    ]
    for usd in (700, 800, 900):
        await limit_is(usd)
    placed = await asyncio.gather(*placing)
    assert {one.status for one in placed} == {bid_pb2.BID_STATUS_PLACED}
    assert sorted(len(stage.mutates(f"r{n}")) for n in range(BIDS)) == [1] * BIDS

    before = len(log_of(process))
    path.write_text("[platforms.google_ads.budget]\nlimit = 1.5.0\n")
    process.signal(signal.SIGHUP)
    said = await say.eventually(lambda: log_of(process)[before:], bool)
    assert "refused, nothing has changed" in said[0]
    assert (await process.stats()).limit_micros == 900 * USD
    assert (await process.place(say.bid("afterwards", 3))).status == bid_pb2.BID_STATUS_PLACED
