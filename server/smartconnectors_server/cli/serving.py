"""`serve` and `sandbox`: the processes that stay."""

from __future__ import annotations

import enum
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartconnectors_server.cli import output
from smartconnectors_server.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from smartconnectors_server.app import Ready
    from smartconnectors_server.connector.sandbox import Sandbox
    from smartconnectors_server.ledger import Adoption
    from smartconnectors_server.settings import Settings

ALL_PLATFORMS = "all"

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="SMART_CONNECTORS_CONFIG",
        help="A TOML file; `init` writes one to start from.",
    ),
]


class LogFormat(enum.StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


def serve(
    config: ConfigFile = None,
    *,
    host: Annotated[
        str | None, typer.Option("--host", help="Where to listen. [default: 127.0.0.1]")
    ] = None,
    grpc_port: Annotated[
        int | None,
        typer.Option("--grpc-port", min=0, max=65535, help="0: any free one. [default: 50051]"),
    ] = None,
    http_host: Annotated[
        str | None,
        typer.Option("--http-host", help="Where HTTP listens. [default: 127.0.0.1]"),
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option("--http-port", min=0, max=65535, help="0: any free one. [default: 8080]"),
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", help="Where money is remembered. [default: state]")
    ] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option("--log-format", help="[default: text]")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond this machine without TLS.")
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate, in PEM.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key, in PEM.")
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option("--tls-client-ca", metavar="FILE", help="Require clients' certificates."),
    ] = None,
    adopt: Annotated[
        list[str] | None,
        typer.Option(
            "--adopt",
            metavar="PLATFORM",
            help="Once: the state directory is for the mode, accounts and endpoint that the "
            "settings now have for this platform; `all`: for every one. Repeatable.",
        ),
    ] = None,
) -> None:
    """Run the server until SIGTERM or Ctrl-C; then let what is under way end.

    A state directory belongs to the modes, accounts and endpoints that it was first used with; a
    start with others is refused unless `--adopt` says that this is meant, and nothing is open.

    SIGHUP: read the settings again and take what has changed, all of it or nothing.
    """
    import uvloop

    from smartconnectors_server.app import StartupError, load_settings
    from smartconnectors_server.cli.configuration import settings_of
    from smartconnectors_server.serving import serve as run_server
    from smartconnectors_server.startup import log_what_would_be_raw

    given: dict[str, Any] = {
        "host": host,
        "grpc_port": grpc_port,
        "state_dir": state_dir,
        "log_format": None if log_format is None else log_format.value,
        "insecure": insecure or None,
    }
    files = {"cert_file": tls_cert, "key_file": tls_key, "client_ca_file": tls_client_ca}
    given["tls"] = {key: str(file) for key, file in files.items() if file is not None} or None
    given_http: dict[str, Any] = {"host": http_host, "port": http_port}
    overrides = {"server": _present(given), "http": _present(given_http)}
    settings = settings_of(config, overrides)
    _refuse_plain_text_beyond_loopback(settings)
    adoption = _adoption(adopt or ())
    as_json = settings.server.log_format == "json"
    log_what_would_be_raw()
    try:
        uvloop.run(
            run_server(
                settings,
                on_ready=lambda ready: output.say(ready_line(ready, as_json)),
                read_again=lambda: load_settings(config, overrides=overrides),
                adoption=adoption,
            )
        )
    except StartupError as error:
        if as_json:
            line = {"level": "error", "event": f"Cannot start: {error}"}
            output.say_json(line, err=True)
            raise SystemExit(ExitCode.REFUSED) from None
        raise CommandFailed(ExitCode.REFUSED, f"Cannot start: {error}") from None
    except RuntimeError as error:
        # The loop needs a thread to end its threads, and may get none either.
        if isinstance(error.__context__, StartupError):
            said = f"Cannot start: {error.__context__}"
            raise CommandFailed(ExitCode.REFUSED, said) from None
        raise


def _adoption(names: Collection[str]) -> Adoption:
    """Raises CommandFailed for what is no platform."""
    import os

    from smartconnectors_server.ledger import Adoption
    from smartconnectors_server.platforms import PLATFORMS

    if unknown := set(names) - {ALL_PLATFORMS, *PLATFORMS}:
        known = ", ".join((*PLATFORMS, ALL_PLATFORMS))
        raise CommandFailed(
            ExitCode.USAGE, f"--adopt: no platform is called {min(unknown)}; there are: {known}."
        )
    platforms = PLATFORMS if ALL_PLATFORMS in names else names
    return Adoption(frozenset(platforms), actor=f"serve --adopt, user {os.getuid()}")


def _present(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def _refuse_plain_text_beyond_loopback(settings: Settings) -> None:
    """Raises CommandFailed for what `check_host` and `check_http` refuse: nothing was tried yet."""
    from smartconnectors_server.startup import StartupError, check_host, check_http

    try:
        check_host(settings.server)
        check_http(settings)
    except StartupError as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from None


def ready_line(ready: Ready, as_json: bool) -> str:
    """The one line that says the server takes calls, and where."""
    if as_json:
        return json.dumps(
            {
                "event": "ready",
                "grpc": ready.grpc_address,
                "http": ready.http_address,
                "platforms": dict(ready.platforms),
                "state_dir": ready.state_dir,
            }
        )
    platforms = "".join(f", {name}={mode}" for name, mode in ready.platforms.items())
    http = f", HTTP {ready.http_address}" if ready.http_address else ""
    return (
        f"smart-connectors ready: gRPC {ready.grpc_address}{http}{platforms}, "
        f"ledger {ready.state_dir}/"
    )


def sandbox(
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
    control_port: Annotated[
        int, typer.Option("--control-port", min=0, max=65535, help="0: any free one.")
    ] = 0,
) -> None:
    """Run every platform's sandbox and their control port until SIGTERM or Ctrl-C.

    Prints one line of JSON with their addresses, and the variable that points `serve` at each.
    """
    import uvloop

    from smartconnectors_server.startup import is_loopback

    if not is_loopback(host):
        raise CommandFailed(
            ExitCode.USAGE, f"{host} can be reached from other machines; a sandbox is for this one."
        )
    try:
        uvloop.run(_run_sandboxes(host, control_port))
    except OSError as error:
        raise CommandFailed(
            ExitCode.REFUSED, f"Cannot start: {error.strerror or error}. Is the port in use?"
        ) from None


async def _run_sandboxes(host: str, control_port: int) -> None:
    import asyncio
    import contextlib
    import signal

    from smartconnectors_server.connector.control import ControlServer
    from smartconnectors_server.platforms import PLATFORMS

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    sandboxes: Mapping[str, Sandbox] = {
        name: platform.sandbox() for name, platform in PLATFORMS.items()
    }
    async with contextlib.AsyncExitStack() as running:
        addresses = {}
        for name, one in sandboxes.items():
            endpoint = await one.start(host, 0)
            running.push_async_callback(one.close)
            addresses[name] = {
                "endpoint": endpoint,
                "variable": PLATFORMS[name].endpoint_variable,
            }
        control = ControlServer(sandboxes)
        address = await control.start(host, control_port)
        running.push_async_callback(control.close)
        output.say_json({"platforms": addresses, "control": address})
        await stopped.wait()
