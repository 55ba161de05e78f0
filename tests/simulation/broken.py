"""The promises that a seed may find broken, and the words for it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Promise(enum.Enum):
    """What was promised; the value is what is said when it was broken."""

    WINDOW = "overshot"
    ONCE = "sent twice"
    ALONE = "sent while an earlier change may act"
    QUOTA = "over the quota"
    PAUSE = "sent while paused"
    PRICE = "more than was asked"
    END = "stopped while being sent"
    LEDGER = "forgotten"
    AUDIT = "an audit that does not hold"
    LEAK = "leaked"
    TRUTH = "told an untruth"
    LIVENESS = "stuck"


@dataclass(frozen=True)
class Broken:
    """One promise, broken."""

    promise: Promise
    text: str

    def __str__(self) -> str:
        return f"{self.promise.value}: {self.text}"
