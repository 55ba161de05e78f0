"""What must be so: while a server lives, right after it started, and when all is over.

Money is counted in the platforms' own journals, joined to the test's own table of what it asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator

from tests.simulation.bids import UNSENT, Asked
from tests.simulation.broken import Promise
from tests.simulation.change import Change
from tests.simulation.server import Server
from tests.simulation.state import World
from tests.simulation.terms import Limit, Scope

from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.ledger import HoldState, LedgerError
from smartconnectors_server.ledger.audit import Broken as AuditBroken
from smartconnectors_server.ledger.records import campaign_in
from smartconnectors_server.ledger.snapshot import Snapshot

# While a server lives


async def check_nothing_is_forgotten(world: World, server: Server) -> None:
    """Right after a start: each amount that took effect is settled or in doubt."""
    for name, platform in world.platforms.items():
        platform.settle_arrivals()
        for change in platform.journal:
            if change.request_id in platform.excused:
                continue
            hold = await server.ledger.find(name, change.request_id, "anonymous")
            state = "unknown" if hold is None else hold.state.value
            if hold is None or hold.state not in {HoldState.SETTLED, HoldState.IN_DOUBT}:
                world.breaks(Promise.LEDGER, f"{name} {change.request_id} is {state}")
            elif hold.amount_micros != change.amount:
                text = f"{name} {change.request_id}: {change.amount}, held {hold.amount_micros}"
                world.breaks(Promise.LEDGER, text)


def check_arrival_is_on_record(world: World, change: Change) -> None:
    """What a platform hears of is held on disk: a crash at this instant would not forget it."""
    if change.request_id in world.platforms[change.platform].excused:
        return
    states = world.record.states(change.platform, change.request_id)
    if HoldState.HELD.value not in states:
        text = f"{change.platform} {change.request_id} arrives, and is {sorted(states)} on disk"
        world.breaks(Promise.LEDGER, text)


def check_superseding_is_on_record(world: World, asked: Asked) -> None:
    """Nobody is told that a bid is superseded while a crash could still have it placed."""
    states = world.record.states(asked.platform, asked.request_id)
    if HoldState.DEFERRED.value in states:
        text = f"{asked.platform} {asked.request_id} is told to be superseded, and waits on disk"
        world.breaks(Promise.LEDGER, text)


async def check_windows_are_on_record(world: World, server: Server) -> None:
    """Right after a start: all that the lines say was committed inside a window still counts."""
    entries, token, more = [], "", True
    while more:
        page = await server.ledger.entries(size=1_000, token=token)
        entries += [entry for entry in page.rows if entry.verb in {"settle", "settle_late"}]
        token, more = page.next_token, bool(page.next_token)
    now_ns = server.ledger.now_ns()
    for scope in world.terms.scopes:
        states = server.ledger.state(scope.budget_id).limits
        for limit, state in zip(scope.limits, states, strict=True):
            since_ns = now_ns - round(limit.window_s * 10**9)
            lines = sum(
                entry.amount_micros
                for entry in entries
                if scope.budget_id in entry.budget_ids and entry.at_ns > since_ns
            )
            if state.committed_micros < lines:
                text = f"{scope.budget_id}: {state.committed_micros} of {lines} micros count"
                world.breaks(Promise.LEDGER, text)


async def check_releases(world: World, server: Server) -> None:
    """For as long as the server lives: no money is given back while its change may still act."""
    while True:
        await asyncio.sleep(0.5)
        for name, platform in world.platforms.items():
            for request_id, until_s in tuple(platform.may_act.values()):
                if world.clock.awake_s() >= until_s or request_id in platform.excused:
                    continue
                with contextlib.suppress(ConnectorError):
                    hold = await server.ledger.find(name, request_id)
                    in_time = world.clock.awake_s() < until_s
                    if in_time and hold is not None and hold.state is HoldState.RELEASED:
                        text = f"{name} {request_id} is given back, and may still act"
                        world.breaks(Promise.ALONE, text)


def check_nothing_is_held(world: World, server: Server) -> None:
    """When every call has ended: no hold is left that nobody is going to end."""
    for hold in server.ledger.open_holds(HoldState.HELD):
        world.leaks(hold.platform, f"{hold.request_id} is held by nobody")
    waiting = server.ledger.open_holds(HoldState.DEFERRED)
    # Which campaigns share a target is not known before the platform has been read.
    keys = Counter((h.platform, campaign_in(h.budget_ids), h.target) for h in waiting)
    for (name, campaign, target), count in keys.items():
        if count > 1:
            world.leaks(name, f"{count} bids of {campaign} wait for {target}, and one is enough")


def check_nothing_is_in_doubt(world: World, server: Server) -> None:
    """After a while of good weather."""
    for hold in server.ledger.open_holds(HoldState.IN_DOUBT):
        world.leaks(hold.platform, f"{hold.request_id} is still in doubt")


def check_nothing_is_open(world: World, server: Server) -> None:
    """When everything has had its time."""
    for hold in server.ledger.open_holds():
        world.leaks(hold.platform, f"{hold.request_id} is {hold.state.value} for ever")
    for scope in world.terms.scopes:
        open_micros = server.ledger.state(scope.budget_id).open_micros
        if open_micros:
            world.leaks(scope.platform, f"{scope.budget_id} has {open_micros} micros open")


# When none is alive


def check_audit(world: World) -> None:
    """Every line follows from those before it, and every sum from the lines."""
    snapshot = Snapshot(world.state_dir)
    try:
        snapshot.verify()
    except (AuditBroken, LedgerError) as error:
        world.breaks(Promise.AUDIT, str(error))
    finally:
        snapshot.close()


# When all is over


def check_windows(world: World) -> None:
    """Inside any window, no more took effect than the limit, in every scope."""
    journal = sorted(
        (change for platform in world.platforms.values() for change in platform.journal),
        key=lambda change: change.at_s,
    )
    for scope in world.terms.scopes:
        counted = [c for c in journal if scope.counts(c.platform, c.campaign_id)]
        for index, limit in enumerate(scope.limits):
            for last, total in _totals(world, counted, limit):
                most = _most(world, scope, limit, index, last)
                world.used(scope, total / most, total - most)
                if total > most:
                    text = (
                        f"{scope.budget_id} by {total - most} micros: {total} in "
                        f"{limit.window_s:g} s at {last.at_s:.6f} s, and at most {most}"
                    )
                    world.breaks(Promise.WINDOW, text)


def _totals(world: World, counted: list[Change], limit: Limit) -> Iterator[tuple[Change, int]]:
    """Each change that commits anything, and what took effect in the window that ends with it.

    What an operator had freed by a wrong word does not count from the word until it was known to be
    wrong.
    """
    first = total = 0
    for last in counted:
        total += last.amount
        while counted[first].at_s <= last.at_s - limit.window_s:
            total -= counted[first].amount
            first += 1
        asked_s = world.asked[last.platform, last.request_id].admitted_after_s()
        freed = sum(
            change.amount
            for change in counted[first:]
            if change.at_s <= last.at_s and world.was_free(change, asked_s, last.at_s)
        )
        if last.amount and not world.freed_by_operator(last):
            yield last, total - freed


def _most(world: World, scope: Scope, limit: Limit, index: int, last: Change) -> int:
    """The largest limit that may have been in force when `last` was admitted."""
    if index:
        return limit.micros
    asked_s = world.asked[last.platform, last.request_id].admitted_after_s()
    return world.limits.most(scope.budget_id, asked_s, last.at_s)


def check_calls(world: World) -> None:
    """Each platform's own quota is kept, over every restart."""
    for name, platform in world.platforms.items():
        calls, window_s = platform.terms.calls, platform.terms.calls_window_s
        at_s = sorted(platform.calls_at_s)
        for earlier_s, later_s in zip(at_s, at_s[calls:], strict=False):
            if later_s - earlier_s < window_s - 1e-9:
                text = f"{name}: more than {calls} calls in {window_s:g} s at {later_s:.3f} s"
                world.breaks(Promise.QUOTA, text)
                break


