"""Looks at quotas, breakers, holds in doubt and commits, and has the ledger record what begins or
ends there. Recording waits for nothing: a line is durable behind everybody's back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from smartconnectors_server.alert_settings import AlertSettings
from smartconnectors_server.alerts.edges import Slowness, Steady, is_near_limit, is_overdue
from smartconnectors_server.circuitbreaker import State
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.ledger import Condition, HoldState, Ledger, Subject
from smartconnectors_server.money import format_amount
from smartconnectors_server.telemetry import Lasting

LOOK_EVERY_S = 1.0
_NO_FILES: dict[str, str] = {}

log = logging.getLogger(__name__)


class Quota(Protocol):
    """A platform's rate limiter."""

    def used(self) -> int:
        """Calls in the window that ends now."""
        ...

    def headroom(self) -> int:
        """Calls that may still be made in it."""
        ...


class Breaker(Protocol):
    """A platform's circuit breaker."""

    has_answered: bool
    """True once a call was good in this process."""

    @property
    def state(self) -> State:
        """Where it stands now."""
        ...


class Connection(Protocol):
    """Whether a platform can be called."""

    attempted: bool
    """True once the first attempt to connect has ended."""

    @property
    def is_connected(self) -> bool:
        """True once it can be called."""
        ...

    @property
    def why(self) -> str:
        """Why it cannot."""
        ...


class Looked(Protocol):
    """A platform."""

    @property
    def book(self) -> str:
        """Its budget."""
        ...

    @property
    def limiter(self) -> Quota:
        """Its quota."""
        ...

    @property
    def breaker(self) -> Breaker:
        """Its circuit breaker."""
        ...

    @property
    def link(self) -> Connection:
        """Its connection."""
        ...


