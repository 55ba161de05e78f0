"""How commands show who they are: options that every command with `--target` has.

A token is never an argument: every user of a machine can read the arguments of its processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartconnectors_server.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    import grpc

TOKEN_VARIABLE = "SMART_CONNECTORS_TOKEN"  # noqa: S105 - the variable's name
HOW_TO_SHOW_A_TOKEN = f"Show a token: --token-file FILE, or the variable {TOKEN_VARIABLE}."

_given: ContextVar[dict[str, Any]] = ContextVar("_given")


def _options(
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            envvar=f"{TOKEN_VARIABLE}_FILE",
            help=f"Where the token is. Or the token itself in the variable {TOKEN_VARIABLE}.",
        ),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", envvar="SMART_CONNECTORS_TLS", help="The server speaks TLS.")
    ] = False,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            "--tls-ca",
            metavar="FILE",
            envvar="SMART_CONNECTORS_TLS_CA",
            help="Who signed the server's certificate, in PEM; implies --tls.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            "--tls-cert",
            metavar="FILE",
            envvar="SMART_CONNECTORS_TLS_CERT",
            help="Your own certificate, in PEM; implies --tls.",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            "--tls-key", metavar="FILE", envvar="SMART_CONNECTORS_TLS_KEY", help="Its private key."
        ),
    ] = None,
) -> None:
    """The options; never called."""


def command_of(app: typer.Typer) -> Any:
    """The command line of `app`, with these options on each command that has `--target`."""
    _given.set({})
    return with_credentials(typer.main.get_command(app))


def with_credentials(command: Any) -> Any:
    """The command, it and those below it with these options where there is a `--target`."""
    template = typer.Typer(add_completion=False)
    template.command()(_options)
    options = typer.main.get_command(template).params
    for option in options:
        option.expose_value = False
        option.callback = _store
    for one in _commands(command):
        if any(parameter.name == "target" for parameter in one.params):
            one.params.extend(options)
    return command


def _commands(command: Any) -> Iterator[Any]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from _commands(below)


def _store(_context: Any, option: Any, value: Any) -> Any:
    _given.set({**_given.get({}), option.name: value})
    return value


@dataclass(frozen=True, slots=True)
class Shown:
    """What a command shows. `credentials` None: plain text."""

    token: str = ""
    credentials: grpc.ChannelCredentials | None = None

    def __repr__(self) -> str:
        return f"Shown(token={'yes' if self.token else 'no'})"


def shown() -> Shown:
    """As options and environment say. Raises CommandFailed."""
    from smartconnectors.credentials import clean_token, read_token, tls
    from smartconnectors_server.settings import variable

    given = _given.get({})
    wants_tls = any(given.get(name) for name in ("tls", "tls_ca", "tls_cert", "tls_key"))
    try:
        if (file := given.get("token_file")) is not None:
            token = read_token(file)
        elif token := variable(TOKEN_VARIABLE):
            token = clean_token(token)
        credentials = (
            tls(given.get("tls_ca"), given.get("tls_cert"), given.get("tls_key"))
            if wants_tls
            else None
        )
    except OSError as error:
        message = f"{error.filename} cannot be read: {error.strerror}."
        raise CommandFailed(ExitCode.USAGE, message) from None
    except UnicodeDecodeError:
        raise CommandFailed(ExitCode.USAGE, "The token file is no text.") from None
    except ValueError as error:
        raise CommandFailed(ExitCode.USAGE, f"{error}.".capitalize()) from None
    return Shown(token, credentials)
