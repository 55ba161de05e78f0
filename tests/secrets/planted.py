"""What is secret, found in the settings themselves, and every form in which it could show."""

from __future__ import annotations

import base64
import re
import secrets
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, SecretStr

from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.settings import Settings

Keys = tuple[str, ...]
"""Where a setting stands in the file."""

SOUNDS_SECRET = re.compile(r"secret|token|password|(^|_)key|credential|login$")
NAMED = "planted"
"""What is called so as its user wants is called this."""
NO_SECRETS = {
    "google_ads.json_key_file_path": "names a file; what is in it is planted",
    "access.tokens_file": "names a file; what is in it are hashes",
    "server.tls.key_file": "names a file; what is in it is planted",
    "http.tls.key_file": "names a file; what is in it is planted",
    "http.metrics_require_token": "says whether a token is asked for",
    "privacy.site_key_file": "names a file; what is in it is planted",
    "trade_desk.login": "a name, not what opens anything",
}
"""Option that sounds secret and is none -> why."""


@dataclass(frozen=True)
class Planted:
    """One secret. `keys`: where it stands in the settings file; `shows`: what of it must not."""

    keys: tuple[str, ...]
    value: str
    shows: str

    @property
    def name(self) -> str:
        return ".".join(self.keys)


def models(model: type[BaseModel], path: Keys = ()) -> Iterator[tuple[Keys, typing.Any]]:
    """(keys, annotation) of every setting, whatever sections it is in."""
    for name, field in model.model_fields.items():
        inner = [kind for kind in kinds(field.annotation) if isinstance(kind, type)]
        yield (*path, name), field.annotation
        named = (NAMED,) if typing.get_origin(field.annotation) is Mapping else ()
        for kind in inner:
            if issubclass(kind, BaseModel):
                yield from models(kind, (*path, name, *named))


def kinds(annotation: typing.Any) -> Iterator[typing.Any]:
    """Every type in an annotation."""
    yield annotation
    for part in typing.get_args(annotation):
        yield from kinds(part)


def settings() -> Iterator[tuple[Keys, typing.Any]]:
    """Every setting that there is, those of platforms below `platforms`."""
    yield from models(Settings)
    for name, platform in PLATFORMS.items():
        for keys, annotation in models(platform.options):
            yield ("platforms", name, "options", *keys), annotation


def planted() -> tuple[Planted, ...]:
    """A value of its own for each secret setting, with signs that URLs and base64 write anew."""
    return tuple(
        _planted(keys) for keys, annotation in settings() if SecretStr in kinds(annotation)
    )


def _planted(keys: Keys) -> Planted:
    shows = f"pl4nt+{keys[-1]}/{secrets.token_hex(12)}"
    if keys[0] == "outgoing":
        # A proxy that nothing goes through: everything here is on this machine.
        hidden = shows.replace("/", "-").replace("+", "-")
        return Planted(keys, f"http://somebody:{hidden}@proxy.invalid:3128", hidden)
    if keys[-1] == "otlp_headers":
        return Planted(keys, f"x-key={quote(shows, safe='')}", shows)
    if keys[0] != "alerts":
        return Planted(keys, shows, shows)
    if keys[-1] == "url":
        return Planted(keys, f"https://localhost/{shows}", shows)
    code = base64.b64encode(shows.encode()).decode()
    return Planted(keys, f"whsec_{code}", code)


def unmarked() -> set[str]:
    """Settings that sound secret and are not held as one."""
    return {
        ".".join(part for part in keys if part not in ("platforms", "options"))
        for keys, annotation in settings()
        if SOUNDS_SECRET.search(keys[-1]) and SecretStr not in kinds(annotation)
    } - NO_SECRETS.keys()


def forms(secret: str) -> frozenset[bytes]:
    """How a secret could show: as it is, in URLs, in hexadecimal, and in base64 wherever it stands
    in what was encoded.
    """
    raw = secret.encode()
    shown = {raw, quote(secret).encode(), quote(secret, safe="").encode(), raw.hex().encode()}
    shown |= {quote_plus(secret).encode(), repr(secret)[1:-1].encode()}
    for before in range(3):
        code = base64.b64encode(b"\0" * before + raw)
        # The first and the last four letters also stand for what is beside the secret.
        inner = code[4:-4]
        shown |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return frozenset(shown)


def found_in(text: bytes, names: dict[str, str]) -> set[str]:
    """The names of those secrets that show in the text."""
    return {name for name, secret in names.items() if any(form in text for form in forms(secret))}


def files_below(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a directory: its path and what is in it."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes()
