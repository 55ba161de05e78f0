"""What aiohttp logs of requests that it cannot take: a line without what was sent, not for each."""

from __future__ import annotations

import logging
import sys
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError

from smartconnectors_server.clock import Clock
from smartconnectors_server.telemetry import Lasting


class QuietLog:
    """In the place of aiohttp's logger. A client's mistake is one line at most each minute; our own
    is one line with its traceback, then a count.
    """

    def __init__(self, log: logging.Logger, clock: Clock) -> None:
        self._log = log
        self._lasting = Lasting(log, clock)

    def exception(self, _message: str, *_values: Any, exc_info: Any = None, **_more: Any) -> None:
        """Called by aiohttp when a request failed."""
        error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
        if error is None or isinstance(error, HttpProcessingError | OSError):
            kind = type(error).__name__
            self._lasting.say(("request", kind), "an HTTP request could not be read: %s", kind)
            return
        self._lasting.say(
            ("failed", type(error).__name__),
            "an HTTP request failed",
            level=logging.ERROR,
            error=error,
        )

    error = exception

    def debug(self, *_values: Any, **_more: Any) -> None:
        """Nothing: clients hang up all the time."""

    info = warning = debug
