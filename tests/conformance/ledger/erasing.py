"""Erasing who a customer is: nothing that tells it stays, and all of the money does."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

from tests.conformance.ledger.bench import PLATFORM, USD, Bench, all_entries, ask, commit, deferred

from smartconnectors_server.ledger import Hold, HoldState, Ledger

WHO = "c0ffee"


async def found(ledger: Ledger, request_id: str) -> Hold:
    hold = await ledger.find(PLATFORM, request_id)
    assert hold is not None
    return hold


async def what_tells_the_customer_goes_and_the_money_stays(bench: Bench) -> None:
    ledger = await bench.open()
    theirs = {"customer": WHO, "request": b"theirs"}
    await commit(ledger, "a", 15 * USD, ltv_micros=USD, **theirs)
    await commit(ledger, "b", 20 * USD, customer="decade", request=b"another's")
    rejected = await ledger.reserve(ask("c", USD, target="campaigns/3", **theirs))
    error = json.dumps({"message": "of theirs", "metadata": {}})
    await ledger.release(rejected.hold_id, HoldState.REJECTED, error=error, note="of theirs")
    before = ledger.state(PLATFORM).limits[0].committed_micros
    done = await ledger.erase(WHO, "asked for", actor="boss")
    assert (done.holds, done.waiting) == (2, 0)
    for _ in range(2):
        for request_id in ("a", "c"):
            hold = await found(ledger, request_id)
            assert (hold.request, hold.answer, hold.note) == (b"", b"", "")
            assert hold.customer == WHO
            assert "theirs" not in hold.error
        assert json.loads((await found(ledger, "c")).error)["metadata"] == {}
        assert (await found(ledger, "b")).request == b"another's"
        assert [h.request for h in ledger.recent_settled(PLATFORM)] == [b""]
        assert ledger.state(PLATFORM).limits[0].committed_micros == before
        ledger = await bench.restart()


async def what_is_open_is_erased_when_it_ends_and_not_before(bench: Bench) -> None:
    ledger = await bench.open()
    doubt = await ledger.reserve(ask("a", USD, customer=WHO, request=b"theirs"))
    await ledger.doubt(doubt.hold_id)
    await ledger.reserve(
        deferred(ledger, "b", USD, target="campaigns/2", customer=WHO, request=b"theirs")
    )
    done = await ledger.erase(WHO, "asked for")
    assert (done.holds, done.waiting) == (0, 2)
    ledger = await bench.restart()
    assert [hold.request for hold in ledger.open_holds()] == [b"theirs", b"theirs"]
    (waiting,) = ledger.open_holds(HoldState.DEFERRED)
    await ledger.dispatch(waiting.hold_id, target="campaigns/2", before="")
    await ledger.settle(waiting.hold_id, answer=b"theirs", note="why theirs")
    await ledger.settle(doubt.hold_id)
    for _ in range(2):
        for request_id in ("a", "b"):
            hold = await found(ledger, request_id)
            assert (hold.request, hold.answer) == (b"", b"")
        ledger = await bench.restart()


async def a_later_bid_for_the_same_customer_is_kept(bench: Bench) -> None:
    ledger = await bench.open()
    await ledger.erase(WHO, "asked for")
    await commit(ledger, "a", USD, customer=WHO, request=b"theirs")
    assert (await found(ledger, "a")).request == b"theirs"


async def an_erasure_is_on_record_with_who_asked_for_it(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", USD, customer=WHO, request=b"theirs")
    await ledger.erase(WHO, "asked for", actor="boss")
    ledger = await bench.restart()
    *_, last = await all_entries(ledger)
    assert (last.verb, last.customer, last.actor, last.note) == ("erase", WHO, "boss", "asked for")


async def what_happens_while_it_is_erased_is_on_record_in_its_order(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", USD, customer=WHO, request=b"theirs")
    erasing = asyncio.ensure_future(ledger.erase(WHO, "asked for"))
    while not erasing.done():
        bench.clock.advance(0.001)
        ledger.record_campaign(f"{PLATFORM}/campaigns/1", "pause_campaign", "meanwhile")
        await asyncio.sleep(0)
    entries = await all_entries(ledger)
    assert all(before.at_ns <= after.at_ns for before, after in pairwise(entries))
