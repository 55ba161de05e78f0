"""What a ledger keeps and tells for reports, on which no money hangs."""

from __future__ import annotations

from tests.conformance.ledger.bench import PLATFORM, USD, Bench, budget, commit

from smartconnectors_server.ledger import Tally


async def tallies_survive_a_restart_and_the_last_of_each_key_stays(bench: Bench) -> None:
    ledger = await bench.open()
    first = Tally("about", "A").and_one(5, 3 * USD)
    second = first.and_one(9, 4 * USD, worst_micros=2)
    other = Tally("about", "B").and_one(7, USD)
    await ledger.keep_tallies([first, other])
    await ledger.keep_tallies([second])
    expected = (Tally("about", "A", 2, 7 * USD, 2, 5, 9), other)
    assert await ledger.tallies() == expected
    ledger = await bench.restart()
    assert await ledger.tallies() == expected


async def keeping_tallies_is_no_line_of_the_audit_ledger(bench: Bench) -> None:
    ledger = await bench.open()
    before = (await ledger.entries(size=1000)).rows
    await ledger.keep_tallies([Tally("about", "A", 1)])
    assert (await ledger.entries(size=1000)).rows == before


async def what_was_committed_since_an_instant_is_told_in_order_by_budget(bench: Bench) -> None:
    other = budget(f"{PLATFORM}/campaigns/1")
    ledger = await bench.open(budget(), other)
    times = []
    for request_id, usd, ids in (("a", 1, (PLATFORM,)), ("b", 2, (PLATFORM, other.budget_id))):
        bench.clock.advance(10)
        times.append(ledger.now_ns())
        await commit(ledger, request_id, usd * USD, budget_ids=ids)
    await ledger.flush()
    assert await ledger.settled_since(PLATFORM, 0) == ((times[0], USD), (times[1], 2 * USD))
    assert await ledger.settled_since(PLATFORM, times[0]) == ((times[1], 2 * USD),)
    assert await ledger.settled_since(other.budget_id, 0) == ((times[1], 2 * USD),)