class Conditions:
    """What is told beside budgets. For one event loop."""

    def __init__(self, ledger: Ledger, clock: Clock, settings: AlertSettings) -> None:
        self._ledger = ledger
        self._alerts = ledger.alerts
        self._clock = clock
        self._settings = settings
        self._slowness = Slowness(False, clock.monotonic_ns())
        self._steady: dict[Subject, Steady] = {}
        self._opened_ns: dict[str, int] = {}
        self._closed_ns: dict[str, int] = {}
        self._lasting = Lasting(log, clock)

    def follow(self, settings: AlertSettings) -> None:
        """Other settings, from the next look on."""
        self._settings = settings

    def begin(self) -> None:
        """Takes up what stood when the last process ended. An open breaker among it says nothing of
        the platform now, since every breaker is closed at first: it stands until a call is good.
        """
        slow = self._alerts.has_told(_LEDGER)
        self._slowness = Slowness(slow, self._clock.monotonic_ns())
        for subject in self._alerts.told(Condition.CIRCUIT):
            log.info("%s: the circuit breaker was reset by the restart", subject.platform)

    # What happens

    def circuit(self, platform: str, book: str, state: State) -> None:
        """A breaker has come to a state. That it has closed is told when it has stayed so."""
        subject, now_ns = Subject(Condition.CIRCUIT, platform), self._clock.monotonic_ns()
        if state is State.OPEN:
            if not self._alerts.has_told(subject):
                self._opened_ns[platform] = now_ns
            self._steadiness(subject).begin()
            words = "the circuit breaker has opened; bids wait until it closes"
            self._alerts.tell(subject, True, lambda: words, budget_ids=(book,))
        elif state is State.CLOSED:
            self._closed_ns[platform] = now_ns

    def committed(self, took_s: float) -> None:
        """The ledger has committed."""
        if took_s * 1000 > self._settings.ledger_slow_ms:
            self._slow(f"a commit took {took_s:.1f} s")

    def _slow(self, why: str) -> None:
        self._slowness.slow(self._clock.monotonic_ns())
        self._alerts.tell(_LEDGER, True, lambda: why)

    # What lasts

    async def run(
        self,
        platforms: Mapping[str, Looked],
        files: Callable[[], Mapping[str, str]] = _NO_FILES.copy,
    ) -> None:
        """Looks every second, for ever. `files`: as `look` takes them."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            try:
                self.look(platforms, files())
            except Exception as error:  # noqa: BLE001 - logged with its traceback
                # Whatever it is: if this task died of it, nothing would be told any more.
                what = "unforeseen error while alerts were looked for"
                self._lasting.say(type(error).__name__, what, level=logging.ERROR, error=error)

    def look(self, platforms: Mapping[str, Looked], files: Mapping[str, str] = _NO_FILES) -> None:
        """One look at everything.

        Args:
            platforms: those that are served, by name.
            files: settings key -> why the file that says who callers are cannot be used; empty: it
                can be.
        """
        for name, platform in platforms.items():
            self._look_at_quota(name, platform)
            self._look_at_circuit(name, platform)
            self._look_at_connection(name, platform)
        for condition in (Condition.RATE_LIMIT, Condition.CIRCUIT, Condition.NOT_CONNECTED):
            for subject in self._alerts.told(condition):
                if subject.platform not in platforms:
                    self._alerts.tell(subject, False, lambda: "is not served any more")
        self._look_at_files(files)
        self._ledger.look_at_alerts()
        self._look_at_doubts()
        if not self._ledger.available:
            self._slow("it cannot be written or read")
        if not self._slowness.look(self._clock.monotonic_ns()):
            self._alerts.tell(_LEDGER, False, lambda: "commits have been quick for a minute")

    def _steadiness(self, subject: Subject) -> Steady:
        return self._steady.setdefault(subject, Steady(self._alerts.has_told(subject)))

    def _stands(self, subject: Subject, holds: bool) -> bool:
        """Whether what comes and goes is to be on record, now that it holds or does not."""
        return self._steadiness(subject).look(
            holds,
            self._clock.monotonic_ns(),
            begins_after_s=self._settings.begins_after_s,
            ends_after_s=self._settings.ends_after_s,
        )

    def _look_at_quota(self, name: str, platform: Looked) -> None:
        subject = Subject(Condition.RATE_LIMIT, name)
        used, headroom = platform.limiter.used(), platform.limiter.headroom()
        near = is_near_limit(self._steadiness(subject).stands, used, headroom)
        self._alerts.tell(
            subject,
            self._stands(subject, near),
            lambda: f"{used} calls in the window, {headroom} more are possible",
            budget_ids=(platform.book,),
        )

    def _look_at_circuit(self, name: str, platform: Looked) -> None:
        subject, breaker = Subject(Condition.CIRCUIT, name), platform.breaker
        if not self._alerts.has_told(subject):
            return
        is_closed = breaker.state is State.CLOSED
        # After a restart a closed breaker alone says nothing: a call must have been good.
        well = is_closed and platform.link.is_connected and breaker.has_answered
        if not self._stands(subject, not well):
            words = self._closed_words(name)
            self._alerts.tell(subject, False, lambda: words, budget_ids=(platform.book,))

    def _closed_words(self, platform: str) -> str:
        opened_ns = self._opened_ns.pop(platform, None)
        closed_ns = self._closed_ns.pop(platform, None)
        if opened_ns is None or closed_ns is None:
            return "the circuit breaker is closed, and calls are answered"
        lasted_s = (closed_ns - opened_ns) / NANOS_PER_SECOND
        return f"the circuit breaker has closed after {lasted_s:.1f} s"

    def _look_at_connection(self, name: str, platform: Looked) -> None:
        link = platform.link
        if not link.attempted:
            return  # nothing is known yet
        connected = link.is_connected
        subject = Subject(Condition.NOT_CONNECTED, name)
        self._alerts.tell(
            subject,
            self._stands(subject, not connected),
            lambda: "the platform is connected" if connected else f"not connected: {link.why}",
            budget_ids=(platform.book,),
        )

    def _look_at_files(self, files: Mapping[str, str]) -> None:
        wrong = [f"{key} {why}" for key, why in files.items() if why]
        self._alerts.tell(
            _FILES,
            self._stands(_FILES, bool(wrong)),
            lambda: (
                f"{'; '.join(wrong)}. What was read before stays in force: tokens that are taken "
                "out meanwhile are still accepted"
                if wrong
                else "who callers are can be read"
            ),
        )

    def _look_at_doubts(self) -> None:
        now_ns, after_s = self._ledger.now_ns(), self._settings.in_doubt_after_s
        in_doubt = {
            Subject(Condition.IN_DOUBT, hold.platform, hold.request_id, hold.actor): hold
            for hold in self._ledger.open_holds(HoldState.IN_DOUBT)
        }
        for subject, hold in in_doubt.items():
            if is_overdue(hold.updated_ns, now_ns, after_s):
                age_s = (now_ns - hold.updated_ns) // NANOS_PER_SECOND
                amount = format_amount(hold.amount_micros, hold.currency_code)
                words = f"request {hold.request_id}, {amount} on {hold.target}, is in doubt"
                self._alerts.tell(
                    subject,
                    True,
                    lambda words=words, age_s=age_s: f"{words} for {age_s} s",  # type: ignore[misc]
                    budget_ids=hold.budget_ids,
                    amount_micros=hold.amount_micros,
                    currency_code=hold.currency_code,
                )
        for subject in self._alerts.told(Condition.IN_DOUBT):
            if subject not in in_doubt:
                words = f"request {subject.request_id} is not in doubt any more"
                self._alerts.tell(subject, False, lambda words=words: words)  # type: ignore[misc]


_LEDGER = Subject(Condition.LEDGER)
_FILES = Subject(Condition.ACCESS_FILE)
