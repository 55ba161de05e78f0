"""Whether lines about alerts can be: each level reached and left, each condition begun and ended,
once. Rules of its own, as in `audit`, which asks them.
"""

from __future__ import annotations

from smartconnectors_server.ledger.records import Entry

_LEVELS = ("NONE", "WARNING", "CRITICAL", "EXHAUSTED")
_CONDITIONS = (
    *("RATE_LIMIT", "CIRCUIT", "IN_DOUBT", "LEDGER", "UNKNOWN_ID", "NOT_CONNECTED"),
    "ACCESS_FILE",
)


class AlertRules:
    """Takes line after line."""

    def __init__(self) -> None:
        self._levels: dict[str, int] = {}
        self._standing: set[tuple[str, ...]] = set()
        self.stands: dict[str, int] = {}
        """What stands now, as the file names it -> the line that said so."""

    def forget(self, budget_id: str) -> None:
        """A budget was configured: its level may be told anew, as when it was away meanwhile."""
        self._levels.pop(budget_id, None)

    def take(self, line: Entry) -> None:
        """Raises ValueError for one that cannot follow those before."""
        word = line.note.partition(":")[0]
        begins = line.verb == "alert"
        if word in _CONDITIONS:
            caller = (line.actor,) if line.actor else ()
            subject = (word, line.platform, line.request_id, *caller)
            self._take_condition(subject, begins, line.sequence)
        elif word == "REPORTED":
            if not begins or not line.platform:
                raise ValueError("no platform's report is told so")
        elif word in _LEVELS:
            (budget_id,) = line.budget_ids
            level = _LEVELS.index(word)
            self._take_level(budget_id, level, begins)
            self._tell(f"BUDGET {budget_id} ", line.sequence if level else 0)
        else:
            raise ValueError(f"{word!r} is nothing that alerts are about")

    def _take_condition(self, subject: tuple[str, ...], begins: bool, number: int) -> None:
        if begins == (subject in self._standing):
            told = "begins while it stands" if begins else "ends and does not stand"
            raise ValueError(f"{subject[0]} of {subject[1:]} {told}")
        (self._standing.add if begins else self._standing.remove)(subject)
        self._tell(" ".join(subject), number if begins else 0)

    def _take_level(self, budget_id: str, level: int, begins: bool) -> None:
        stood = self._levels.get(budget_id)
        if stood is not None and not (level > stood if begins else level < stood):
            came = f"{_LEVELS[level]} from {_LEVELS[stood]}"
            raise ValueError(f"{budget_id} comes to {came} by {'alert' if begins else 'alert_end'}")
        self._levels[budget_id] = level

    def _tell(self, subject: str, number: int) -> None:
        """`number` 0: it stands no more."""
        if number:
            self.stands[subject] = number
        else:
            self.stands.pop(subject, None)
