"""A platform that keeps a journal of what it applied, and does with a change what chance says.

What is assumed of real platforms: a change that was received is applied at most once, and not later
than twice the timeout after its call has ended. What arrives late because of the network is another
matter, and nothing that a platform could promise: the kernel of the server's own machine goes on
sending it (`kernel.py`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.simulation.broken import Broken, Promise
from tests.simulation.change import Change
from tests.simulation.kernel import Kernel
from tests.simulation.terms import LATEST_S, TIMEOUT_S, Terms
from tests.simulation.world import VirtualClock

from smartconnectors_server.errors import (
    ConnectorError,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
)

FAULTS = (
    "refuse",
    "reject",
    "lose",
    "hang",
    "apply_then_hang",
    "apply_late",
    "apply_then_crash",
    "quota",
    "slow",
    "each_its_own",
    "partition",
)
"""What may become of a call. `each_its_own`: of each bid of a batch something else. `partition`:
the network is cut when it was written, and for a while after.
"""
PARTITIONS_S = (1.0, 3.0, 10.0, 60.0)
SUSPENDED_S = (5.0, 60.0, 4_000.0)


FIRST_DAILY_MICROS = 10_000_000


Verdict = ConnectorError | None
"""What a call says of one change; None: it was accepted."""


@dataclass
class ScriptedPlatform:
    """The platform's side. It outlives every server."""

    name: str
    terms: Terms
    chance: random.Random
    clock: VirtualClock
    weights: dict[str, float] = field(default_factory=dict)
    reads: float = 0.2
    """How often it has to be read before a bid can be planned."""
    read_fails: float = 0.0
    declines: float = 0.0
    """How often a bid cannot even be planned."""
    journal: list[Change] = field(default_factory=list)
    arriving: list[Change] = field(default_factory=list)
    setting: dict[str, str] = field(default_factory=dict)
    """Target -> whose change it shows."""
    daily: dict[str, int] = field(default_factory=dict)
    under_way: dict[str, Change] = field(default_factory=dict)
    kernel: Kernel = field(init=False)
    partitioned_until_s: float = 0.0
    may_act: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Target -> whose change may still act, for all that can be seen from outside, and how long, in
    time that the server's machine is awake.
    """
    calls_at_s: list[float] = field(default_factory=list)
    not_before_s: float = 0.0
    """It has told the server that is alive now to make no call until then."""
    sent: int = 0
    excused: dict[str, float] = field(default_factory=dict)
    """Requests that an operator ended by a wrong word, and when: anything may become of them."""
    taken: Callable[[Change], None] | None = None
    """Told of each change that arrives."""
    looked_for: Callable[[str], None] | None = None
    """Told of each request that the server asks after."""
    killed: bool = False
    """The server is gone, and what is left of it does not count."""
    broken: list[Broken] = field(default_factory=list)
    applied_ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.kernel = Kernel(self.chance, self.clock)

    # What becomes of a change

    def settle_arrivals(self) -> None:
        """Lets what was on its way until now arrive."""
        now_s = self.clock.now_s()
        self.arriving += self.kernel.delivered()
        due = sorted((a for a in self.arriving if a.at_s <= now_s), key=lambda a: a.at_s)
        if due:
            self.arriving = [a for a in self.arriving if a.at_s > now_s]
        for change in due:
            self._apply(change)

    def _apply(self, change: Change) -> None:
        if change.request_id in self.applied_ids and change.request_id not in self.excused:
            self.is_broken(Promise.ONCE, f"{change.request_id} took effect twice")
        self.applied_ids.add(change.request_id)
        self.journal.append(change)
        if change.target.startswith("budgets/"):
            self._set_daily(change)
        self.setting[change.target] = change.request_id

    def _set_daily(self, change: Change) -> None:
        """A daily budget commits what it grows by, seen from what it is now."""
        more = max(0, change.value - self.daily_micros(change.target))
        if change.amount != more and change.request_id not in self.excused:
            text = (
                f"{change.request_id} commits {change.amount} micros, and the budget grows {more}"
            )
            self.is_broken(Promise.PRICE, text)
        self.daily[change.target] = change.value

    def daily_micros(self, target: str) -> int:
        """The daily budget behind a target."""
        return self.daily.get(target, FIRST_DAILY_MICROS)

    def _apply_now(self, change: Change) -> None:
        self._apply(dataclasses.replace(change, at_s=self.clock.now_s()))

    def _later(self, change: Change, delay_s: float) -> None:
        self.arriving.append(dataclasses.replace(change, at_s=self.clock.now_s() + delay_s))

    def cut(self) -> None:
        """The server died, and with it its calls: what was under way may have arrived, may still,
        or never does.
        """
        self.killed = True
        ids = {change.request_id for change in self.under_way.values()}
        latest_s = self.clock.now_s() + LATEST_S - 0.001
        self.arriving = [
            dataclasses.replace(a, at_s=min(a.at_s, latest_s)) if a.request_id in ids else a
            for a in self.arriving
        ]
        for change in self.under_way.values():
            under_way = (*self.arriving, *self.kernel.changes())
            decided = {c.request_id for c in under_way} | self.applied_ids
            if change.request_id not in decided and self.chance.random() < 0.6:
                self._later(change, self.chance.uniform(0.0, LATEST_S - 0.001))
            self._is_unknown(change)
        self.under_way.clear()

    def revive(self) -> None:
        """Another server is started."""
        self.killed = False
        self.not_before_s = 0.0

    def somebody_else_changes(self, target: str) -> None:
        """A person, in the platform's own pages."""
        self.settle_arrivals()
        self.setting[target] = f"person {self.clock.now_s()}"

    def excuse(self, request_id: str) -> None:
        """An operator has said something of this request without looking."""
        self.excused[request_id] = self.clock.now_s()
        self.may_act = {t: m for t, m in self.may_act.items() if m[0] != request_id}

    def is_broken(self, promise: Promise, text: str) -> None:
        """A promise was broken here and now."""
        self.broken.append(Broken(promise, f"{self.name} at {self.clock.now_s():.3f} s: {text}"))

    def _is_unknown(self, change: Change) -> None:
        until_s = self.clock.awake_s() + LATEST_S
        if change.request_id not in self.excused:
            self.may_act[change.target] = (change.request_id, until_s)

    # What the server asks for

    def called(self, count: int) -> None:
        """So many calls of the quota are made now. What a dead process tries never leaves it."""
        if self.killed:
            raise asyncio.CancelledError
        now_s = self.clock.now_s()
        if now_s < self.not_before_s:
            self.is_broken(Promise.QUOTA, f"called {self.not_before_s - now_s:.3f} s too early")
        self.calls_at_s += [now_s] * count

    def show(self, target: str) -> str:
        """Whose change the target shows. Who has seen its own there knows that it took effect."""
        self.settle_arrivals()
        shown = self.setting.get(target, "nobody")
        if self.may_act.get(target, ("", 0.0))[0] == shown:
            del self.may_act[target]
        return shown

    async def take(
        self, changes: Sequence[Change], calls: int, order_pause: Callable[[float], None]
    ) -> Sequence[Verdict]:
        """Does with the changes of one call what chance says, and says of each what became of it.
        Raises what holds for all of them.
        """
        self.called(calls)
        self.settle_arrivals()
        for change in changes:
            self._see(change)
            self.under_way[change.target] = change
        if self.taken is not None:
            for change in changes:
                self.taken(change)
        try:
            verdicts = await self._act(changes, order_pause)
        except asyncio.CancelledError:
            if not self.killed:
                ids = ", ".join(change.request_id for change in changes)
                self.is_broken(Promise.END, ids)
            raise
        except (OutcomeUnknown, RuntimeError):
            for change in changes:
                self._is_unknown(change)
            self._perhaps_suspend()
            raise
        finally:
            for change in changes:
                if self.under_way.get(change.target) is change:
                    del self.under_way[change.target]
        for change, verdict in zip(changes, verdicts, strict=True):
            if isinstance(verdict, OutcomeUnknown):
                self._is_unknown(change)
        return verdicts

    def _see(self, change: Change) -> None:
        """Whether this change may be sent at all."""
        self.sent += 1
        request_id = change.request_id
        if request_id in self.excused:
            return
        if request_id in self.applied_ids:
            self.is_broken(Promise.ONCE, f"{request_id} was sent again after it took effect")
        for other in (*self.under_way.values(), *self.arriving, *self.kernel.changes()):
            if other.request_id == request_id:
                self.is_broken(Promise.ONCE, f"{request_id} was sent again while it may act")
            elif other.target == change.target and other.request_id not in self.excused:
                self.is_broken(Promise.ALONE, f"{request_id}, and {other.request_id} may act")
        earlier, until_s = self.may_act.get(change.target, ("", 0.0))
        if self.clock.awake_s() < until_s:
            self.is_broken(Promise.ALONE, f"{request_id}, and nobody knows of {earlier}")

    async def _act(
        self, changes: Sequence[Change], order_pause: Callable[[float], None]
    ) -> Sequence[Verdict]:
        kinds = ["well", *FAULTS]
        weights = [1.0, *(self.weights.get(kind, 0.0) for kind in FAULTS)]
        (kind,) = self.chance.choices(kinds, weights)
        latency_s = self._latency_s()
        await self.reach()
        if kind == "refuse":
            raise PlatformUnavailable("connection refused")
        await asyncio.sleep(latency_s)
        if kind == "quota":
            pause_s = self.chance.uniform(1, 9)
            self.not_before_s = self.clock.now_s() + pause_s
            order_pause(pause_s)
            raise RateLimited("too many calls", retry_after_s=1.0)
        if kind == "slow":
            await asyncio.sleep(self.chance.uniform(0.5, TIMEOUT_S - 0.3))
        if kind in {"well", "slow", "reject", "each_its_own"}:
            return [self._decide(change, kind) for change in changes]
        if kind == "partition":
            self._cut_off(changes)
        await self._lose(changes, kind, TIMEOUT_S - latency_s)
        raise AssertionError("it is lost")

    async def reach(self) -> None:
        """Raises PlatformUnavailable when no connection can be made."""
        if self.clock.now_s() < self.partitioned_until_s:
            await asyncio.sleep(TIMEOUT_S)
            raise PlatformUnavailable("no connection within the timeout")

    def _cut_off(self, changes: Sequence[Change]) -> None:
        """Partitions the network when the changes were written."""
        partition_s = self.chance.choice(PARTITIONS_S) * self.chance.uniform(0.3, 1.0)
        self.partitioned_until_s = self.clock.now_s() + partition_s
        for change in changes:
            self.kernel.take(change, partition_s)

    def _perhaps_suspend(self) -> None:
        """A machine that loses its network is often about to be suspended."""
        if self.chance.random() < 0.3:
            after_s = self.chance.uniform(0.0, LATEST_S)
            suspended_s = self.chance.choice(SUSPENDED_S)
            asyncio.get_running_loop().call_later(after_s, self.clock.suspend, suspended_s)

    def _latency_s(self) -> float:
        """Some answers need no wire at all: an auction's is only written down."""
        at_once = not self.weights or self.chance.random() < 0.2
        return 0.0 if at_once else self.chance.uniform(0.002, 0.2)

    def _decide(self, change: Change, kind: str) -> Verdict:
        """What an answered call says of one change."""
        own = self.chance.choice(["well", "well", "reject", "lose", "late", "quota"])
        kind = own if kind == "each_its_own" else kind
        if kind == "reject":
            return PlatformRejected("the bid is too low for this campaign")
        if kind == "quota":
            return RateLimited("too many changes of one account", retry_after_s=1.0)
        if kind == "late":
            self._later(change, self.chance.uniform(0.0, LATEST_S - 0.001))
        elif kind != "lose":
            self._apply_now(change)
        return OutcomeUnknown("no answer for this one") if kind in {"late", "lose"} else None

    async def _lose(self, changes: Sequence[Change], kind: str, left_s: float) -> None:
        """Does with each change one thing or the other, and raises without saying which."""
        share = 1.0 if len(changes) == 1 else 0.7
        for change in changes:
            if kind in {"lose", "hang", "partition"} or self.chance.random() > share:
                continue
            if kind == "apply_late":
                self._later(change, self.chance.uniform(0.0, left_s + LATEST_S - 0.001))
                continue
            self._apply_now(change)
            if self.chance.random() < 0.2:
                self.somebody_else_changes(change.target)
        if kind == "lose":
            raise OutcomeUnknown("the connection was reset")
        if kind == "apply_then_crash":
            raise RuntimeError("the connector has a bug behind the call")
        await asyncio.sleep(left_s)
        raise OutcomeUnknown("no answer within the timeout")
