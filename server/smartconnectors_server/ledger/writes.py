"""What the ledger writes, as crash tests name it: told from the audit lines, so that no verb has to
say it for itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from smartconnectors_server.failpoints import Moment, Write, reached_by
from smartconnectors_server.ledger.bindings import ADOPT
from smartconnectors_server.ledger.records import Entry, Step

BY_OPERATOR = "operator: "
"""How the note begins when an operator ended a hold."""
BY_RECONCILER = "looked up "
"""Stands in the note when the platform's word ended a hold that was in doubt."""


def reached_in(moment: Moment, steps: Sequence[Step], *, calls: bool = False) -> None:
    """Dies here if this moment of something in these steps, or of recorded calls, is armed."""
    reached_by(moment, lambda: writes_of(steps) | ({Write.CALLS} if calls else set()))


def writes_of(steps: Sequence[Step]) -> set[Write]:
    """Every kind of write in the steps."""
    writes = set()
    for step in steps:
        began = {hold.hold_id for hold in step.holds if hold.created_ns == hold.updated_ns}
        for entry in step.entries:
            write = Write.BIND if entry.verb == ADOPT else Write(entry.verb)
            deferred_new = write is Write.DEFER and entry.hold_id in began
            writes.add(Write.DEFER_NEW if deferred_new else write)
            if who := _who(entry):
                writes.add(who)
    return writes


def _who(entry: Entry) -> Write | None:
    if entry.note.startswith(BY_OPERATOR):
        return Write.RESOLVE_BY_OPERATOR
    return Write.RESOLVE_BY_RECONCILER if BY_RECONCILER in entry.note else None
