"""Configuration: any bytes, any values under the real keys, any environment.

Always settings that an application can be made of, or an error that says which key; never another
exception, never a secret's value.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st
from pydantic import BaseModel
from tests.fuzz.promises import check_no_secret

from smartconnectors_server.app import Application, StartupError, load_settings
from smartconnectors_server.assembly import variables_of
from smartconnectors_server.cli.config_file import section_of
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger.book import Book
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.settings import PlatformSettings, Settings, SettingsError
from smartconnectors_server.startup import check_host
from smartconnectors_server.telemetry import Telemetry

SECRET = "planted-secret-hunter2"
MOST_MESSAGE_CHARS = 20_000

LITERALS = [
    "nan",
    "-inf",
    "+inf",
    "1e400",
    "1e999999999",
    "1e99999999999999999999",
    "-0.0",
    "0.1",
    "1",
    "0",
    "-1",
    "0x" + "f" * 40,
    "9" * 30,
    "9" * 5000,
    "true",
    "[]",
    "{}",
    "[[]]",
    "{ a = { b = 1 } }",
    '[{ limit = "1", calendar = "day", time_zone = "Nowhere/At_All" }]',
    '[{ limit = "1", calendar = "day", time_zone = "../../etc/passwd" }]',
    '[{ limit = "1", calendar = "day", time_zone = "\\u0000" }]',
    '[{ limit = "1" }]',
    '[{ limit = "1", window_s = 60, calendar = "day" }]',
    "1979-05-27T07:32:00Z",
    "07:32:00",
    '""',
    '"0"',
    '"-1"',
    '"500.00"',
    '"1e3"',
    '"NaN"',
    '"sNaN"',
    '"Infinity"',
    '"1e999999999"',
    '"\\u0000"',
    '"\\u001b[2J"',
    '"0.0.0.0"',
    '"sandbox"',
    '"live"',
    '"USD"',
    '"JPY"',
    '"XXX"',
    '"' + "1" * 5000 + '"',
    f'"{SECRET}"',
    f'["{SECRET}"]',
    f'{{ a = "{SECRET}" }}',
]


def _keys(model: type[BaseModel], path: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = f"{path}.{name}" if path else name
        yield key
        inner = section_of(field)
        if isinstance(inner, type) and issubclass(inner, BaseModel) and inner is not model:
            yield from _keys(inner, key)


KEYS = [
    *_keys(Settings, ""),
    *(key for name in PLATFORMS for key in _keys(PlatformSettings, f"platforms.{name}")),
    *(
        f"platforms.{name}.options.{option}"
        for name, platform in PLATFORMS.items()
        for option in platform.options.model_fields
    ),
    *(f'platforms.{name}.budget.campaigns."1\\u001b"' for name in PLATFORMS),
    "platforms.nowhere",
    "server.unknown",
    'server."a.b\\u0000"',
]
WORDS = st.sampled_from(LITERALS) | st.text(max_size=12).map(lambda text: f"'{text}'")
LINES = st.tuples(st.sampled_from(KEYS), WORDS).map(lambda pair: f"{pair[0]} = {pair[1]}")


@dataclass(frozen=True)
class Case:
    """A file, and an environment."""

    content: bytes
    environment: tuple[tuple[str, str], ...] = ()


ENVIRONMENTS = st.lists(
    st.tuples(
        st.sampled_from(sorted(variables_of(PLATFORMS))),
        st.sampled_from(["", "0", "-1", "nan", "1e999999999", "9" * 5000, "\udcff", "\x1b", SECRET])
        | st.text(max_size=8),
    ),
    max_size=2,
).map(tuple)
FILES = st.one_of(
    st.binary(max_size=60),
    st.lists(LINES, min_size=1, max_size=3).map("\n".join).map(lambda text: text.encode()),
    st.lists(LINES, min_size=1, max_size=2).map("\n".join).map(lambda text: text.encode("utf-16")),
    st.integers(100, 3000).map(lambda depth: b"a = " + b"[" * depth + b"]" * depth),
    st.integers(100, 3000).map(lambda depth: b"a" + b".a" * depth + b" = 1"),
)
CASES = st.builds(Case, content=FILES, environment=ENVIRONMENTS)


class Configurations:
    """Loads cases in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "settings.toml"

    def load(self, case: Case) -> None:
        self._file.write_bytes(case.content)
        try:
            settings = load_settings(self._file, dict(case.environment))
        except SettingsError as error:
            self._check_message(str(error))
            return
        assert "\0" not in str(settings.server.state_dir)
        os.fsencode(settings.server.state_dir)
        try:
            check_host(settings.server)
            application = Application(settings, clock=ManualClock(), telemetry=Telemetry())
        except StartupError as error:
            self._check_message(str(error))
            return
        for budget in application.core.budgets:
            Book().configure(budget)

    def _check_message(self, message: str) -> None:
        assert message.strip()
        assert len(message) <= MOST_MESSAGE_CHARS, f"{len(message)} characters"
        message.encode()
        check_no_secret(message, {SECRET})


@contextmanager
def open_configuration() -> Iterator[Callable[[Case], None]]:
    """`fuzz_configuration`, with a directory for its files."""
    with tempfile.TemporaryDirectory() as directory:
        configurations = Configurations(Path(directory))

        def fuzz_configuration(case: Case) -> None:
            configurations.load(case)

        yield fuzz_configuration
