"""Binds a store to what is configured, or refuses to."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from smartconnectors_server.ledger.bindings import (
    ADOPT,
    BIND,
    Adoption,
    Binding,
    bindings_of,
    objection,
)
from smartconnectors_server.ledger.book import Book
from smartconnectors_server.ledger.records import HoldState, Step
from smartconnectors_server.ledger.refusals import BoundElsewhere
from smartconnectors_server.ledger.shadow import real_of
from smartconnectors_server.ledger.store import Store

log = logging.getLogger(__name__)


def bind(
    store: Store, book: Book, now_ns: int, bindings: Sequence[Binding], adoption: Adoption
) -> list[Step]:
    """The steps that bind the store: none when it is bound to all of this already.

    Raises BoundElsewhere, and has changed nothing in the store then.
    """
    before = bindings_of(store.binding_lines())
    steps = _expired(book, adoption, now_ns)
    opened = book.open_holds()
    objections = [
        objection(before.get(now.platform), now, opened, now.platform in adoption.platforms)
        for now in bindings
    ]
    if refused := [why for why in objections if why is not None]:
        raise BoundElsewhere("\n".join(refused))
    for now in bindings:
        was = before.get(now.platform)
        if now == was:
            continue
        extends = was is None or now.extends(was)
        if not extends:
            store.forget_reports(now.platform)
        actor = "" if extends else adoption.actor
        steps.append(book.record_binding(now, BIND if extends else ADOPT, now_ns, actor=actor))
        log.info("%s: the state directory is bound to %s", now.platform, now.described())
    adopted = any(line.verb == ADOPT for step in steps for line in step.entries)
    if adoption.platforms and not adopted:
        log.warning(
            "there is nothing to adopt; take --adopt out of the command, so that it cannot adopt "
            "what is changed by mistake"
        )
    store.bind(bindings)
    return steps


def _expired(book: Book, adoption: Adoption, now_ns: int) -> list[Step]:
    """Ends deferred bids of adopted platforms whose time was over while the server was away."""
    return [
        book.release(hold.hold_id, HoldState.EXPIRED, now_ns, note="not placed in time")
        for hold in book.open_holds(HoldState.DEFERRED)
        if real_of(hold.platform) in adoption.platforms and now_ns >= hold.expires_ns
    ]
