"""Whether audit lines hang together: hashes, what each verb may follow, and every balance anew.

Shares with the ledger the shape of a line and nothing of its rules, so that a fault in those is
seen here: a sum over all that was settled instead of a window that forgets, and a limit that is
held against what each admission made of it. Pure, and as long as the ledger is, line by line.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from smartconnectors_server.ledger.audit_alerts import AlertRules
from smartconnectors_server.ledger.chain import GENESIS, link
from smartconnectors_server.ledger.configured import CONFIGURE, CONFIGURING, after
from smartconnectors_server.ledger.records import (
    Budget,
    CalendarWindow,
    Entry,
    Limit,
    SlidingWindow,
)
from smartconnectors_server.window import CalendarSum
from smartconnectors_server.zones import UnknownZone

_ID_IS_BOUND_FOR_NS = 86_400 * 10**9
_AFTER = {
    "reserve": {"": "held"},
    "defer": {"": "deferred", "held": "deferred"},
    "dispatch": {"deferred": "held"},
    "doubt": {"held": "in_doubt"},
    "settle": {"held": "settled", "in_doubt": "settled"},
    "settle_late": {"given back": "settled"},
    **{
        verb: dict.fromkeys(("held", "deferred", "in_doubt"), "given back")
        for verb in ("release", "reject", "expire", "supersede")
    },
}
"""Verb -> where the hold stood before -> where it stands afterwards. "": not at all."""
_PAUSING = ("pause", "resume")
_ALERTING = ("alert", "alert_end")
_BINDING = ("bind", "adopt")
_TOLD = frozenset({*_ALERTING, "erase", "pause_campaign", "resume_campaign"})
"""What only tells: nothing is admitted by it or in spite of it."""


class Broken(Exception):
    """The ledger is not what it should be.

    Attributes:
        sequence: the first line that cannot be; 0 when it is none in particular.
    """

    def __init__(self, sequence: int, why: str) -> None:
        super().__init__(f"line {sequence}: {why}" if sequence else why)
        self.sequence = sequence


def _counts_in(platform: str, named: tuple[str, ...]) -> tuple[str, ...]:
    """The budgets that a line counts in. It names those that there were when its bid was admitted;
    a total counts everything of its platforms, also from the time before it was configured.
    """
    total = "shadow/total" if platform.startswith("shadow/") else "total"
    return named if total in named or not platform else (*named, total)


@dataclass(slots=True)
class Standing:
    """One hold: where it stands and for how much."""

    state: str
    amount_micros: int
    budget_ids: tuple[str, ...]
    platform: str
    request_id: str
    actor: str
    """Who asked for it: request ids belong to their callers."""


@dataclass(frozen=True, slots=True)
class Balance:
    """One budget, from nothing but the lines; in micros. `committed` is one sum for each limit."""

    budget_id: str
    currency_code: str
    limits: tuple[Limit, ...]
    committed: tuple[int | None, ...]
    """None: of a calendar whose time zone is not known here."""
    held: int
    deferred: int
    in_doubt: int


@dataclass(slots=True)
class _Account:
    """What the lines say of one budget."""

    budget: Budget | None = None
    open: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    settled_ns: list[int] = field(default_factory=list)
    settled_so_far: list[int] = field(default_factory=lambda: [0])
    periods: dict[CalendarWindow, CalendarSum] = field(default_factory=dict)

    def settle(self, at_ns: int, amount_micros: int) -> None:
        self.settled_ns.append(at_ns)
        self.settled_so_far.append(self.settled_so_far[-1] + amount_micros)
        for period in self.periods.values():
            period.add(at_ns, amount_micros)

    def committed(self, limit: Limit, now_ns: int) -> int | None:
        """None: the time zone of its calendar is not known here."""
        window = limit.window
        if isinstance(window, SlidingWindow):
            before = bisect_right(self.settled_ns, now_ns - round(window.seconds * 10**9))
            return self.settled_so_far[-1] - self.settled_so_far[before]
        try:
            return self._period(window, now_ns).total(now_ns)
        except UnknownZone:
            return None

    def _period(self, window: CalendarWindow, now_ns: int) -> CalendarSum:
        period = self.periods.get(window)
        if period is None:
            period = self.periods[window] = CalendarSum(window.unit, window.time_zone)
            # No month is longer than this.
            first = bisect_right(self.settled_ns, now_ns - 32 * 86_400 * 10**9)
            for index in range(first, len(self.settled_ns)):
                amount = self.settled_so_far[index + 1] - self.settled_so_far[index]
                period.add(self.settled_ns[index], amount)
        return period


class Audit:
    """Takes line after line."""

    def __init__(self) -> None:
        self.lines = 0
        self.head = GENESIS
        self.at_ns = 0
        self.holds: dict[str, Standing] = {}
        """Open holds, and those that were given back."""
        self._accounts: dict[str, _Account] = defaultdict(_Account)
        self.paused: set[str] = set()
        """The scopes of pauses: budgets, campaigns without one, "all"."""
        self._bound: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._alerts = AlertRules()
        self._bound_to: dict[str, dict[tuple[str, str], str]] = {}
        """Platform -> mode, endpoint and accounts."""
        self.unknown_zones: set[str] = set()
        """Time zones that are not known here: limits of their calendars were not checked."""

    def take(self, entry: Entry) -> None:
        """Checks the next line. Raises Broken, and is of no further use then."""
        try:
            self._take(entry)
        except Broken:
            raise
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise Broken(entry.sequence, f"says nothing that can be understood: {error}") from error

    def _take(self, entry: Entry) -> None:
        number = entry.sequence
        if number != self.lines + 1:
            raise Broken(self.lines + 1, f"is missing; line {number} follows line {self.lines}")
        if link(self.head, entry) != entry.hash:
            raise Broken(number, "its hash does not fit it and the line before")
        if entry.at_ns < self.at_ns:
            raise Broken(number, "is older than the line before")
        self.lines, self.head, self.at_ns = number, entry.hash, entry.at_ns
        if entry.hold_id:
            self._take_of_hold(entry)
        elif entry.verb in CONFIGURING:
            self._take_of_budget(entry)
        elif entry.verb in _ALERTING:
            self._alerts.take(entry)
        elif entry.verb in _BINDING:
            self._take_of_platform(entry)
        elif entry.verb not in _TOLD:
            raise Broken(number, f"{entry.verb!r} is nothing that is done to a budget")

    def _take_of_budget(self, entry: Entry) -> None:
        (scope,) = entry.budget_ids
        if entry.verb == CONFIGURE:
            self._alerts.forget(scope)
        account = self._accounts[scope]
        # A pause may be of what has no budget.
        if account.budget is not None or entry.verb not in _PAUSING:
            account.budget = after(account.budget, entry)
        paused = entry.verb == "pause" if account.budget is None else account.budget.paused
        if paused:
            self.paused.add(scope)
        else:
            self.paused.discard(scope)

    def _take_of_platform(self, entry: Entry) -> None:
        """A platform goes elsewhere only by adoption, and not with anything under way."""
        name, document = entry.platform, json.loads(entry.note)
        accounts = {("account", key): value for key, value in document["accounts"].items()}
        now = {(key, ""): document[key] for key in ("mode", "endpoint")} | accounts
        before = self._bound_to.setdefault(name, now)
        self._bound_to[name] = now
        moved = any(now.get(key) != value for key, value in before.items())
        if moved and entry.verb == "bind":
            raise Broken(entry.sequence, f"binds {name} elsewhere, which nobody has adopted")
        if entry.verb == "adopt":
            books = (name, f"shadow/{name}")
            for hold_id, hold in self.holds.items():
                if hold.platform in books and hold.state != "given back":
                    raise Broken(entry.sequence, f"adopts {name} while {hold_id} was {hold.state}")

    def _take_of_hold(self, entry: Entry) -> None:
        hold = self.holds.get(entry.hold_id)
        was = "" if hold is None else hold.state
        allowed = _AFTER.get(entry.verb, {})
        if was not in allowed:
            stood = f"stands as {was!r}" if was else "is not open"
            raise Broken(entry.sequence, f"{entry.verb!r} of {entry.hold_id}, which {stood}")
        if hold is None:
            self._begin(entry)
        else:
            self._compare(entry, hold)
            self._count(hold, -1)
        now = allowed[was]
        standing = Standing(
            now,
            entry.amount_micros,
            entry.budget_ids,
            entry.platform,
            entry.request_id,
            entry.actor if hold is None else hold.actor,
        )
        if now == "settled":
            self.holds.pop(entry.hold_id, None)
            for budget_id in _counts_in(entry.platform, entry.budget_ids):
                self._accounts[budget_id].settle(entry.at_ns, entry.amount_micros)
        else:
            self.holds[entry.hold_id] = standing
            self._count(standing, +1)
        if entry.amount_micros and entry.verb in {"reserve", "defer", "dispatch"}:
            self._check_paused(entry, was)
        if was == "":
            self._check_limits(entry)
        elif now == "given back" and entry.verb == "release":
            self._bound.pop((entry.platform, standing.actor, entry.request_id), None)

    def _begin(self, entry: Entry) -> None:
        if entry.hold_id != f"h{entry.sequence:012d}":
            raise Broken(entry.sequence, f"begins a hold called {entry.hold_id}")
        key = (entry.platform, entry.actor, entry.request_id)
        while self._bound and next(iter(self._bound.values())) < entry.at_ns - _ID_IS_BOUND_FOR_NS:
            self._bound.popitem(last=False)
        if key in self._bound:
            raise Broken(entry.sequence, f"admits request {entry.request_id} a second time")
        self._bound[key] = entry.at_ns

    @staticmethod
    def _compare(entry: Entry, hold: Standing) -> None:
        said = (entry.budget_ids, entry.platform, entry.request_id)
        if said != (hold.budget_ids, hold.platform, hold.request_id):
            raise Broken(entry.sequence, f"{entry.hold_id} belongs to another request")
        less = entry.verb == "defer" and 0 <= entry.amount_micros <= hold.amount_micros
        if entry.amount_micros != hold.amount_micros and not less:
            raise Broken(
                entry.sequence, f"{entry.amount_micros} of a hold of {hold.amount_micros} micros"
            )

    def _count(self, hold: Standing, sign: int) -> None:
        for budget_id in _counts_in(hold.platform, hold.budget_ids):
            self._accounts[budget_id].open[hold.state] += sign * hold.amount_micros

    def _check_paused(self, entry: Entry, was: str) -> None:
        """Nothing is admitted or sent while its scope is paused; what is held may be deferred."""
        for scope in ("all", *entry.budget_ids):
            if was != "held" and scope in self.paused:
                raise Broken(entry.sequence, f"{entry.verb!r} while {scope} was paused")

    def _check_limits(self, entry: Entry) -> None:
        """What an admission made of each limit that it counts in; one of nothing is exempt."""
        if entry.amount_micros < 0:
            raise Broken(entry.sequence, "admits less than nothing")
        if entry.amount_micros == 0:
            return
        for budget_id in entry.budget_ids:
            account = self._accounts[budget_id]
            if account.budget is None and budget_id.startswith(f"{entry.platform}/campaigns/"):
                continue
            if account.budget is None:
                raise Broken(entry.sequence, f"{budget_id} was never configured")
            still_open = sum(account.open[s] for s in ("held", "deferred", "in_doubt"))
            for limit in account.budget.limits:
                committed = account.committed(limit, entry.at_ns)
                if committed is None:
                    self.unknown_zones.add(getattr(limit.window, "time_zone", ""))
                    continue
                used = committed + still_open
                if used > limit.limit_micros:
                    raise Broken(
                        entry.sequence,
                        f"admitted, which makes {used} of {limit.limit_micros} micros in "
                        f"{budget_id}",
                    )

    @property
    def alerts(self) -> Mapping[str, int]:
        """What alerts stand after the last line, as the file names them -> the line of each."""
        return self._alerts.stands

    def balances(self) -> list[Balance]:
        """Every budget as of the last line, by id."""
        return [
            Balance(
                budget_id=budget_id,
                currency_code=account.budget.currency_code,
                limits=account.budget.limits,
                committed=tuple(account.committed(x, self.at_ns) for x in account.budget.limits),
                held=account.open["held"],
                deferred=account.open["deferred"],
                in_doubt=account.open["in_doubt"],
            )
            for budget_id, account in sorted(self._accounts.items())
            if account.budget is not None
        ]

    def check_head(self, expected: str) -> None:
        """Raises Broken when the last hash is another than the one that was noted elsewhere."""
        if self.head != expected:
            raise Broken(
                0,
                f"ends with {self.head}, not with {expected}: lines are missing at the end, were "
                "added, or were all written anew",
            )
