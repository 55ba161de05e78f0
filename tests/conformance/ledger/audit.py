"""The audit ledger: complete, in order, and enough to reproduce every sum."""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tests.conformance.ledger.bench import (
    PLATFORM,
    USD,
    Bench,
    all_entries,
    ask,
    budget,
    commit,
    daily,
    deferred,
    refusal,
)

from smartconnectors_server.ledger import ALERT, Entry, HoldState, Ledger, LedgerError, Reservation
from smartconnectors_server.ledger.chain import GENESIS, link
from smartconnectors_server.ledger.configured import after

_STATE_AFTER = {"reserve": "held", "dispatch": "held", "defer": "deferred", "doubt": "in_doubt"}
_GIVES_BACK = frozenset({"release", "reject", "expire", "supersede"})
_COMMITS = frozenset({"settle", "settle_late"})


def replayed(entries: Iterable[Entry]) -> dict[str, dict[str, int]]:
    """Budget -> sum by name, from nothing but the audit lines."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    holds: dict[str, tuple[str, int]] = {}
    for entry in entries:
        if not entry.hold_id:
            continue
        was, amount = holds.pop(entry.hold_id, ("", 0))
        budget_ids = {*entry.budget_ids, "total"}  # which counts everything
        for budget_id in budget_ids:
            sums[budget_id][was] -= amount
            if entry.verb in _COMMITS:
                sums[budget_id]["committed"] += entry.amount_micros
        if entry.verb in _STATE_AFTER:
            holds[entry.hold_id] = (_STATE_AFTER[entry.verb], entry.amount_micros)
            for budget_id in budget_ids:
                sums[budget_id][_STATE_AFTER[entry.verb]] += entry.amount_micros
        else:
            assert entry.verb in _GIVES_BACK | _COMMITS, f"unknown verb {entry.verb}"
    return sums


async def random_life(ledger: Ledger, seed: int, steps: int, *, first: int = 0) -> None:
    """Some hundred verbs, whatever fits. `first`: where request ids begin."""
    chance = random.Random(seed)
    for number in range(first, first + steps):
        holds = ledger.open_holds()
        hold = chance.choice(holds) if holds else None
        try:
            match chance.randrange(8):
                case 0 | 1 | 2:
                    scope = chance.choice([(PLATFORM,), (PLATFORM, "total")])
                    target = f"campaigns/{chance.randrange(6)}"
                    kind = deferred if chance.random() < 0.3 else _live
                    amount = chance.randrange(1, 40 * USD)
                    await ledger.reserve(
                        kind(ledger, f"r{number}", amount, budget_ids=scope, target=target)
                    )
                case 3 if hold:
                    await ledger.settle(hold.hold_id)
                case 4 if hold:
                    closed = chance.choice([HoldState.RELEASED, HoldState.EXPIRED])
                    await ledger.release(hold.hold_id, closed)
                case 5 if hold:
                    await ledger.doubt(hold.hold_id)
                case 6 if hold:
                    await ledger.dispatch(hold.hold_id, target=hold.target, before="")
                case 7 if hold:
                    amount = hold.amount_micros // 2
                    await ledger.defer(
                        hold.hold_id, amount_micros=amount, until_ns=10**18, source="fallback"
                    )
        except LedgerError:
            continue


def _live(_ledger: Ledger, request_id: str, amount_micros: int, **changed: Any) -> Reservation:
    return ask(request_id, amount_micros, **changed)


async def the_lines_reproduce_every_sum_to_the_micro(bench: Bench) -> None:
    budgets = (budget(), budget("total", 300 * USD))
    ledger = await bench.open(*budgets)
    await random_life(ledger, seed=7, steps=150)
    ledger = await bench.restart(*budgets)
    await random_life(ledger, seed=8, steps=50)
    ledger = await bench.restart(*budgets)
    for budget_id, sums in replayed(await all_entries(ledger)).items():
        state = ledger.state(budget_id)
        assert sums["committed"] == state.limits[0].committed_micros > 0
        assert (sums["held"], sums["deferred"], sums["in_doubt"]) == (
            state.held_micros,
            state.deferred_micros,
            state.in_doubt_micros,
        )
        assert state.in_doubt_micros + state.deferred_micros > 0


async def every_change_has_a_line_with_its_reason(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", 10 * USD))
    bench.clock.advance(3)
    await ledger.doubt(hold.hold_id, note="timed out")
    await ledger.settle(hold.hold_id, note="looked up")
    waiting = await ledger.reserve(deferred(ledger, "b", 3 * USD, target="t"))
    await ledger.reserve(deferred(ledger, "c", 4 * USD, target="t"))
    await ledger.set_limit(PLATFORM, 9 * USD, "less")
    await ledger.set_paused(PLATFORM, True, "stop")
    await ledger.set_paused(PLATFORM, False, "go on")
    ledger = await bench.restart()
    entries = [e for e in await all_entries(ledger) if not e.verb.startswith(ALERT)]
    told = [(e.verb, e.request_id, e.amount_micros // USD) for e in entries]
    assert told == [
        ("configure", "", 500),
        ("reserve", "a", 10),
        ("doubt", "a", 10),
        ("settle", "a", 10),
        ("defer", "b", 3),
        ("supersede", "b", 3),
        ("defer", "c", 4),
        ("limit", "", 9),
        ("pause", "", 0),
        ("resume", "", 0),
    ]
    notes = [e.note for e in entries]
    assert notes[2:4] == ["timed out", "looked up"]
    assert notes[7:] == ["less", "stop", "go on"]
    assert entries[2].at_ns - entries[1].at_ns == 3 * 10**9
    assert entries[5].hold_id == waiting.hold_id
    assert [e.sequence for e in entries] == sorted({e.sequence for e in entries})


async def pages_leave_nothing_out_and_repeat_nothing(bench: Bench) -> None:
    ledger = await bench.open(budget(), budget("total", 500 * USD))
    for number in range(12):
        scope = (PLATFORM,) if number % 3 else (PLATFORM, "total")
        await commit(ledger, f"r{number}", USD, budget_ids=scope)
    ledger = await bench.restart(budget(), budget("total", 500 * USD))
    everything = await all_entries(ledger)
    assert len(everything) == 26
    for size in (1, 5, 7, 25, 26, 27):
        assert await all_entries(ledger, size) == everything
    of_total = await all_entries(ledger, 3, budget_id="total")
    assert of_total == [e for e in everything if "total" in e.budget_ids]
    assert len(of_total) == 9
    of_one = await all_entries(ledger, 1, request_id="r4")
    assert [(e.verb, e.request_id) for e in of_one] == [("reserve", "r4"), ("settle", "r4")]


async def a_refusal_has_no_line(bench: Bench) -> None:
    ledger = await bench.open()
    await refusal(ledger.reserve(ask("a", 501 * USD)), LedgerError)
    ledger.veto((PLATFORM,))
    ledger = await bench.restart()
    assert [line.verb for line in await all_entries(ledger)] == ["configure"]


async def the_lines_say_what_a_budget_was_configured_to_be_and_only_when_that_changes(
    bench: Bench,
) -> None:
    first, second = budget(), budget(PLATFORM, 400 * USD, daily(900 * USD, "Europe/Berlin"))
    ledger = await bench.open(first)
    ledger = await bench.restart(first)
    ledger = await bench.restart(second)
    await ledger.set_limit(PLATFORM, 300 * USD, "less")
    await ledger.set_paused(PLATFORM, True, "stop")
    ledger = await bench.restart(second)
    lines = await all_entries(ledger)
    assert [line.verb for line in lines] == ["configure", "configure", "limit", "pause"]
    told = []
    now = None
    for line in lines:
        now = after(now, line)
        told.append(now)
    less = budget(PLATFORM, 300 * USD, daily(900 * USD, "Europe/Berlin"))
    assert told == [first, second, less, dataclasses.replace(less, paused=True)]


async def each_line_holds_the_hash_of_all_before_it(bench: Bench) -> None:
    budgets = (budget(), budget("total", 300 * USD))
    ledger = await bench.open(*budgets)
    await random_life(ledger, seed=3, steps=60)
    ledger = await bench.restart(*budgets)
    await commit(ledger, "last", USD)
    previous = GENESIS
    for number, line in enumerate(await all_entries(ledger), 1):
        assert line.sequence == number
        assert line.hash == link(previous, line)
        previous = line.hash


async def text_that_no_encoding_has_is_kept_as_far_as_it_can_be(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", USD))
    await ledger.release(hold.hold_id, HoldState.REJECTED, error="{}", note="it said \ud800\x00!")
    ledger = await bench.restart()
    *_, last = await all_entries(ledger)
    assert last.verb == "reject"
    assert last.note.startswith("it said ")
    found = await ledger.find(PLATFORM, "a")
    assert found is not None
    assert found.state is HoldState.REJECTED


async def a_line_names_who_asked_and_the_hashed_customer_and_so_after_a_restart(
    bench: Bench,
) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", USD, actor="bidder", customer="c0ffee"))
    await ledger.doubt(hold.hold_id)
    waiting = await ledger.reserve(
        deferred(ledger, "b", USD, actor="other", customer="decade", target="campaigns/2")
    )
    ledger = await bench.restart()
    await ledger.release(hold.hold_id, actor="operator")
    await ledger.dispatch(waiting.hold_id, target="campaigns/2", before="", actor="operator")
    await ledger.settle(waiting.hold_id, actor="operator")
    await ledger.set_limit(PLATFORM, 300 * USD, "more", actor="boss")
    await ledger.set_paused(PLATFORM, True, "stop", actor="boss")
    ledger.record_campaign(f"{PLATFORM}/campaigns/1", "pause_campaign", "stop", actor="boss")
    lines = [
        (line.verb, line.actor, line.customer)
        for line in await all_entries(ledger)
        if line.verb != "configure"
    ]
    assert lines == [
        ("reserve", "bidder", "c0ffee"),
        ("doubt", "", "c0ffee"),
        ("defer", "other", "decade"),
        ("release", "operator", "c0ffee"),
        ("dispatch", "operator", "decade"),
        ("settle", "operator", "decade"),
        ("limit", "boss", ""),
        ("pause", "boss", ""),
        ("pause_campaign", "boss", ""),
    ]
    ledger = await bench.restart()
    pause = ledger.pause_of([PLATFORM])
    assert pause is not None
    assert pause.actor == "boss"
