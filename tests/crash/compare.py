"""After the last restart: what the platforms applied against what the ledger says and what callers
were told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.crash.actors import PLACED
from tests.crash.mixes import TOTAL
from tests.crash.sent import Applied, Bid

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors_server.ledger import BY_OPERATOR

NANOS = 1_000_000_000
SETTLES = frozenset({"settle", "settle_late"})


@dataclass
class Findings:
    """What is wrong; all empty when every promise was kept."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    overshot: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.overshot)


@dataclass(frozen=True)
class Evidence:
    """Everything that a comparison needs.

    Attributes:
        applied: changes at all platforms, by their own journals.
        entries: the audit ledger.
        told: request id -> what its callers heard, in order.
        most_micros: budget -> the highest limit that it had.
        window_s: of every budget.
    """

    bids: Mapping[str, Bid]
    applied: Sequence[Applied]
    entries: Sequence[budgets_pb2.LedgerEntry]
    told: Mapping[str, Sequence[str]]
    most_micros: Mapping[str, int]
    window_s: float


def compare(seen: Evidence) -> Findings:
    """What is wrong with it."""
    found = Findings()
    applied = Counter(change.bid.request_id for change in seen.applied if change.bid is not None)
    settled = Counter(entry.request_id for entry in seen.entries if entry.verb in SETTLES)
    found.lost += [f"{c.platform} applied what nobody sent" for c in seen.applied if c.bid is None]
    found.lost += [f"{one} was applied and is not committed" for one in applied if not settled[one]]
    found.doubled += [f"{one} was applied {n} times" for one, n in applied.items() if n > 1]
    # An operator may say that an attempt counts that was given back, after another was placed.
    by_word = Counter(
        entry.request_id
        for entry in seen.entries
        if entry.verb == "settle_late" and entry.note.startswith(BY_OPERATOR)
    )
    found.doubled += [
        f"{one} was committed {n - by_word[one]} times"
        for one, n in settled.items()
        if n - by_word[one] > 1
    ]
    _compare_amounts(seen, found)
    _compare_callers(seen, found, applied, settled)
    for budget_id, most_micros in seen.most_micros.items():
        found.overshot += _overshot(seen, budget_id, most_micros)
    return found


def _compare_amounts(seen: Evidence, found: Findings) -> None:
    for entry in seen.entries:
        bid = seen.bids.get(entry.request_id)
        if entry.verb in SETTLES and bid is not None and entry.amount_micros != bid.amount_micros:
            found.lost.append(
                f"{bid.request_id} was sent as {bid.amount_micros}, committed as "
                f"{entry.amount_micros}"
            )


def _compare_callers(
    seen: Evidence, found: Findings, applied: Mapping[str, int], settled: Mapping[str, int]
) -> None:
    # An operator's word, or that the platform could not say, commits what was perhaps not applied.
    assumed = {
        entry.request_id
        for entry in seen.entries
        if entry.verb in SETTLES and entry.note.startswith((BY_OPERATOR, "assumed: "))
    }
    for request_id, told in seen.told.items():
        if PLACED in told and not settled.get(request_id):
            found.lost.append(f"{request_id} was told PLACED and is not committed")
        if PLACED in told and request_id not in assumed and not applied.get(request_id):
            found.lost.append(f"{request_id} was told PLACED and was never applied")
        if told and told[-1] != PLACED and applied.get(request_id):
            history = [e.verb for e in seen.entries if e.request_id == request_id]
            found.lost.append(
                f"{request_id} was applied, and was told {told[-1]} at last; its lines: "
                + ", ".join(history)
            )


def _overshot(seen: Evidence, budget_id: str, most_micros: int) -> Iterable[str]:
    """Windows in which more took effect than the budget allowed.

    Truth that arrives late, after somebody gave a hold back, enters above the limit: such bids were
    not the budget's to refuse.
    """
    late = {entry.request_id for entry in seen.entries if entry.verb == "settle_late"}
    counted = sorted(
        (
            (change.at_ns, change.bid.amount_micros)
            for change in seen.applied
            if change.bid is not None
            and change.bid.request_id not in late
            and _counts_in(change.bid, budget_id)
        ),
    )
    first = total = worst = 0
    for at_ns, amount_micros in counted:
        total += amount_micros
        while counted[first][0] <= at_ns - seen.window_s * NANOS:
            total -= counted[first][1]
            first += 1
        worst = max(worst, total)
    if worst > most_micros:
        yield f"{budget_id}: {worst} of {most_micros} micros inside one window"


def _counts_in(bid: Bid, budget_id: str) -> bool:
    return budget_id in (TOTAL, bid.platform, f"{bid.platform}/campaigns/{bid.campaign}")


async def all_entries(budgets: Any) -> list[budgets_pb2.LedgerEntry]:
    """The whole audit ledger."""
    entries: list[budgets_pb2.LedgerEntry] = []
    token = ""
    while True:
        request = budgets_pb2.ListLedgerEntriesRequest(page_size=1000, page_token=token)
        answer = await budgets.ListLedgerEntries(request, timeout=30)
        entries += answer.entries
        token = answer.next_page_token
        if not token:
            return entries
