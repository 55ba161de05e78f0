"""What a line about an alert says: which kind it is, of what, and in which words. Pure.

A line's note begins with a word and a colon. Of a budget it is the level that stands from then on;
otherwise it is the condition that begins (`alert`) or ends (`alert_end`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from smartconnectors_server.ledger.alerts import ALERT, ALERT_END, AlertLevel
from smartconnectors_server.ledger.records import Entry
from smartconnectors_server.ledger.shadow import is_shadow, real_of, shadow_of
from smartconnectors_server.ledger.totals import TOTAL

REPORTED = "REPORTED"
"""The word of a line that a platform reports more spend than was committed. It never ends."""
ID_PREFIX = "alert-"


class Condition(enum.Enum):
    """What begins and ends, beside the levels of budgets."""

    RATE_LIMIT = "RATE_LIMIT"
    """A platform's quota is nearly used up."""
    CIRCUIT = "CIRCUIT"
    """A circuit breaker is not closed."""
    IN_DOUBT = "IN_DOUBT"
    """It is not known for long what became of a bid."""
    LEDGER = "LEDGER"
    """Commits are slow."""
    UNKNOWN_ID = "UNKNOWN_ID"
    """A platform shows a request id that the ledger does not know."""
    NOT_CONNECTED = "NOT_CONNECTED"
    """A platform cannot be connected."""
    ACCESS_FILE = "ACCESS_FILE"
    """The tokens file or the key set cannot be used, so nothing that it revokes is revoked."""


class AlertKind(enum.Enum):
    """What has happened."""

    BUDGET_WARNING = "budget_warning"
    BUDGET_CRITICAL = "budget_critical"
    BUDGET_EXHAUSTED = "budget_exhausted"
    BUDGET_EASED = "budget_eased"
    RATE_LIMIT_NEAR = "rate_limit_near"
    RATE_LIMIT_EASED = "rate_limit_eased"
    CIRCUIT_OPENED = "circuit_opened"
    CIRCUIT_CLOSED = "circuit_closed"
    IN_DOUBT_TOO_LONG = "in_doubt_too_long"
    IN_DOUBT_ENDED = "in_doubt_ended"
    REPORTED_SPEND_OVER = "reported_spend_over"
    LEDGER_SLOW = "ledger_slow"
    LEDGER_RECOVERED = "ledger_recovered"
    UNKNOWN_REQUEST_ID = "unknown_request_id"
    UNKNOWN_REQUEST_ID_ENDED = "unknown_request_id_ended"
    PLATFORM_NOT_CONNECTED = "platform_not_connected"
    PLATFORM_CONNECTED = "platform_connected"
    ACCESS_FILE_UNUSABLE = "access_file_unusable"
    ACCESS_FILE_USABLE = "access_file_usable"


class Severity(enum.Enum):
    """How urgent an alert is."""

    INFO = "info"
    """Something is over, or is not as bad as it was."""
    WARNING = "warning"
    """Somebody should look at it today."""
    CRITICAL = "critical"
    """Bids are not placed, or money is not where it should be: somebody should look at it now."""


_KINDS: Mapping[tuple[str, str], AlertKind] = {
    (ALERT, AlertLevel.WARNING.name): AlertKind.BUDGET_WARNING,
    (ALERT, AlertLevel.CRITICAL.name): AlertKind.BUDGET_CRITICAL,
    (ALERT, AlertLevel.EXHAUSTED.name): AlertKind.BUDGET_EXHAUSTED,
    **{(ALERT_END, level.name): AlertKind.BUDGET_EASED for level in AlertLevel},
    (ALERT, Condition.RATE_LIMIT.value): AlertKind.RATE_LIMIT_NEAR,
    (ALERT_END, Condition.RATE_LIMIT.value): AlertKind.RATE_LIMIT_EASED,
    (ALERT, Condition.CIRCUIT.value): AlertKind.CIRCUIT_OPENED,
    (ALERT_END, Condition.CIRCUIT.value): AlertKind.CIRCUIT_CLOSED,
    (ALERT, Condition.IN_DOUBT.value): AlertKind.IN_DOUBT_TOO_LONG,
    (ALERT_END, Condition.IN_DOUBT.value): AlertKind.IN_DOUBT_ENDED,
    (ALERT, Condition.LEDGER.value): AlertKind.LEDGER_SLOW,
    (ALERT_END, Condition.LEDGER.value): AlertKind.LEDGER_RECOVERED,
    (ALERT, Condition.UNKNOWN_ID.value): AlertKind.UNKNOWN_REQUEST_ID,
    (ALERT_END, Condition.UNKNOWN_ID.value): AlertKind.UNKNOWN_REQUEST_ID_ENDED,
    (ALERT, Condition.NOT_CONNECTED.value): AlertKind.PLATFORM_NOT_CONNECTED,
    (ALERT_END, Condition.NOT_CONNECTED.value): AlertKind.PLATFORM_CONNECTED,
    (ALERT, Condition.ACCESS_FILE.value): AlertKind.ACCESS_FILE_UNUSABLE,
    (ALERT_END, Condition.ACCESS_FILE.value): AlertKind.ACCESS_FILE_USABLE,
    (ALERT, REPORTED): AlertKind.REPORTED_SPEND_OVER,
}
_WARNINGS = frozenset({AlertKind.BUDGET_WARNING, AlertKind.RATE_LIMIT_NEAR, AlertKind.LEDGER_SLOW})


