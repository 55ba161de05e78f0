"""Between a connector and its sandbox: hands real answers on, and spoils the one it was told to.

The platform's own protocol on both sides, so that the connector under test is the real one, its
sockets and its libraries included.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hypothesis import strategies as st
from tests.fuzz.mutations import EDITS, RAW_EDITS, Edit, RawEdit

from smartconnectors_server.connector.sandbox import Sandbox


@dataclass(frozen=True)
class Poison:
    """Which answer is spoilt, and how."""

    phase: str
    """`connect`, `plan`, `send` or `look`."""
    nth: int
    """Of the answers in that phase; -1: every one, and with `connect` those to the plan as well."""
    edits: tuple[Edit, ...] = ()
    raw: RawEdit | None = None
    recorded: int | None = None
    """Number of a recorded answer that is given instead of the real one."""
    status: int | None = None
    """Another status: of HTTP, or of gRPC when the platform speaks that."""
    headers: tuple[tuple[str, str], ...] = ()
    wire: str = "whole"
    """`whole`, `short` (cut before its end), `chunked`, `gzip` (it is not), `raw` (no protocol)."""


QUOTA_TEXTS = st.sampled_from(
    ["0", "7", "-1", "1.5", "1e400", "NaN", "inf", "9" * 400, "Wed, 21 Oct 2099 07:28:00 GMT", ""]
) | st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=12)
USAGE = st.sampled_from(
    [
        '{"call_count": 1e999}',
        '{"call_count": "9", "total_time": -5}',
        '{"acc_id_util_pct": NaN, "reset_time_duration": 1e400}',
        '{"1": [{"call_count": 3, "estimated_time_to_regain_access": 99999999999999999999}]}',
        "[" * 500,
        '{"reset_time_duration": ' + "9" * 400 + "}",
        '{"call_count": 100, "reset_time_duration": "$SECRET$"}',
    ]
)
HEADERS = st.lists(
    st.tuples(st.sampled_from(["Retry-After", "X-Fb-Trace-Id", "request-id"]), QUOTA_TEXTS)
    | st.tuples(
        st.sampled_from(["X-App-Usage", "X-Business-Use-Case-Usage", "X-Ad-Account-Usage"]),
        USAGE | QUOTA_TEXTS,
    )
    | st.tuples(st.sampled_from(["Content-Type", "Set-Cookie", "Location"]), QUOTA_TEXTS),
    max_size=3,
).map(tuple)
_GRPC_STATUSES = range(17)
_HTTP_STATUSES = (
    *(99, 200, 201, 204, 206, 302, 304, 400, 401, 403, 404, 408, 409, 413, 418, 429, 451, 499),
    *(500, 502, 503, 504, 599, 600, 999),
)
STATUSES = st.sampled_from([*_GRPC_STATUSES, *_HTTP_STATUSES])
_WHERE = {
    "phase": st.sampled_from(["connect", *["plan", "send", "look"] * 3]),
    "nth": st.sampled_from([0, 0, 0, 1, 2, -1]),
}
_WAYS: dict[str, st.SearchStrategy[Any]] = {
    "edits": EDITS,
    "raw": RAW_EDITS,
    "recorded": st.integers(0, 60),
    "status": STATUSES,
    "headers": HEADERS,
    "wire": st.sampled_from(["short", "chunked", "gzip", "raw"]),
}
# Mostly in one way: of two at once the one that is refused at sight hides the other.
POISONS = st.one_of(
    *[st.builds(Poison, **_WHERE, edits=EDITS)] * 5,
    *(st.builds(Poison, **_WHERE, **{way: values}) for way, values in _WAYS.items()),
    st.builds(Poison, **_WHERE, edits=EDITS, recorded=_WAYS["recorded"]),
    st.builds(Poison, **_WHERE, edits=EDITS, status=STATUSES),
    st.builds(Poison, **_WHERE, **_WAYS),
)


@dataclass
class Exchange:
    """One request and how it was answered."""

    phase: str
    changes: bool
    """As the sandbox's journal says."""
    applied: bool
    request: bytes
    poisoned: bool = False
    whole: bool = True
    """False: the answer was broken below the level that the fields here describe."""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    secret: str = ""
    failure: bytes | None = None
    """gRPC: the failure in the trailers."""


class Middle(Protocol):
    """What stands between."""

    exchanges: list[Exchange]

    async def start(self) -> str:
        """The endpoint for the connector."""
        ...

    async def close(self) -> None: ...

    def begin(self, phase: str, poison: Poison | None) -> None:
        """From now on it is this phase, and one answer in it is spoilt."""
        ...


class Switch:
    """Which phase it is, and whether the next answer is the one to spoil."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.exchanges: list[Exchange] = []
        self._sandbox = sandbox
        self._phase = "connect"
        self._poison: Poison | None = None
        self._answered = 0

    def begin(self, phase: str, poison: Poison | None) -> None:
        self._phase = phase
        self._answered = 0
        if poison is not None and poison.phase != phase:
            lasts = (poison.phase, phase, poison.nth) == ("connect", "plan", -1)
            poison = poison if lasts else None
        self._poison = poison

    @contextlib.contextmanager
    def watch(self, request: bytes) -> Iterator[tuple[Exchange, Poison | None]]:
        """Around one request: the record of it, and how its answer is spoilt."""
        number, self._answered = self._answered, self._answered + 1
        poison = self._poison
        if poison is not None and poison.nth not in (-1, number):
            poison = None
        exchange = Exchange(self._phase, False, False, request, poisoned=poison is not None)
        seen = len(self._sandbox.journal())
        self.exchanges.append(exchange)
        yield exchange, poison
        for entry in self._sandbox.journal()[seen:]:
            exchange.changes = exchange.changes or entry.changes
            exchange.applied = exchange.applied or (entry.changes and entry.applied)


@contextlib.asynccontextmanager
async def patience(seconds: float = 20.0) -> AsyncIterator[None]:
    """A fuzzed call that never ends is a finding, too."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise AssertionError(f"it did not end within {seconds:g} s") from error
