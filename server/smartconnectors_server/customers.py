"""Customers as the server speaks of them: by a hash of their id with the site's key.

Without the key nobody can tell which id a hash is of, not even by trying all ids that there are.
With the same key the same customer has the same hash, so that lines about one can be found. The key
is a file: whoever takes another one over to another machine keeps the hashes.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from smartconnectors_server.private import create_private, keep_private
from smartconnectors_server.texts import without_mark

FILE_NAME = "site.key"
SHORTEST_KEY_BYTES = 32
_HASH_DIGITS = 24


class SiteKeyError(Exception):
    """There is no key that can be used; the message says why and what to do, and not what is in
    the file.
    """


class Customers:
    """The one who knows the key."""

    def __init__(self, key_file: Path | None, state_dir: Path) -> None:
        """`key_file` None: one in `state_dir`, which is made when there is none."""
        self._path = key_file or state_dir / FILE_NAME
        self._may_make_one = key_file is None
        self._key = b""

    def open(self) -> None:
        """Reads the key, or makes one at random. Raises SiteKeyError."""
        try:
            if self._may_make_one and not self._path.exists():
                _make(self._path)
            if self._may_make_one:
                keep_private(self._path)
            key = without_mark(self._path.read_bytes()).strip()
        except OSError as error:
            raise SiteKeyError(
                f"the site key {self._path} cannot be used: {error.strerror}"
            ) from None
        if len(key) < SHORTEST_KEY_BYTES:
            raise SiteKeyError(
                f"the site key {self._path} is shorter than {SHORTEST_KEY_BYTES} characters. Write "
                "as many random ones into it, as `openssl rand -hex 32` makes them"
            )
        self._key = key

    def hash_of(self, customer_id: str) -> str:
        """24 hexadecimal digits; empty for an empty id."""
        return self._digest(b"customer", customer_id.encode())[:_HASH_DIGITS] if customer_id else ""

    def fingerprint_of(self, method: str, request: bytes) -> str:
        """64 hexadecimal digits: the same for the same request, and no help in guessing what is in
        it.
        """
        return self._digest(b"request", method.encode() + b"\0" + request)

    def _digest(self, purpose: bytes, what: bytes) -> str:
        if not self._key:
            raise RuntimeError("the site key was not read")
        return hmac.digest(self._key, purpose + b"\0" + what, "sha256").hex()


def _make(path: Path) -> None:
    """A key for nobody but the owner of the file, whole or not at all."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    file = create_private(beside, os.O_WRONLY | os.O_EXCL)
    try:
        os.write(file, f"{secrets.token_hex(SHORTEST_KEY_BYTES)}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)
    beside.rename(path)
