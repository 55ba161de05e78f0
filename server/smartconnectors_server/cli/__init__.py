"""The command line: one file for each group of commands.

A command imports what it needs when it runs, so that `--help` answers at once. Exit codes are in
`cli/failure.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from smartconnectors_server.cli import (
    alerts,
    audit,
    bidding,
    budgets,
    campaigns,
    configuration,
    demo,
    holds,
    pausing,
    serving,
    shadow,
    spend,
    status,
    tokens,
)
from smartconnectors_server.cli.credentials import command_of
from smartconnectors_server.cli.failure import CommandFailed
from smartconnectors_server.startup import silence_grpc

app = typer.Typer(
    name="smart-connectors",
    help="Bids on ad platforms, inside a budget that no bid can pass.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

_RUN = "Run it"
_SETTINGS = "Settings"
_USE = "Talk to a running server"

app.command(rich_help_panel=_RUN)(serving.serve)
app.command(rich_help_panel=_RUN)(demo.demo)
app.command(rich_help_panel=_RUN)(serving.sandbox)
app.command(rich_help_panel=_SETTINGS)(configuration.init)
app.command("check-config", rich_help_panel=_SETTINGS)(configuration.check_config)
app.add_typer(tokens.group, name="token", rich_help_panel=_SETTINGS)
app.add_typer(bidding.bid, name="bid", rich_help_panel=_USE)
app.command(rich_help_panel=_USE)(bidding.get)
app.add_typer(campaigns.group, name="campaign", rich_help_panel=_USE)
app.command(rich_help_panel=_USE)(status.status)
app.command(rich_help_panel=_USE)(budgets.watch)
app.command(rich_help_panel=_USE)(pausing.pause)
app.command(rich_help_panel=_USE)(pausing.resume)
app.add_typer(budgets.group, name="budget", rich_help_panel=_USE)
app.command(rich_help_panel=_USE)(alerts.alerts)
app.command(rich_help_panel=_USE)(spend.spend)
app.command(rich_help_panel=_USE)(shadow.shadow)
app.add_typer(holds.group, name="holds", rich_help_panel=_USE)
app.add_typer(audit.group, name="audit", rich_help_panel=_USE)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    try:
        command_of(app)(list(arguments), prog_name="smart-connectors")
    except CommandFailed as failure:
        failure.print()
        return failure.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def main() -> None:
    """The `smart-connectors` command."""
    silence_grpc()
    sys.exit(run(sys.argv[1:]))
