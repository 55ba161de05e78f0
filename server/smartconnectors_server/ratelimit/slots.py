"""What callers hold at once: calls in flight, and streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.errors import Overloaded
from smartconnectors_server.ratelimit.shares import ACTIVE_FOR_S, ActiveCallers

RETRY_S = 0.1
"""After so long one who was refused may ask again: a call has usually ended by then."""


class Slots:
    """At most `most` at once, of which each active caller is entitled to an equal share; see
    `shares`. With `most_each`, no caller ever has more than that: for what may be held for ever,
    where nobody can wait for another one to end.
    """

    def __init__(
        self,
        what: str,
        subject: str,
        now_ns: Callable[[], int],
        *,
        most: int,
        most_each: int | None = None,
        active_for_s: float = ACTIVE_FOR_S,
    ) -> None:
        """`what`: in refusals, for example `calls are in flight`; `subject`: for machines, for
        example `server/in_flight`; its last part names the limit in their metadata.
        """
        self._what = what
        self._subject = subject
        self._now_ns = now_ns
        self._most = most
        self._most_each = most_each
        self._active = ActiveCallers(round(active_for_s * NANOS_PER_SECOND))
        self._held: Counter[str] = Counter()
        self._total = 0

    @property
    def total(self) -> int:
        """How many are held now, by all callers."""
        return self._total

    def check(self, caller: str) -> None:
        """Raises the Overloaded that `take` would raise now; the caller is active from now on."""
        self._active.asks(caller, self._now_ns())
        name = f"max_{self._subject.rpartition('/')[2]}"
        if self._total >= self._most:
            raise Overloaded(
                f"{self._most} {self._what}, as many as this server takes",
                retry_after_s=RETRY_S,
                metadata={name: str(self._most)},
                quota_subject=self._subject,
            )
        own = self._held.get(caller, 0)
        if self._most_each is not None:
            share = self._most_each
            fits = own < share
        else:
            share = self._active.share(caller, self._most)
            fits = own < share or self._total < self._most - self._active.unused_by_others(
                caller, self._most, lambda one: self._held.get(one, 0)
            )
        if not fits:
            raise Overloaded(
                f"{own} {self._what} for {caller}, and the share of one caller is {share} now; end "
                "some, or wait until others end theirs",
                retry_after_s=RETRY_S,
                metadata={
                    name: str(self._most),
                    "limited_by": "caller",
                    "caller_share": str(share),
                },
                quota_subject=self._subject,
            )

    def take(self, caller: str) -> None:
        """Takes one; to be given back. Raises Overloaded."""
        self.check(caller)
        self._held[caller] += 1
        self._total += 1

    def give_back(self, caller: str) -> None:
        """One that was taken has ended."""
        self._total -= 1
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]

    @contextmanager
    def of(self, caller: str) -> Iterator[None]:
        """Holds one inside of it. Raises Overloaded."""
        self.take(caller)
        try:
            yield
        finally:
            self.give_back(caller)
