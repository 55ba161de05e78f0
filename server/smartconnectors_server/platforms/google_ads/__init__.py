"""Google Ads: what the server knows of it without importing anything slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smartconnectors.google_ads.v1 import google_ads_service_pb2
from smartconnectors_server.connector import Connector, Context, Defaults, Platform, Stated
from smartconnectors_server.connector.sandbox import Sandbox
from smartconnectors_server.platforms.google_ads.options import (
    ENVIRONMENT,
    GoogleAdsOptions,
    effective_options,
    missing_credentials,
)
from smartconnectors_server.platforms.google_ads.versions import warnings

if TYPE_CHECKING:
    from smartconnectors_server.connector.command_line import CommandLine


def _connector(context: Context) -> Connector:
    from smartconnectors_server.platforms.google_ads.servicer import GoogleAdsConnector

    return GoogleAdsConnector(context)


def _sandbox() -> Sandbox:
    from smartconnectors_server.platforms.google_ads.sandbox import GoogleAdsSandbox

    return GoogleAdsSandbox()


def _register(connector: Any, server: Any) -> None:
    from smartconnectors.google_ads.v1 import google_ads_service_pb2_grpc

    google_ads_service_pb2_grpc.add_GoogleAdsServiceServicer_to_server(connector, server)


def _stated(request: Any) -> Stated:
    from smartconnectors_server.platforms.google_ads.knobs import stated_of

    return stated_of(request)


def _alone(request: Any) -> Any:
    from smartconnectors_server.platforms.google_ads.knobs import alone

    return alone(request)


def _command_line() -> CommandLine:
    from smartconnectors_server.platforms.google_ads.command_line import COMMAND_LINE

    return COMMAND_LINE


PLATFORM = Platform(
    name="google_ads",
    title="Google Ads",
    service=google_ads_service_pb2.DESCRIPTOR.services_by_name["GoogleAdsService"],
    defaults=Defaults(
        budget_micros=500_000_000,
        rate_limit_calls=100,
        rate_limit_window_s=60.0,
        fallback_multiplier_milli=1000,
    ),
    options=GoogleAdsOptions,
    environment=ENVIRONMENT,
    budget_variable="GOOGLE_ADS_BUDGET",
    endpoint_variable="GOOGLE_ADS_ENDPOINT",
    missing_credentials=missing_credentials,
    connector=_connector,
    register=_register,
    sandbox=_sandbox,
    command_line=_command_line,
    effective_options=effective_options,
    real_hosts=("googleapis.com", "google.com"),
    stated=_stated,
    alone=_alone,
    account_options=("customer_id", "login_customer_id"),
    place_options=("customer_id",),
    warnings=warnings,
)
