"""How a command fails: a message that says what to do next, and an exit code."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from smartconnectors_server.cli import output


class ExitCode(enum.IntEnum):
    """What a script can tell from a command's end."""

    DONE = 0
    REFUSED = 1
    """The server refused it or failed at it, or the server itself could not start."""
    USAGE = 2
    """The command line or the settings are wrong; nothing was asked of a server."""
    UNREACHABLE = 3
    """No server answered."""


class CommandFailed(Exception):
    """Ends a command.

    Attributes:
        exit_code: see ExitCode.
        message: for a person, on standard error; what happened, then what to do.
        document: when set, printed on standard output as one line of JSON in the message's place.
    """

    def __init__(
        self, exit_code: ExitCode, message: str, *, document: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.document = document

    def print(self) -> None:
        """Says it."""
        if self.document is None:
            output.say(*self.message.split("\n"), err=True)
        else:
            output.say_json(self.document)
