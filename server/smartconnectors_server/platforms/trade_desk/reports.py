"""Fetches what MyReports has made: asks the API where the newest report is, then gets that."""

from __future__ import annotations

from datetime import date
from urllib.parse import urlsplit

from smartconnectors_server.connector import Context, Mode, SpendReport, same_place
from smartconnectors_server.connector.http import HttpTransport
from smartconnectors_server.connector.spend import UnreadableReport
from smartconnectors_server.errors import PlatformUnavailable
from smartconnectors_server.platforms.trade_desk import spend
from smartconnectors_server.platforms.trade_desk.api import Api
from smartconnectors_server.platforms.trade_desk.options import TradeDeskOptions
from smartconnectors_server.platforms.trade_desk.sandbox_access import (
    SANDBOX_ADVERTISER,
    SANDBOX_SCHEDULE,
)
from smartconnectors_server.platforms.trade_desk.tokens import (
    SANDBOX_CREDENTIALS,
    credentials_for,
)

_OK = 200


class Reports:
    """One advertiser's reports, each call through the gate's share for reports."""

    def __init__(self, api: Api, context: Context) -> None:
        options = context.options
        assert isinstance(options, TradeDeskOptions)
        in_sandbox = context.mode is Mode.SANDBOX
        self._api = api
        self._gate = context.gate
        self._outgoing = context.outgoing
        self._timeout_ms = context.report_timeout_ms
        self._schedule_id = options.report_schedule_id or (SANDBOX_SCHEDULE if in_sandbox else None)
        self._advertiser_id = options.advertiser_id or (SANDBOX_ADVERTISER if in_sandbox else "")
        self._time_zone = options.report_time_zone
        # The Trade Desk's partner sandbox keeps its reports elsewhere; ours does not.
        own = credentials_for(context.mode, context.endpoint, options) is SANDBOX_CREDENTIALS
        self._only_from = context.endpoint if own else None

    async def read(self, since: date) -> SpendReport | None:
        """See `Connector.reported_spend`. None without a schedule and an advertiser, and while no
        report is complete.
        """
        if self._schedule_id is None or not self._advertiser_id:
            return None
        await self._api.ready()
        try:
            body = spend.executions_query(self._advertiser_id, self._schedule_id)
            async with self._gate.report("newest report"):
                answer = await self._api.report(spend.EXECUTIONS_PATH, body, self._timeout_ms)
            url = spend.download_url_of(answer)
            if not url:
                return None
            text = await self._fetched(url)
            return spend.report_of(text, time_zone=self._time_zone, since=since)
        except UnreadableReport as error:
            raise PlatformUnavailable(f"The Trade Desk reported {error}") from None

    async def _fetched(self, url: str) -> str:
        """The report itself. It lies in a store of its own, so nothing of ours goes there: no
        token, and no plain text but to a sandbox.
        """
        parts = urlsplit(url)
        if self._only_from is None and parts.scheme != "https":
            raise UnreadableReport("an address that is not https")
        if self._only_from is not None and not (
            parts.scheme in ("http", "https") and same_place(url, self._only_from)
        ):
            raise UnreadableReport("an address outside of the sandbox")
        store = HttpTransport(
            "The Trade Desk's reports",
            f"{parts.scheme}://{parts.netloc}",
            timeout_ms=self._timeout_ms,
            outgoing=self._outgoing,
        )
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        async with self._gate.report("report"):
            await store.open()
            try:
                answer = await store.send("GET", path, changes=False, headers={})
            finally:
                await store.close()
        if answer.status != _OK:
            raise PlatformUnavailable(f"The Trade Desk's reports: status {answer.status}")
        try:
            return answer.body.decode("utf-8")
        except UnicodeDecodeError:
            raise UnreadableReport("what is no text") from None