def check_prices(world: World) -> None:
    """No more was committed than the caller asked for."""
    for name, platform in world.platforms.items():
        for change in platform.journal:
            asked = world.asked[name, change.request_id]
            most = asked.most_micros
            if asked.bid.validate_only or (most is not None and change.amount > most):
                text = f"{name} {change.request_id}: {change.amount} micros instead of {most}"
                world.breaks(Promise.PRICE, text)


def check_callers(world: World) -> None:
    """What callers were told is true."""
    for (name, request_id), asked in world.asked.items():
        platform = world.platforms[name]
        if request_id in platform.excused:
            continue
        for text in _untruths(asked, applied=request_id in platform.applied_ids):
            world.breaks(Promise.TRUTH, f"{name} {request_id} {text}")


def _untruths(asked: Asked, *, applied: bool) -> Iterator[str]:
    told = asked.told
    if set(told) <= UNSENT and not asked.excused and applied:
        yield f"was told {told}, but took effect"
    if "PLACED" in told and not applied and not asked.assumed:
        yield f"was told {told}, but never took effect"
    if asked.most_micros == 0 and set(told) & {"BUDGET_EXCEEDED", "BUDGET_PAUSED"}:
        yield f"lowers what is spent, and was told {told}"
    if not asked.waits and "DEFERRED" in told:
        yield f"does not wait, and was told {told}"
    if set(told) & {"EXPIRED", "SUPERSEDED"} and applied:
        yield f"was told {told}, but took effect"
    if asked.final == "NOT_FOUND" and applied:
        yield "took effect, and nothing is known of it"
    if asked.final in {"EXPIRED", "SUPERSEDED"} and applied:
        yield f"took effect, and is said to be {asked.final}"
