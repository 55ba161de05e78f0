"""The audit ledger as a chain: each line's hash covers the line and the hash of the line before.

Whoever changes, takes out or puts in a line has to write every later hash anew, and then the last
one, the head, is another than the one that was noted elsewhere. Pure.
"""

from __future__ import annotations

import hashlib
import json

from smartconnectors_server.ledger.records import Entry

GENESIS = "0" * 64
"""What stands before the first line."""

FIELDS = (
    "sequence",
    "at_ns",
    "verb",
    "budget_ids",
    "hold_id",
    "platform",
    "request_id",
    "amount_micros",
    "currency_code",
    "note",
    "actor",
    "customer",
)
"""What the hash of a line covers, in this order."""


def covered(entry: Entry) -> str:
    """The one text of a line that is hashed: JSON in ASCII, without spaces."""
    return json.dumps({name: getattr(entry, name) for name in FIELDS}, separators=(",", ":"))


def link(previous: str, entry: Entry) -> str:
    """The hash of a line after the line with the hash `previous`: 64 hexadecimal digits."""
    return hashlib.sha256(f"{previous}\n{covered(entry)}".encode()).hexdigest()
