"""Request ids that a platform shows and the ledger does not know.

A platform that carries our marker says which request changed a campaign last. When no line of the
ledger is about that request, lines are missing (an old copy was put back, or a new state directory
was begun), or another server changes the same campaign: either way something is bid that no budget
here counts. Audit lines are never forgotten, so an id that is old is known like a new one.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

from smartconnectors_server.alert_settings import AlertSettings
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.ledger import Condition, Ledger, Subject, Unavailable, real_of

LOOK_EVERY_S = 1.0
QUIET_S = 86_400.0
"""It ends when no such id has been seen for so long."""
MOST_REMEMBERED = 10_000
MOST_WAITING = 1_000

log = logging.getLogger(__name__)

_Key = tuple[str, str]
"""Platform, request id."""


class UnknownIds:
    """Told of every id that is seen, it looks each up once, behind the bid's back. For one event
    loop.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        settings: AlertSettings,
        count: Callable[[str], None] = lambda _platform: None,
    ) -> None:
        """`count` is told the platform of each id that is not known, once."""
        self._ledger = ledger
        self._alerts = ledger.alerts
        self._clock = clock
        self._settings = settings
        self._count = count
        self._waiting: OrderedDict[_Key, str] = OrderedDict()
        self._looked_up: OrderedDict[_Key, bool] = OrderedDict()
        self._last_ns: dict[str, int] = {}

    def follow(self, settings: AlertSettings) -> None:
        """Other settings, from the next look on."""
        self._settings = settings

    def begin(self) -> None:
        """Takes up what stood when the last process ended, as if it had been seen now."""
        for subject in self._alerts.told(Condition.UNKNOWN_ID):
            self._last_ns[subject.platform] = self._clock.monotonic_ns()

    def seen(self, book: str, request_id: str, where: str) -> None:
        """A platform shows a request id, on the target `where`. Empty: it shows none."""
        if not request_id or not self._settings.unknown_request_ids:
            return
        platform = real_of(book)  # what a rehearsal sees was set by the real one
        known = self._looked_up.get((platform, request_id))
        if known is None:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.setdefault((platform, request_id), where)
        elif not known:
            self._last_ns[platform] = self._clock.monotonic_ns()

    async def run(self) -> None:
        """Looks every second, for ever."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except Unavailable:
                continue  # said elsewhere; what waits is looked up later
            except Exception:
                # Whatever it is: if this task died of it, nothing would be told any more.
                log.exception("unforeseen error while request ids were looked up")

    async def look(self) -> None:
        """Looks up what was seen since, and ends what has not been seen for a day. Raises
        Unavailable.
        """
        while self._waiting:
            key, where = next(iter(self._waiting.items()))
            known = await self._ledger.knows_request(*key)
            self._waiting.pop(key, None)
            self._looked_up[key] = known
            while len(self._looked_up) > MOST_REMEMBERED:
                self._looked_up.popitem(last=False)
            if not known:
                self._tell(*key, where)
        for subject in self._alerts.told(Condition.UNKNOWN_ID):
            quiet_ns = self._clock.monotonic_ns() - self._last_ns.get(subject.platform, 0)
            words = ""
            if quiet_ns >= QUIET_S * NANOS_PER_SECOND:
                words = "no request id that the ledger does not know has been seen for a day"
            if not self._settings.unknown_request_ids:
                words = "request ids are not looked up any more (alerts.unknown_request_ids)"
            if words:
                self._alerts.tell(subject, False, lambda words=words: words)  # type: ignore[misc]

    def _tell(self, platform: str, request_id: str, where: str) -> None:
        self._count(platform)
        self._last_ns[platform] = self._clock.monotonic_ns()
        words = (
            f"{where} was last changed by request {request_id}, which the ledger does not know: "
            "the state directory is an old copy or a new one, or another server changes this "
            "campaign; what was committed for it counts in no budget here"
        )
        self._alerts.tell(
            Subject(Condition.UNKNOWN_ID, platform), True, lambda: words, budget_ids=(platform,)
        )
