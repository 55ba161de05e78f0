"""What remembers money, and what follows when it changes: the ledger and all that reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from smartconnectors_server.alert_settings import AlertSettings
from smartconnectors_server.alerts import Conditions, Deliveries, UnknownIds, log_standing
from smartconnectors_server.assembly import candidates_of
from smartconnectors_server.budget import Candidates, Courses, Keeper, Tallies, Watch
from smartconnectors_server.clock import Clock
from smartconnectors_server.connector import Mode
from smartconnectors_server.ledger import (
    LEDGERS,
    NO_ADOPTION,
    Adoption,
    Binding,
    Budget,
    Hold,
    LedgerError,
    shadow_of,
)
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.settings import Settings
from smartconnectors_server.startup import StartupError
from smartconnectors_server.telemetry import Telemetry


class Books:
    """One of each.

    Attributes:
        ledger: the money itself.
        keeper: who holds and resolves it for bids.
        watch: who looks on while budgets change.
        conditions: which alerts stand that are not about budgets.
        unknown_ids: which request ids platforms show that the ledger does not know.
        deliveries: how far alerts were told to whoever wants them.
        tallies: what shadow reports count.
        candidates: what other limits would have admitted.
        courses: the course of each budget over its window.
    """

    def __init__(
        self, settings: Settings, modes: Mapping[str, Mode], clock: Clock, telemetry: Telemetry
    ) -> None:
        """`modes`: of the platforms that are served."""
        state_dir, alerts = settings.server.state_dir, settings.alerts
        self._metrics = telemetry.metrics
        self.ledger = LEDGERS[settings.ledger.kind](
            state_dir,
            clock,
            gather_ms=settings.ledger.gather_ms,
            commit_timeout_s=settings.ledger.commit_timeout_s,
            on_commit=self._committed,
            mark_file=settings.ledger.mark_file,
        )
        self.conditions = Conditions(self.ledger, clock, alerts)
        self.unknown_ids = UnknownIds(
            self.ledger, clock, alerts, telemetry.metrics.unknown_request_id
        )
        for name in modes:
            telemetry.metrics.unknown_request_id(name, 0)
        self.deliveries = Deliveries(
            self.ledger.alerts, state_dir, clock, telemetry, alerts, Outgoing(settings.outgoing)
        )
        self.watch = Watch(self.ledger, clock)
        self.tallies = Tallies(self.ledger, clock)
        self.candidates = Candidates(self.ledger, self.tallies, candidates_of(modes, settings))
        names = [shadow_of(name) if mode is Mode.SHADOW else name for name, mode in modes.items()]
        self.courses = Courses(self.ledger, names)
        self.keeper = Keeper(self.ledger, self.watch, self._settled)

    async def open(
        self,
        budgets: Sequence[Budget],
        bindings: Sequence[Binding] = (),
        adoption: Adoption = NO_ADOPTION,
    ) -> None:
        """Raises StartupError; nothing is left open then."""
        try:
            await self.ledger.open(budgets, bindings, adoption)
        except (LedgerError, OSError) as error:
            raise StartupError(str(error)) from error
        log_standing(self.ledger)
        self.conditions.begin()
        self.unknown_ids.begin()
        try:
            await self._open_deliveries()
            await self.tallies.open()
            await self.candidates.open()
            self.courses.begin()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Closes everything."""
        await self.deliveries.close()
        await self.ledger.close()

    def end_watches(self) -> None:
        """Ends the streams of those who look on."""
        self.watch.close()
        self.ledger.alerts.close()

    def follow(self, settings: AlertSettings) -> None:
        """Goes by other settings from now on."""
        self.conditions.follow(settings)
        self.unknown_ids.follow(settings)
        self.deliveries.follow(settings)

    async def _open_deliveries(self) -> None:
        try:
            await self.deliveries.open()
        except (LedgerError, OSError) as error:
            raise StartupError(f"how far alerts are delivered: {error}") from error

    def _committed(self, took_s: float, steps: int) -> None:
        self._metrics.commit(took_s, steps)
        self.conditions.committed(took_s)

    def _settled(self, hold: Hold) -> None:
        self.candidates.settled(hold)
        self.courses.settled(hold)
