"""All sinks of one server: the log, and the webhooks that are configured."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from smartconnectors_server.alert_settings import AlertSettings
from smartconnectors_server.alerts.cursor import Cursor
from smartconnectors_server.alerts.delivery import Delivery, Sink
from smartconnectors_server.alerts.log import LogSink
from smartconnectors_server.alerts.webhook import Webhook
from smartconnectors_server.clock import Clock
from smartconnectors_server.ledger import AlertLog
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.telemetry import Telemetry

DIRECTORY = "alerts"
"""Beside the ledger: a file for each sink."""


class Deliveries:
    """`open`, `run`, `close`."""

    def __init__(
        self,
        alerts: AlertLog,
        state_dir: Path,
        clock: Clock,
        telemetry: Telemetry,
        settings: AlertSettings,
        outgoing: Outgoing | None = None,
    ) -> None:
        self._outgoing = outgoing or Outgoing()
        self._alerts = alerts
        self._directory = state_dir / DIRECTORY
        self._clock = clock
        self._telemetry = telemetry
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._by_name: dict[str, Delivery] = {}

    def pending(self) -> Mapping[str, int]:
        """Sink -> alerts that are still to be delivered there."""
        return {name: delivery.pending for name, delivery in self._by_name.items()}

    def follow(self, settings: AlertSettings) -> None:
        """Other settings of the same webhooks. One whose receiver wanted no more is tried again."""
        self._settings = settings
        if self._session is not None:
            for name, sink in self._webhooks(self._session).items():
                if name in self._by_name:
                    self._by_name[name].use(sink)

    def _webhooks(self, session: aiohttp.ClientSession) -> dict[str, Sink]:
        return {
            name: Webhook(name, chosen, session, self._clock, outgoing=self._outgoing)
            for name, chosen in self._settings.webhooks.items()
        }

    async def open(self) -> None:
        """Finds out where each sink is. Raises OSError, Unavailable."""
        ssl = self._outgoing.ssl_context() or True
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=ssl))
        log: Sink = LogSink(self._telemetry)
        for name, sink in {"log": log, **self._webhooks(self._session)}.items():
            delivery = Delivery(
                sink,
                self._alerts,
                Cursor(self._directory, name),
                self._clock,
                self._telemetry.metrics.alert_delivery,
            )
            await delivery.open()
            self._by_name[name] = delivery

    async def run(self) -> None:
        """Delivers for ever, to each sink at its own pace."""
        async with asyncio.TaskGroup() as tasks:
            for name, delivery in self._by_name.items():
                tasks.create_task(delivery.run(), name=f"alerts for {name}")

    async def close(self) -> None:
        """Lets go of connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
