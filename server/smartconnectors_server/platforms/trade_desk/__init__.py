"""The Trade Desk: what the server knows of it without importing anything slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smartconnectors.trade_desk.v1 import trade_desk_service_pb2
from smartconnectors_server.connector import Connector, Context, Defaults, Platform, Stated
from smartconnectors_server.connector.sandbox import Sandbox
from smartconnectors_server.platforms.trade_desk.options import (
    ENVIRONMENT,
    TradeDeskOptions,
    effective_options,
    missing_credentials,
    real_ways_out,
)

if TYPE_CHECKING:
    from smartconnectors_server.connector.command_line import CommandLine


def _connector(context: Context) -> Connector:
    from smartconnectors_server.platforms.trade_desk.servicer import TradeDeskConnector

    return TradeDeskConnector(context)


def _sandbox() -> Sandbox:
    from smartconnectors_server.platforms.trade_desk.sandbox import TradeDeskSandbox

    return TradeDeskSandbox()


def _register(connector: Any, server: Any) -> None:
    from smartconnectors.trade_desk.v1 import trade_desk_service_pb2_grpc

    trade_desk_service_pb2_grpc.add_TradeDeskServiceServicer_to_server(connector, server)


def _stated(request: Any) -> Stated:
    from smartconnectors_server.platforms.trade_desk.wire import stated_of

    return stated_of(request)


def _command_line() -> CommandLine:
    from smartconnectors_server.platforms.trade_desk.command_line import COMMAND_LINE

    return COMMAND_LINE


PLATFORM = Platform(
    name="trade_desk",
    title="The Trade Desk",
    service=trade_desk_service_pb2.DESCRIPTOR.services_by_name["TradeDeskService"],
    defaults=Defaults(
        budget_micros=600_000_000,
        rate_limit_calls=300,
        rate_limit_window_s=60.0,
        fallback_multiplier_milli=1000,
    ),
    options=TradeDeskOptions,
    environment=ENVIRONMENT,
    budget_variable="TRADEDESK_BUDGET",
    endpoint_variable="TRADEDESK_ENDPOINT",
    missing_credentials=missing_credentials,
    connector=_connector,
    register=_register,
    sandbox=_sandbox,
    command_line=_command_line,
    effective_options=effective_options,
    real_hosts=("thetradedesk.com", "adsrvr.org"),
    sandbox_hosts=("sb.thetradedesk.com",),
    real_ways_out=real_ways_out,
    stated=_stated,
    account_options=("advertiser_id", "partner_id"),
    place_options=("partner_id", "advertiser_id", "seat", "exchange_endpoint"),
)