_OF_LEVELS = frozenset(kind for (_, word), kind in _KINDS.items() if word in AlertLevel.__members__)
_ENDS = frozenset(kind for (verb, _), kind in _KINDS.items() if verb == ALERT_END)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a condition is of."""

    condition: Condition
    platform: str = ""
    request_id: str = ""
    """Of a bid in doubt; with the platform and the caller it names one open hold."""
    caller: str = ""
    """Whose bid is in doubt."""

    @property
    def key(self) -> str:
        """One text for each subject."""
        caller = f" {self.caller}" if self.caller else ""
        return f"{self.condition.value} {self.platform} {self.request_id}{caller}"

    @classmethod
    def of_key(cls, key: str) -> Subject | None:
        """What `key` was of; None: a budget."""
        word, *named = key.split(" ", 3)
        return cls(Condition(word), *named) if word in _CONDITIONS else None


@dataclass(frozen=True, slots=True)
class Change:
    """A condition begins or ends.

    Attributes:
        verb: ALERT or ALERT_END.
        budget_ids: what it concerns.
        figures: for people.
    """

    verb: str
    subject: Subject
    figures: str
    budget_ids: tuple[str, ...] = ()
    amount_micros: int = 0
    currency_code: str = ""

    @property
    def note(self) -> str:
        """As the line has it."""
        return f"{self.subject.condition.value}: {self.figures}"


_CONDITIONS = frozenset(condition.value for condition in Condition)


@dataclass(frozen=True, slots=True)
class Alert:
    """One line about an alert, as it is delivered.

    Attributes:
        sequence: the line's.
        level: what stands of a budget from then on; NONE for every other kind.
        figures: the note without its first word.
    """

    sequence: int
    kind: AlertKind
    at_ns: int
    platform: str
    budget_ids: tuple[str, ...]
    request_id: str
    amount_micros: int
    currency_code: str
    level: AlertLevel
    figures: str

    @property
    def id(self) -> str:
        """The same at every delivery."""
        return id_of(self.sequence)

    @property
    def is_of_level(self) -> bool:
        """True: it is about how near a budget is to its limit."""
        return self.kind in _OF_LEVELS

    @property
    def ends(self) -> bool:
        """True: something is over, or is not as bad as it was."""
        return self.kind in _ENDS

    @property
    def severity(self) -> Severity:
        """How urgent it is."""
        if self.ends:
            return Severity.INFO
        return Severity.WARNING if self.kind in _WARNINGS else Severity.CRITICAL

    @property
    def text(self) -> str:
        """One sentence for a person."""
        about = ", ".join(self.budget_ids) if self.request_id == "" else self.platform
        if self.kind is AlertKind.BUDGET_EASED:
            return f"budget {about} is back at {self.level.name}: {self.figures}"
        if self.is_of_level:
            return f"budget {about} is at {self.level.name}: {self.figures}"
        if self.kind is AlertKind.REPORTED_SPEND_OVER:
            return f"budget {about}: {REPORTED}: {self.figures}"
        of_access = self.kind in (AlertKind.ACCESS_FILE_UNUSABLE, AlertKind.ACCESS_FILE_USABLE)
        about = "access" if of_access else self.platform or "ledger"
        return f"{about}: {self.figures}"


def id_of(sequence: int) -> str:
    """What the alert in a line is called."""
    return f"{ID_PREFIX}{sequence}"


def sequence_of(alert_id: str) -> int:
    """The line that an alert's id names. Raises ValueError."""
    number = alert_id.removeprefix(ID_PREFIX)
    if number == alert_id or not (number.isascii() and number.isdecimal() and len(number) <= 18):
        raise ValueError("not the id of an alert")
    return int(number)


def alert_of(line: Entry) -> Alert:
    """What a line with the verb `alert` or `alert_end` says. Raises KeyError for any other."""
    word, _, figures = line.note.partition(": ")
    return Alert(
        sequence=line.sequence,
        kind=_KINDS[line.verb, word],
        at_ns=line.at_ns,
        platform=line.platform or _platform_of(line.budget_ids),
        budget_ids=line.budget_ids,
        request_id=line.request_id,
        amount_micros=line.amount_micros,
        currency_code=line.currency_code,
        level=AlertLevel[word] if word in AlertLevel.__members__ else AlertLevel.NONE,
        figures=figures,
    )


def _platform_of(budget_ids: tuple[str, ...]) -> str:
    """The platform of a budget, in shadow mode its shadow; empty: of none alone."""
    for budget_id in budget_ids:
        name = real_of(budget_id).partition("/")[0]
        if name != TOTAL:
            return shadow_of(name) if is_shadow(budget_id) else name
    return ""


def subject_key(line: Entry) -> str:
    """What a line is about, so that a later one about the same replaces it. Empty: a line of its
    own.
    """
    word = line.note.partition(":")[0]
    if word in _CONDITIONS:
        return Subject(Condition(word), line.platform, line.request_id, line.actor).key
    return "" if word == REPORTED else f"BUDGET {line.budget_ids[0]} "


def stands_after(line: Entry) -> bool:
    """Whether anything stands of the line's subject from then on."""
    word = line.note.partition(":")[0]
    if line.verb == ALERT:
        return word != REPORTED
    return word in AlertLevel.__members__ and word != AlertLevel.NONE.name
