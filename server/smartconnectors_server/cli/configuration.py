"""`init` and `check-config`: the settings file, and what would be in effect."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartconnectors_server.cli.connection import Json
from smartconnectors_server.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from smartconnectors_server.clock import Clock
    from smartconnectors_server.settings import Settings

_SECRET = re.compile(r"secret|token|password|api_key|private")


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
    typer.echo(f"Wrote {path}. Next: smart-connectors serve --config {path}")


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
        Path | None, typer.Option("--config", metavar="FILE", help="The TOML file to check.")
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

    Ends with 1 when --live finds an account that does not fit.
    """
    import asyncio

    from smartconnectors_server.app import StartupError
    from smartconnectors_server.assembly import budgets_of
    from smartconnectors_server.cli import day_figures, live_check, output
    from smartconnectors_server.platforms import PLATFORMS

    settings = settings_of(config, {})
    try:
        rows = dict(effective(settings))
        budgets = budgets_of(PLATFORMS, settings)
    except StartupError as error:
        raise CommandFailed(ExitCode.USAGE, f"The settings do not fit together.\n{error}") from None
    reports = asyncio.run(live_check.look(settings, reads)) if live else []
    code = ExitCode.REFUSED if any(report.problems for report in reports) else ExitCode.DONE
    if as_json:
        document = {**rows, **day_figures.document_of(budgets)}
        if live:
            document["accounts"] = [report.document for report in reports]
        typer.echo(json.dumps(document, ensure_ascii=False))
        raise typer.Exit(code)
    output.print_table(
        ("key", "value"), [[key, _shown(value)] for key, value in rows.items()], empty=""
    )
    typer.echo()
    day_figures.print_tables(budgets)
    if live:
        typer.echo()
        live_check.print_reports(reports)
    raise typer.Exit(code)


def effective(settings: Settings, clock: Clock | None = None) -> Iterator[tuple[str, Any]]:
    """Every key and the value in effect, platform defaults filled in, secrets as "set"; and what
    is going to stop working, by the clock's date.

    Raises StartupError when `serve` would not start with them.
    """
    from smartconnectors_server.access import Gatekeeper
    from smartconnectors_server.assembly import accounts_of, budgets_of, mode_of
    from smartconnectors_server.clock import NANOS_PER_SECOND, SystemClock
    from smartconnectors_server.platforms import PLATFORMS
    from smartconnectors_server.settings import PlatformSettings
    from smartconnectors_server.tls import check

    clock = clock or SystemClock()
    today = datetime.fromtimestamp(clock.wall_ns() / NANOS_PER_SECOND, UTC).date()
    budgets_of(PLATFORMS, settings)
    Gatekeeper(settings, clock)
    check(settings.server.tls, clock)
    plain = settings.model_dump(exclude={"platforms"})
    for name in plain:
        yield from _flat(name, plain[name], str((plain[name] or {}).get("currency", "USD")))
    for name, platform in PLATFORMS.items():
        values = settings.platforms.get(name, PlatformSettings())
        document = values.model_dump(exclude={"options", "accounts"})
        document["mode"] = mode_of(platform, settings).value
        defaults = platform.defaults
        for section, key, default in (
            ("budget", "limit", defaults.budget_micros),
            ("rate_limit", "calls", defaults.rate_limit_calls),
            ("rate_limit", "window_s", defaults.rate_limit_window_s),
            ("fallback", "multiplier", defaults.fallback_multiplier_milli),
        ):
            if document[section][key] is None:
                document[section][key] = default
        chosen = platform.options.model_validate(values.options)
        options = chosen.model_dump()
        accounts = accounts_of(platform, values)
        missing = ", ".join(
            dict.fromkeys(
                one
                for account in accounts.values()
                for one in platform.missing_credentials(account)
            )
        )
        each = [platform.warnings(account, today) for account in accounts.values()]
        if warnings := dict.fromkeys(one for some in each for one in some):
            yield f"platforms.{name}.warning", "; ".join(warnings)
        yield f"platforms.{name}.credentials", f"missing: {missing}" if missing else "complete"
        yield from _flat(f"platforms.{name}", document, values.budget.currency)
        yield from _flat(f"platforms.{name}.options", options, values.budget.currency)
        for account, own in values.accounts.items():
            yield from _flat(f"platforms.{name}.accounts.{account}", own, values.budget.currency)


def _flat(path: str, value: Any, currency: str) -> Iterator[tuple[str, Any]]:
    from smartconnectors_server.money import format_amount

    key = path.rpartition(".")[2]
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(f"{path}.{name}", item, currency)
    elif isinstance(value, tuple) and value:
        for index, item in enumerate(value):
            yield from _flat(f"{path}[{index}]", item, currency)
    elif value is None or value in ("", ()):
        yield path, "–"
    elif (_SECRET.search(key) and not key.endswith("_file")) or hasattr(value, "get_secret_value"):
        yield path, "set" if str(value) else "–"
    elif (
        key in ("limit", "campaign_default", "candidate_limit", "max_bid", "max_daily_budget")
        or ".campaigns." in path
    ):
        yield path, format_amount(value, currency)
    elif key == "multiplier":
        yield path, f"{value / 1000:g}"
    else:
        yield path, value if isinstance(value, bool | int | float) else str(value)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
