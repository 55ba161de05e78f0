"""Which open holds stand in another's way on the same target."""

from __future__ import annotations

from smartconnectors_server.ledger.records import Hold, HoldState


class TargetIndex:
    """For each (platform, target): the deferred hold, and the holds in doubt."""

    def __init__(self) -> None:
        self._deferred: dict[tuple[str, str], str] = {}
        self._in_doubt: dict[tuple[str, str], set[str]] = {}

    def deferred_on(self, platform: str, target: str) -> str | None:
        """The id of the deferred hold on a target; there is one at most."""
        return self._deferred.get((platform, target))

    def in_doubt_on(self, platform: str, target: str) -> str | None:
        """The id of the oldest hold in doubt on a target."""
        blocking = self._in_doubt.get((platform, target))
        return min(blocking) if blocking else None

    def add(self, hold: Hold) -> None:
        """Takes up an open hold."""
        key = (hold.platform, hold.target)
        if hold.state is HoldState.DEFERRED:
            self._deferred[key] = hold.hold_id
        elif hold.state is HoldState.IN_DOUBT:
            self._in_doubt.setdefault(key, set()).add(hold.hold_id)

    def remove(self, hold: Hold) -> None:
        """Forgets an open hold, by the state that it had."""
        key = (hold.platform, hold.target)
        if self._deferred.get(key) == hold.hold_id:
            del self._deferred[key]
        blocking = self._in_doubt.get(key)
        if blocking is not None:
            blocking.discard(hold.hold_id)
            if not blocking:
                del self._in_doubt[key]
