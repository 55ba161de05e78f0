"""How amounts, times and tables look on a terminal and in a pipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import typer

from smartconnectors_server.money import format_amount
from smartconnectors_server.plain_text import printable

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp
    from rich.console import RenderableType

    from smartconnectors.common.v1.budget_pb2 import BudgetStats


def document_of(message: Message) -> dict[str, Any]:
    """The protobuf JSON of a message: the contract's field names, int64 as strings, and fields
    that are at their default present, so that a script can rely on every key.
    """
    from google.protobuf.json_format import MessageToDict

    document: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return document


def say(*lines: str, err: bool = False) -> None:
    """Lines of text. What is in a line comes from outside as often as not, so a line is one line on
    any terminal and in any pipe: see `printable`.
    """
    for line in lines or ("",):
        typer.echo(printable(line), err=err)  # noqa: TID251 - the one place that prints


def say_json(document: Mapping[str, Any], *, err: bool = False) -> None:
    """One line of JSON. What a terminal would act on is written as an escape, of which JSON makes
    the same text.
    """
    text = json.dumps(document, ensure_ascii=False)
    if not text.isprintable():
        text = "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
    typer.echo(text, err=err)  # noqa: TID251 - as above


def print_json(message: Message) -> None:
    """One message as one line of JSON."""
    say_json(document_of(message))


def share(part: int, whole: int) -> str:
    """`45 %`, `45.5 %`; `–` of nothing."""
    if whole <= 0:
        return "–"
    tenths = part * 1000 // whole
    return f"{tenths // 10} %" if tenths % 10 == 0 else f"{tenths // 10}.{tenths % 10} %"


def duration_text(seconds: float) -> str:
    """`0.4 s`, `12 s`, `6 min 12 s`, `2 h`; rounded up to what is shown, so that who waits that
    long has waited long enough.
    """
    if seconds < 10:
        tenths = -int(-seconds * 10 // 1)
        return f"{tenths / 10:g} s"
    whole = -int(-seconds // 1)
    parts = [(whole // 3600, "h"), (whole % 3600 // 60, "min"), (whole % 60, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def time_text(stamp: Timestamp) -> str:
    """`2026-01-31 12:00:00.000Z`; empty when it is not set."""
    if stamp.ToNanoseconds() == 0:
        return ""
    moment = datetime.fromtimestamp(stamp.ToMilliseconds() / 1000, tz=UTC)
    return moment.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def window_text(window: Duration) -> str:
    """`10 min`; `calendar` when it is not a sliding window."""
    seconds = window.ToNanoseconds() / 1e9
    return duration_text(seconds) if seconds else "calendar"


def budget_text(stats: BudgetStats) -> str:
    """`$225.00 of $500.00 committed (45 %), $275.00 remaining`, and what else is not zero."""
    currency = stats.currency_code
    committed = format_amount(stats.committed_micros, currency)
    limit = format_amount(stats.limit_micros, currency)
    used = share(stats.committed_micros, stats.limit_micros)
    parts = [f"{committed} of {limit} committed ({used})"]
    for name in ("held", "deferred", "in_doubt"):
        micros = getattr(stats, f"{name}_micros")
        if micros:
            parts.append(f"{format_amount(micros, currency)} {name.replace('_', ' ')}")
    parts.append(f"{format_amount(stats.remaining_micros, currency)} remaining")
    if reported := reported_text(stats):
        parts.append(f"reported: {reported}")
    if stats.paused:
        parts.append("PAUSED")
    return ", ".join(parts)


def reported_text(stats: BudgetStats) -> str:
    """`$12.00 on 2026-11-24 Europe/Berlin, 3 min old`; empty while it is not known."""
    if not stats.HasField("reported_spend_micros"):
        return ""
    spend = format_amount(stats.reported_spend_micros, stats.currency_code)
    age_ns = stats.as_of.ToNanoseconds() - stats.reported_as_of.ToNanoseconds()
    age = duration_text(max(0, age_ns) // 10**9)
    return f"{spend} on {stats.reported_period}, {age} old"


STATS_COLUMNS = (
    "budget",
    "committed",
    "held",
    "deferred",
    "in doubt",
    "remaining",
    "limit",
    "used",
    "window",
    "accepted",
    "vetoed",
    "reported",
    "state",
)


def stats_row(stats: BudgetStats) -> list[str]:
    """One budget under STATS_COLUMNS."""
    from smartconnectors.common.v1.budget_pb2 import AlertLevel

    state = AlertLevel.Name(stats.alert_level).removeprefix("ALERT_LEVEL_").lower()
    amounts = (
        stats.committed_micros,
        stats.held_micros,
        stats.deferred_micros,
        stats.in_doubt_micros,
        stats.remaining_micros,
        stats.limit_micros,
    )
    return [
        stats.budget_id,
        *(format_amount(micros, stats.currency_code) for micros in amounts),
        share(sum(amounts[:4]), stats.limit_micros),
        window_text(stats.window),
        str(stats.accepted_count),
        str(stats.vetoed_count),
        reported_text(stats),
        "paused" if stats.paused else {"none": "ok"}.get(state, state),
    ]


def compact_stats(
    columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """The same, for 80 columns of a terminal: the window beside the limit, vetoes of all bids, and
    of held, deferred, in doubt and reported only what is not zero everywhere.
    """
    tables = [dict(zip(columns, row, strict=True)) for row in rows]
    for table in tables:
        table["limit"] += f" in {table.pop('window')}"
        bids = int(table.pop("accepted")) + int(table["vetoed"])
        table["vetoed"] = f"{table['vetoed']} of {bids}"
        table["state"] = table.pop("state")
    optional = ("held", "deferred", "in doubt", "reported")
    idle = {
        name
        for name in optional
        if not any(character in "123456789" for table in tables for character in table[name])
    }
    names = [name for name in (tables[0] if tables else columns) if name not in idle]
    return names, [[table[name] for name in names] for table in tables]


def on_terminal() -> bool:
    """True when a person reads standard output."""
    from rich.console import Console

    return Console().is_terminal


def rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> RenderableType:
    """A table for a terminal; amounts and counts to the right, states in colour."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    rows = [list(row) for row in rows]
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(any(c.isdigit() for c in row[index]) for row in rows)
        # Folded, never cut: an id or an amount that is shown is shown whole.
        justify: Literal["left", "right"] = "right" if numeric and index else "left"
        table.add_column(column, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell), style=_STYLES.get(cell, "")) for cell in row))
    return table


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """A table: drawn on a terminal, aligned text in a pipe; `empty` is said when there are none."""
    rows = [list(row) for row in rows]
    if not rows:
        say(empty)
    elif on_terminal():
        from rich.console import Console

        Console().print(rich_table(columns, rows))
    else:
        say(*plain_table(columns, rows))


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns under their names, two blanks apart; one line for each row."""
    lines = [list(columns), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


_STYLES = {
    "ok": "green",
    "warning": "yellow",
    "critical": "red",
    "exhausted": "bold red",
    "paused": "bold yellow",
    "DIFFERS": "bold red",
    "in doubt": "yellow",
}
