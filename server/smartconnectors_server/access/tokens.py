"""Bearer tokens: how they are made, and the file that says what each may do."""

from __future__ import annotations

import hashlib
import re
import secrets
import tomllib
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, ValidationError

from smartconnectors_server.access.caller import ANYBODY, Caller, Role, Scope
from smartconnectors_server.access.watched import Unusable
from smartconnectors_server.access_settings import GrantSettings
from smartconnectors_server.sections import Section
from smartconnectors_server.settings import explain
from smartconnectors_server.texts import decoded

KEY = "access.tokens_file"
PREFIX = "sc_"
"""Begins every token, so that one that strays is recognised by what looks for secrets."""
_RANDOM_BYTES = 32
_HASH = re.compile(r"[0-9a-f]{64}")
_TABLE = re.compile(r"(?m)^(?=[ \t]*\[\[[ \t]*tokens[ \t]*\]\])")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


def new_token() -> str:
    """A new token: 256 random bits, as text."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_of(token: str) -> str:
    """What the file has in a token's place: its SHA-256, in hexadecimal.

    A slow hash (argon2, scrypt) makes guessing dear where people choose what is hashed. A token is
    256 random bits, so guessing is hopeless at any speed, and this one is computed for every call.
    It also makes the comparison safe: tokens are found by looking the hash up, and how long that
    takes tells of the hash of a guess, from which nothing leads back to a token.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def _hash(value: str) -> str:
    if not _HASH.fullmatch(value):
        raise ValueError(
            "not the SHA-256 of a token; `smart-connectors token create` makes entries"
        )
    return value


def name_of_caller(value: str) -> str:
    """A name that logs and the audit ledger can bear. Raises ValueError."""
    if not _NAME.fullmatch(value) or value == ANYBODY.name:
        raise ValueError(
            f"1 to 64 of letters, digits and _ . @ -, first a letter or digit, not {ANYBODY.name}"
        )
    return value


class TokenEntry(GrantSettings):
    """One token in the file. Names are unique, so that each can be revoked alone."""

    name: Annotated[str, AfterValidator(name_of_caller)]
    """Who has it; the audit ledger says it."""
    hash: Annotated[str, AfterValidator(_hash)]
    expires_at: AwareDatetime | None = None
    """From then on it is refused. Absent: it does not expire."""

    def caller(self) -> Caller:
        """Who shows it."""
        expires = self.expires_at
        return Caller(
            self.name,
            Role.named(self.role),
            Scope.of(self.platforms, self.campaigns),
            None if expires is None else int(expires.timestamp()) * 1_000_000_000,
        )

    def text(self) -> str:
        """As it stands in the file."""
        lines = ["[[tokens]]", f'name = "{self.name}"', f'hash = "{self.hash}"']
        lines.append(f'role = "{self.role}"')
        for key, names in (("platforms", self.platforms), ("campaigns", self.campaigns)):
            if names is not None:
                lines.append(f"{key} = [{', '.join(_quoted(name) for name in names)}]")
        if self.expires_at is not None:
            lines.append(f"expires_at = {self.expires_at.isoformat()}")
        return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = "".join(
        f"\\U{ord(each):08x}" if each in '"\\' or not each.isprintable() else each for each in text
    )
    return f'"{escaped}"'


class _File(Section):
    tokens: tuple[TokenEntry, ...] = ()


def read_tokens(contents: Mapping[str, bytes]) -> Mapping[str, Caller]:
    """Hash -> who shows that token. Raises Unusable."""
    try:
        file = _File.model_validate(tomllib.loads(decoded(contents[KEY])))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            why = explain(error)
        elif isinstance(error, tomllib.TOMLDecodeError):
            why = str(error)
        else:
            why = "not text in UTF-8, or nested too deeply"
        raise Unusable(KEY, f"is no list of tokens: {why}") from None
    callers = {entry.hash: entry.caller() for entry in file.tokens}
    if len(callers) < len(file.tokens):
        raise Unusable(KEY, "is no list of tokens: one hash stands there twice")
    names = [entry.name for entry in file.tokens]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Unusable(KEY, f"is no list of tokens: two are called {', '.join(twice)}")
    return callers


def entries_in(content: bytes) -> tuple[TokenEntry, ...]:
    """The entries of a file that `read_tokens` reads."""
    return _File.model_validate(tomllib.loads(decoded(content))).tokens


def without(content: bytes, name: str) -> bytes:
    """A file that `read_tokens` reads, without the entry called `name`, everything else as it is.
    Raises KeyError when there is none, and Unusable when it is not a table of its own.
    """
    remaining = tuple(entry for entry in entries_in(content) if entry.name != name)
    if len(remaining) == len(entries_in(content)):
        raise KeyError(name)
    parts = _TABLE.split(decoded(content))
    kept = [part for part in parts if not _is_called(part, name)]
    changed = "".join(kept).encode()
    try:
        read_tokens({KEY: changed})
        same = entries_in(changed) == remaining
    except Unusable:
        same = False
    if not same:
        raise Unusable(KEY, f"has the entry {name} in a form that only you can take out")
    return changed


def _is_called(part: str, name: str) -> bool:
    """Whether a part of a file is the table of the entry with this name."""
    try:
        listed = tomllib.loads(part).get("tokens", [])
    except tomllib.TOMLDecodeError:
        return False
    return len(listed) == 1 and listed[0].get("name") == name
