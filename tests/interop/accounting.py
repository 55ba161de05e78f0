"""What callers were told, compared with what the platform took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PLACED = "PLACED"


@dataclass(frozen=True, slots=True)
class Account:
    """Request ids, sorted. All of it empty: nothing was lost, doubled or left without its answer.

    Attributes:
        lost: the caller was told that it is placed; the platform never took it.
        twice: the platform took it more than once.
        failed: the caller never got an answer that says placed.
        nobodys: the platform took it, and no caller sent it.
    """

    lost: list[str]
    twice: list[str]
    failed: list[str]
    nobodys: list[str]

    @property
    def holds(self) -> bool:
        """Whether there is nothing to complain of."""
        return not (self.lost or self.twice or self.failed or self.nobodys)

    def words(self) -> list[str]:
        """What the platform's journal complains of."""
        complaints = (
            ("lost", self.lost),
            ("placed twice", self.twice),
            ("changed by nobody's bid", self.nobodys),
        )
        return [
            f"{len(names)} {what}, {', '.join(names[:3])} among them"
            for what, names in complaints
            if names
        ]


def account(told: Mapping[str, str], taken: Iterable[str]) -> Account:
    """`told`: request id -> the last word on it. `taken`: the request id of each change that the
    platform applied; empty for one that no bid explains.
    """
    times = Counter(taken)
    return Account(
        lost=sorted(name for name, word in told.items() if word == PLACED and not times[name]),
        twice=sorted(name for name, many in times.items() if name and many > 1),
        failed=sorted(name for name, word in told.items() if word != PLACED),
        nobodys=sorted(name for name in times if name not in told),
    )
