"""The sockets of a connector: The Trade Desk's REST API, and the exchange if there is one."""

from __future__ import annotations

from smartconnectors_server.connector import Context, Mode
from smartconnectors_server.connector.http import HttpTransport
from smartconnectors_server.platforms.trade_desk.api import Api
from smartconnectors_server.platforms.trade_desk.exchange import Exchange
from smartconnectors_server.platforms.trade_desk.options import TradeDeskOptions, real_ways_out
from smartconnectors_server.platforms.trade_desk.sandbox_access import EXCHANGE_PATH
from smartconnectors_server.platforms.trade_desk.tokens import credentials_for

BASE_URL = "https://api.thetradedesk.com"
"""Without `/v3`."""


class Connection:
    """Opened and closed as one."""

    def __init__(self, context: Context, options: TradeDeskOptions) -> None:
        base_url = _base_url(context.endpoint)
        timeout_ms = context.timeout_ms
        rest = HttpTransport(
            "The Trade Desk", base_url, timeout_ms=timeout_ms, outgoing=context.outgoing
        )
        self._transports = [rest]
        credentials = credentials_for(context.mode, context.endpoint, options)
        self.api = Api(
            rest, credentials, context.gate, context.clock, strict_mode=options.strict_mode
        )
        self.exchange: Exchange | None = None
        exchange_url = options.exchange_endpoint
        out_of_sandbox = context.mode is Mode.SANDBOX and real_ways_out(options, context.endpoint)
        if context.mode is Mode.SANDBOX and (exchange_url is None or out_of_sandbox):
            exchange_url = base_url + EXCHANGE_PATH
        if exchange_url:
            transport = HttpTransport(
                "The exchange", exchange_url, timeout_ms=timeout_ms, outgoing=context.outgoing
            )
            self._transports.append(transport)
            self.exchange = Exchange(transport, context.clock)

    async def open(self) -> None:
        """Makes the sessions; connects nothing yet."""
        for transport in self._transports:
            await transport.open()

    async def close(self) -> None:
        """Closes every connection."""
        for transport in self._transports:
            await transport.close()


def _base_url(endpoint: str | None) -> str:
    """Of an endpoint with or without scheme and `/v3`."""
    if endpoint is None:
        return BASE_URL
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    return url.rstrip("/").removesuffix("/v3")
