"""Audit lines as text: JSON lines and CSV, each with exactly one way to write a line. Pure.

What is read is compared with what would have been written, so that any changed byte shows.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from smartconnectors_server.ledger.audit import Broken
from smartconnectors_server.ledger.chain import FIELDS, covered
from smartconnectors_server.ledger.records import Entry

COLUMNS = (*FIELDS, "hash")
_NUMBERS = ("sequence", "at_ns", "amount_micros")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "'")
"""A cell that begins so gets a further quotation mark, or a spreadsheet would calculate it."""
_BEFORE_A_FORMULA = "\t\r\n"
"""As does a cell that begins with one of these."""


def json_line(entry: Entry) -> str:
    """One line of JSON, without its line feed: what the hash covers, and the hash."""
    return f'{covered(entry)[:-1]},"hash":{json.dumps(entry.hash)}}}'


def csv_row(entry: Entry) -> str:
    """One row, its line feed included."""
    cells = [getattr(entry, name) for name in COLUMNS]
    return _row(json.dumps(c) if isinstance(c, tuple) else _safe(str(c)) for c in cells)


def csv_header() -> str:
    """The names of the columns."""
    return _row(COLUMNS)


def read(text: Iterable[str]) -> Iterator[Entry]:
    """The lines of an export in either format, told by its first character.

    `text`: its lines, each with its line feed. Raises Broken where it is not as it was written.
    """
    lines = iter(text)
    first = next(lines, "")
    if first.startswith("{"):
        yield from _read_json(first, lines)
    elif first == csv_header():
        yield from _read_csv(lines)
    elif first:
        raise Broken(0, f"begins with {first[:40]!r}, which no export does")


def _read_json(first: str, lines: Iterator[str]) -> Iterator[Entry]:
    number = 0
    while first:
        number += 1
        try:
            document = json.loads(first)
            entry = Entry(**{**document, "budget_ids": tuple(document["budget_ids"])})
            same = f"{json_line(entry)}\n" == first
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Broken(number, f"is no line of an export: {error}") from None
        if not same:
            raise Broken(number, "is not as it was written")
        yield entry
        first = next(lines, "")


def _read_csv(lines: Iterator[str]) -> Iterator[Entry]:
    taken: list[str] = []

    def remembered() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    number = 0
    rows = csv.reader(remembered(), strict=True)
    while True:
        number += 1
        taken.clear()
        try:
            row = next(rows, None)
            if row is None:
                return
            fields = dict(zip(COLUMNS, row, strict=True))
            values = {name: _unsafe(cell) for name, cell in fields.items()}
            read_anew: dict[str, Any] = {
                "budget_ids": tuple(json.loads(fields["budget_ids"])),
                **{name: int(values[name]) for name in _NUMBERS},
            }
            entry = Entry(**{**values, **read_anew})
            same = csv_row(entry) == "".join(taken)
        except (csv.Error, ValueError, TypeError, RecursionError) as error:
            raise Broken(number, f"is no row of an export: {error}") from None
        if not same:
            raise Broken(number, "is not as it was written")
        yield entry


def _row(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _safe(cell: str) -> str:
    """Spreadsheets may pass over blanks and what nobody sees before they find a formula."""
    seen = 0
    while seen < len(cell) and (cell[seen].isspace() or not cell[seen].isprintable()):
        seen += 1
    runs = cell.startswith(_FORMULA, seen) or cell.startswith(tuple(_BEFORE_A_FORMULA))
    return f"'{cell}" if runs else cell


def _unsafe(cell: str) -> str:
    return cell.removeprefix("'")
