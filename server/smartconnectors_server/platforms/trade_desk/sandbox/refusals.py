"""How the sandbox says no: a status, and The Trade Desk's error body."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """The request is refused; nothing of it was applied.

    `problems`: property of the request -> what is wrong with it.
    """

    def __init__(self, status: int, message: str, problems: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.problems = problems or {}

    def body(self) -> dict[str, Any]:
        """The error body."""
        details = [
            {"Property": name, "Reasons": [reason]} for name, reason in self.problems.items()
        ]
        return {"Message": self.message, "ErrorDetails": details}


def invalid(name: str, reason: str) -> Refused:
    """A property that is missing, unknown or wrong."""
    return Refused(400, "The request failed validation. Check your inputs.", {name: reason})
