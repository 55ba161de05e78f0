"""`init` and `check-config`: the settings file, and what would be in effect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartconnectors_server.cli import output
from smartconnectors_server.cli.connection import Json
from smartconnectors_server.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from smartconnectors_server.settings import Settings


def init(
    path: Annotated[Path, typer.Argument(metavar="[FILE]", help="Where to write it.")] = Path(
        "smart-connectors.toml"
    ),
    live: Annotated[
        bool, typer.Option("--live", help="Start from what suits a real ad account.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE when it exists.")] = False,
) -> None:
    """Write a settings file with every key, its default and what it means."""
    from smartconnectors_server.cli.config_file import render
    from smartconnectors_server.private import owner_only

    text = render(live=live)
    try:
        mode = "w" if force else "x"
        with open(path, mode, encoding="utf-8", opener=owner_only) as file:
            file.write(text)
    except FileExistsError:
        raise CommandFailed(
            ExitCode.USAGE, f"{path} exists. Name another file, or say --force to replace it."
        ) from None
    except OSError as error:
        raise CommandFailed(
            ExitCode.USAGE, f"{path} cannot be written: {error.strerror}."
        ) from None
    output.say(f"Wrote {path}. Next: smart-connectors serve --config {path}")


def settings_of(config: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """The settings in effect. Raises CommandFailed listing everything that is wrong."""
    from smartconnectors_server.app import load_settings
    from smartconnectors_server.settings import SettingsError

    try:
        return load_settings(config, overrides=overrides)
    except SettingsError as error:
        raise CommandFailed(
            ExitCode.USAGE, f"The settings are wrong; nothing was started.\n{error}"
        ) from None


def check_config(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            envvar="SMART_CONNECTORS_CONFIG",
            help="The TOML file to check.",
        ),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Ask every configured account, too. Changes nothing.")
    ] = False,
    reads: Annotated[
        int, typer.Option("--reads", min=1, max=1000, help="How often, with --live.")
    ] = 20,
    as_json: Json = False,
) -> None:
    """Check file and environment, and show what would be in effect. Secrets are never shown.

    Refuses whatever `serve` would not start with. Ends with 1 when --live finds an account that
    does not fit.
    """
    import asyncio

    from smartconnectors_server.app import StartupError
    from smartconnectors_server.assembly import budgets_of
    from smartconnectors_server.checks import check_start, check_state_dir
    from smartconnectors_server.cli import day_figures, live_check, output
    from smartconnectors_server.cli.effective import effective
    from smartconnectors_server.platforms import PLATFORMS

    settings = settings_of(config, {})
    try:
        check_start(settings)
        check_state_dir(settings.server.state_dir)
        rows = dict(effective(settings))
        served = {
            name: platform
            for name, platform in PLATFORMS.items()
            if name not in settings.platforms or settings.platforms[name].enabled
        }
        budgets = budgets_of(served, settings)
    except StartupError as error:
        raise CommandFailed(
            ExitCode.USAGE, f"`serve` would not start with these settings.\n{error}"
        ) from None
    reports = asyncio.run(live_check.look(settings, reads)) if live else []
    code = ExitCode.REFUSED if any(report.problems for report in reports) else ExitCode.DONE
    if as_json:
        document = {**rows, **day_figures.document_of(budgets)}
        if live:
            document["accounts"] = [report.document for report in reports]
        output.say_json(document)
        raise typer.Exit(code)
    output.print_table(
        ("key", "value"), [[key, _shown(value)] for key, value in rows.items()], empty=""
    )
    output.say()
    day_figures.print_tables(budgets)
    if live:
        output.say()
        live_check.print_reports(reports)
    raise typer.Exit(code)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
