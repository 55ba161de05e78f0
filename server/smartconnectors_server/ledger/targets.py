"""Which open holds stand in another's way on the same target.

A bid can be deferred without the platform, and then nobody has checked that the target which its
request names belongs to its campaign. So a deferred hold stands in the way of its own campaign's
bids alone. A hold in doubt was sent, so its target was checked: it blocks every bid on it.
"""

from __future__ import annotations

from smartconnectors_server.ledger.records import Hold, HoldState, Reservation, campaign_in

_Place = tuple[str, str, str]
"""Platform, campaign and target."""


def _place_of(one: Hold | Reservation) -> _Place:
    return (one.platform, campaign_in(one.budget_ids), one.target)


class TargetIndex:
    """The deferred hold of each campaign on each target, and the holds in doubt on each target."""

    def __init__(self) -> None:
        self._deferred: dict[_Place, str] = {}
        self._in_doubt: dict[tuple[str, str], set[str]] = {}

    def deferred_beside(self, one: Hold | Reservation) -> str | None:
        """The id of the deferred hold on the target of this one, of the same campaign; there is one
        at most.
        """
        return self._deferred.get(_place_of(one))

    def in_doubt_on(self, platform: str, target: str) -> str | None:
        """The id of the oldest hold in doubt on a target."""
        blocking = self._in_doubt.get((platform, target))
        return min(blocking) if blocking else None

    def add(self, hold: Hold) -> None:
        """Takes up an open hold."""
        if hold.state is HoldState.DEFERRED:
            self._deferred[_place_of(hold)] = hold.hold_id
        elif hold.state is HoldState.IN_DOUBT:
            self._in_doubt.setdefault((hold.platform, hold.target), set()).add(hold.hold_id)

    def remove(self, hold: Hold) -> None:
        """Forgets an open hold, by the state that it had."""
        place = _place_of(hold)
        if self._deferred.get(place) == hold.hold_id:
            del self._deferred[place]
        key = (hold.platform, hold.target)
        blocking = self._in_doubt.get(key)
        if blocking is not None:
            blocking.discard(hold.hold_id)
            if not blocking:
                del self._in_doubt[key]
