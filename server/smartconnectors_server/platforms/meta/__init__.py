"""Meta: what the server knows of it without importing anything slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smartconnectors.meta.v1 import meta_service_pb2
from smartconnectors_server.connector import Connector, Context, Defaults, Platform, Stated
from smartconnectors_server.connector.sandbox import Sandbox
from smartconnectors_server.platforms.meta.options import (
    ENVIRONMENT,
    MetaOptions,
    effective_options,
    missing_credentials,
    warnings,
)

if TYPE_CHECKING:
    from smartconnectors_server.connector.command_line import CommandLine


def _connector(context: Context) -> Connector:
    from smartconnectors_server.platforms.meta.servicer import MetaConnector

    return MetaConnector(context)


def _sandbox() -> Sandbox:
    from smartconnectors_server.platforms.meta.sandbox import MetaSandbox

    return MetaSandbox()


def _register(connector: Any, server: Any) -> None:
    from smartconnectors.meta.v1 import meta_service_pb2_grpc

    meta_service_pb2_grpc.add_MetaServiceServicer_to_server(connector, server)


def _stated(request: Any) -> Stated:
    from smartconnectors_server.platforms.meta.knobs import stated_of

    return stated_of(request)


def _command_line() -> CommandLine:
    from smartconnectors_server.platforms.meta.command_line import COMMAND_LINE

    return COMMAND_LINE


PLATFORM = Platform(
    name="meta",
    title="Meta",
    service=meta_service_pb2.DESCRIPTOR.services_by_name["MetaService"],
    defaults=Defaults(
        budget_micros=400_000_000,
        rate_limit_calls=200,
        rate_limit_window_s=3600.0,
        fallback_multiplier_milli=1000,
    ),
    options=MetaOptions,
    environment=ENVIRONMENT,
    budget_variable="META_BUDGET",
    endpoint_variable="META_ENDPOINT",
    missing_credentials=missing_credentials,
    connector=_connector,
    register=_register,
    sandbox=_sandbox,
    command_line=_command_line,
    effective_options=effective_options,
    real_hosts=("facebook.com", "facebook.net", "fb.com"),
    stated=_stated,
    account_options=("ad_account_id",),
    place_options=("ad_account_id",),
    warnings=warnings,
)
