"""`token`: makes, lists and revokes the tokens of callers of this service."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartconnectors_server.cli import output
from smartconnectors_server.cli.connection import Json
from smartconnectors_server.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from datetime import datetime

    from smartconnectors_server.access.tokens import TokenEntry

_SECONDS_A_DAY = 86_400
_READABLE_BY_ITS_OWNER = 0o600


class RoleChoice(enum.StrEnum):
    """What a token may do."""

    READ = "read"
    BID = "bid"
    OPERATE = "operate"


group = typer.Typer(help="Tokens of callers of this service.", no_args_is_help=True)

COLUMNS = ("name", "role", "platforms", "campaigns", "expires")

TokensFile = Annotated[
    Path, typer.Option("--file", metavar="FILE", help="The server's access.tokens_file.")
]


@group.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who gets it; the audit says it.")],
    *,
    role: Annotated[RoleChoice, typer.Option("--role", help="Each includes those before it.")],
    platforms: Annotated[
        list[str] | None,
        typer.Option("--platform", metavar="NAME", help="On this platform alone; repeatable."),
    ] = None,
    campaigns: Annotated[
        list[str] | None,
        typer.Option("--campaign", metavar="ID", help="For this campaign alone; repeatable."),
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=36_500, help="How long it counts.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="The server's access.tokens_file, to add to."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a token, and print it once: the server keeps no more than its hash.

    Its entry goes into the server's tokens file, which a running server takes up. `token revoke`
    takes it out again.
    """
    from pydantic import ValidationError

    from smartconnectors_server.access.tokens import TokenEntry, hash_of, new_token
    from smartconnectors_server.platforms import PLATFORMS
    from smartconnectors_server.settings import explain

    for platform in platforms or ():
        if platform not in PLATFORMS:
            known = ", ".join(PLATFORMS)
            raise CommandFailed(ExitCode.USAGE, f"No platform is called {platform}: {known}.")
    made = new_token()
    try:
        entry = TokenEntry(
            name=name,
            hash=hash_of(made),
            role=role.value,
            platforms=tuple(platforms) if platforms else None,
            campaigns=tuple(campaigns) if campaigns else None,
            expires_at=None if days is None else _in_days(days),
        )
    except ValidationError as error:
        raise CommandFailed(ExitCode.USAGE, explain(error)) from None
    if file is not None:
        _append(file, entry)
    if as_json:
        document = entry.model_dump(mode="json", exclude_none=True)
        output.say_json({"token": made, "entry": document})
        return
    if file is None:
        output.say("# Add this to the server's tokens file:", *entry.text().split("\n"), err=True)
    else:
        output.say(f"Added to {file}. The token is printed this once:", err=True)
    output.say(made)


@group.command("list")
def list_tokens(file: TokensFile, as_json: Json = False) -> None:
    """List the tokens in a file: whose they are and what they may do, never the tokens."""
    content = _read(file)
    from smartconnectors_server.access.tokens import entries_in

    entries = entries_in(content)
    if as_json:
        documents = [entry.model_dump(mode="json", exclude_none=True) for entry in entries]
        output.say_json({"tokens": documents})
        return
    rows = [
        [
            entry.name,
            entry.role,
            "all" if entry.platforms is None else " ".join(entry.platforms),
            "all" if entry.campaigns is None else " ".join(entry.campaigns),
            "never" if entry.expires_at is None else entry.expires_at.isoformat(),
        ]
        for entry in entries
    ]
    output.print_table(COLUMNS, rows, empty="No tokens.")


@group.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `token list` shows it.")],
    file: TokensFile,
) -> None:
    """Revoke a token: a running server refuses it a second later."""
    from smartconnectors_server.access.tokens import without
    from smartconnectors_server.access.watched import Unusable

    content = _read(file)
    try:
        changed = without(content, name)
    except KeyError:
        raise CommandFailed(
            ExitCode.USAGE, f"{file} has no token called {name}; see `token list`."
        ) from None
    except Unusable as error:
        raise CommandFailed(ExitCode.USAGE, f"{file} {error}; nothing was changed.") from None
    _replace(file, changed)
    output.say(f"Revoked {name}: a server that reads {file} refuses it within a second.", err=True)


def _read(file: Path) -> bytes:
    """A file that a server could use. Raises CommandFailed."""
    from smartconnectors_server.access.tokens import KEY, read_tokens
    from smartconnectors_server.access.watched import Unusable
    from smartconnectors_server.texts import without_mark

    try:
        content = without_mark(file.read_bytes())
        read_tokens({KEY: content})
    except Unusable as error:
        raise CommandFailed(ExitCode.USAGE, f"{file} {error}; nothing was changed.") from None
    except OSError as error:
        raise CommandFailed(ExitCode.USAGE, f"{file} cannot be read: {error.strerror}.") from None
    return content


def _in_days(days: int) -> datetime:
    from datetime import UTC, datetime

    from smartconnectors_server.clock import NANOS_PER_SECOND, SystemClock

    now_s = SystemClock().wall_ns() // NANOS_PER_SECOND
    return datetime.fromtimestamp(now_s + days * _SECONDS_A_DAY, UTC)


def _append(file: Path, entry: TokenEntry) -> None:
    """Adds an entry. Raises CommandFailed, and leaves the file as it was."""
    there = _read(file) if file.exists() else b""
    from smartconnectors_server.access.tokens import KEY, entries_in, read_tokens
    from smartconnectors_server.access.watched import Unusable

    if entry.name in {one.name for one in entries_in(there)}:
        raise CommandFailed(
            ExitCode.USAGE,
            f"{file} has a token called {entry.name} already; nothing was added. Choose another "
            f"name, or take it out first with `token revoke {entry.name} --file {file}`.",
        )
    content = there.rstrip() + (b"\n\n" if there.strip() else b"") + entry.text().encode()
    try:
        read_tokens({KEY: content})
    except Unusable as error:
        raise CommandFailed(ExitCode.USAGE, f"{file} {error}; nothing was added.") from None
    _replace(file, content)


def _replace(file: Path, content: bytes) -> None:
    """Writes a file in one step: a server never reads half of it. Raises CommandFailed."""
    import tempfile

    try:
        mode = file.stat().st_mode & 0o777 if file.exists() else _READABLE_BY_ITS_OWNER
        with tempfile.NamedTemporaryFile(
            dir=file.resolve().parent, prefix=f".{file.name}.", delete=False
        ) as new:
            new.write(content)
        Path(new.name).chmod(mode)
        Path(new.name).replace(file.resolve())
    except OSError as error:
        raise CommandFailed(
            ExitCode.USAGE, f"{file} cannot be written: {error.strerror}."
        ) from None
