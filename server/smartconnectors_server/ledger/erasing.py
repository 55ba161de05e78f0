"""Taking out of holds what tells who a customer is and why the model bid. Money, and the lines of
the audit ledger, which name a customer by a keyed hash alone, stay as they are.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING

from smartconnectors_server.ledger.records import Erased, Hold, Step

if TYPE_CHECKING:
    from smartconnectors_server.ledger.book import Book
    from smartconnectors_server.ledger.group_commit import GroupCommit
    from smartconnectors_server.ledger.store import Store

REFUSED = json.dumps({"message": "The platform refused it; its words were erased.", "metadata": {}})
"""What stands in the place of a platform's words: what a retry is told."""


def erased(hold: Hold) -> Hold:
    """A closed hold without its request, its answer, and what a platform said of it."""
    refusal = REFUSED if hold.error else ""
    return dataclasses.replace(hold, request=b"", answer=b"", error=refusal, note="", erase=False)


def erase_in(
    customer: str,
    still_open: MutableMapping[str, Hold],
    closed: MutableMapping[str, Hold],
    histories: Iterable[deque[Hold]],
) -> Step:
    """Erases a customer's closed holds in memory, and marks the open ones, which need their request
    until they close.
    """
    histories = list(histories)
    known = [*closed.values(), *(hold for history in histories for hold in history)]
    done = {hold.hold_id: erased(hold) for hold in known if hold.customer == customer}
    closed.update({hold_id: done[hold_id] for hold_id in done if hold_id in closed})
    for history in histories:
        kept = [done.get(hold.hold_id, hold) for hold in history]
        history.clear()
        history.extend(kept)
    marked = {
        hold_id: dataclasses.replace(hold, erase=True)
        for hold_id, hold in still_open.items()
        if hold.customer == customer
    }
    still_open.update(marked)
    return Step((*done.values(), *marked.values()), ())


async def erase(
    book: Book,
    commits: GroupCommit,
    disk: Store,
    now_ns: Callable[[], int],
    customer: str,
    note: str,
    actor: str,
) -> Erased:
    """In memory, on disk, and then on record, with the time that it is then. A crash in between
    leaves it to be asked again.
    """
    step = book.erase(customer)
    await commits.durable(step)
    marked = sum(hold.state.is_open for hold in step.holds)
    in_file = await commits.run(disk.erase, customer)
    await commits.durable(book.record_erasure(customer, note, now_ns(), actor=actor))
    await commits.run(disk.forget_what_was_overwritten)
    return Erased(len(step.holds) - marked + in_file, marked)
