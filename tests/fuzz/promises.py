"""What holds of every error and every order to wait, whatever was answered."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from smartconnectors_server.connector import QuotaSignal
from smartconnectors_server.errors import ConnectorError, Outcome
from smartconnectors_server.interceptors.answers import store_error
from smartconnectors_server.interceptors.status import to_status
from smartconnectors_server.messages import bid_error

MOST_MESSAGE_BYTES = 1500
MOST_TRAILER_BYTES = 8 * 1024 * 3 // 4
"""gRPC's default for all metadata of an answer is 8 KiB, and binary metadata grows by a third."""
LONGEST_WAIT_S = 10.0**9


def check_error(error: ConnectorError, secrets: Iterable[str] = ()) -> None:
    """It can be told to the caller, kept in the ledger, and tells no secret."""
    texts = [error.message, error.quota_subject, *error.metadata, *error.metadata.values()]
    texts += [part for each in error.violations for part in (each.field, each.description)]
    for text in texts:
        # Raises for what no protocol and no database can carry.
        assert len(text.encode()) <= MOST_MESSAGE_BYTES, f"{len(text)} characters: {text[:80]}"
        assert "\x1b" not in text, "a terminal would obey it"
        check_no_secret(text, secrets)
    wait_s = error.retry_after_s
    assert wait_s is None or (math.isfinite(wait_s) and 0 <= wait_s <= LONGEST_WAIT_S), wait_s
    status = to_status(error)
    size = sum(len(name) + len(value) for name, value in status.trailers)
    assert size <= MOST_TRAILER_BYTES, f"{size} bytes of trailers"
    bid_error(error)
    store_error(error)


def check_unsent(error: ConnectorError, secrets: Iterable[str] = ()) -> None:
    """The same, and as only reads were made, no money is left in doubt."""
    check_error(error, secrets)
    assert error.outcome is not Outcome.UNKNOWN, "nothing was sent"


def check_no_secret(text: str, secrets: Iterable[str]) -> None:
    """Neither a secret nor a telling part of one."""
    for secret in secrets:
        if secret:
            part = secret[: max(10, len(secret) * 2 // 3)]
            assert part not in text, "a secret is told"


def check_signal(signal: QuotaSignal, secrets: Iterable[str] = ()) -> None:
    """An order that our own limits can follow."""
    assert math.isfinite(signal.retry_after_s), signal
    assert 0 <= signal.retry_after_s <= LONGEST_WAIT_S, signal
    percent = signal.usage_percent
    assert percent is None or (math.isfinite(percent) and percent >= 0), signal
    check_no_secret(signal.detail, secrets)


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = logging.Formatter().format(record)
        self.lines.append(line)
        # What libraries write of bytes that they cannot parse is no word of ours.
        ours = not record.name.startswith(("grpc", "aiohttp"))
        if record.levelno >= logging.ERROR and ours:
            self.errors.append(line)


@contextmanager
def logs() -> Iterator[_Keeper]:
    """Keeps what is logged meanwhile, and shows none of it."""
    root, keeper = logging.getLogger(), _Keeper()
    before = root.handlers[:]
    root.handlers[:] = [keeper]
    try:
        yield keeper
    finally:
        root.handlers[:] = before
