"""Text from outside on one line, without what a terminal acts on. Pure."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """The text on one line, as every protocol, database and terminal takes it: what is no character
    (escape sequences, line feeds, what turns the direction of writing) is written as an escape.
    """
    if text.isprintable():
        return text
    return "".join(
        each
        if each.isprintable() or unicodedata.category(each) == "Zs"
        else each.encode("unicode_escape").decode()
        for each in text
    )
