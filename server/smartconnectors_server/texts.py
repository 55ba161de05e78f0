"""Text that people and other tools wrote: files and environment variables.

Editors and shells leave things behind that nobody sees: a byte order mark, a newline or a
non-breaking space at the end. Here they are taken off, and what could not be sent later is found.
"""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SecretStr

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_UNSEEN = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u00ad"
"""Characters without a width that `str.strip` leaves: they come along when a page is copied."""
_AROUND = re.compile(rf"^[\s{_UNSEEN}]+|[\s{_UNSEEN}]+$")
_DASHES = re.compile("[\u2010-\u2015\u2212\uff0d]")

NOT_FOR_A_HEADER = (
    "has a character inside that no header can carry (a space, a line break, a control character "
    "or one outside of ASCII); copy it again"
)
NOT_PRINTABLE = "has a line break or a control character inside; copy it again"


def decoded(content: bytes) -> str:
    """A file's text: UTF-8, or UTF-16 with a byte order mark, without the mark. Raises ValueError
    (UnicodeDecodeError) for what is no text.
    """
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding)
    return content.decode("utf-8")


def without_mark(content: bytes) -> bytes:
    """As UTF-8 without a byte order mark; what is no text stays as it is."""
    for mark in _MARKS:
        if content.startswith(mark):
            try:
                return decoded(content).encode()
            except ValueError:
                return content
    return content


def trimmed(text: str) -> str:
    """Without what nobody sees at either end: blanks of every kind, line breaks, zero widths."""
    return _AROUND.sub("", text)


def digits_and_dashes(text: str) -> str:
    """An account's number as pages show it: trimmed, every kind of dash an ordinary one."""
    return _DASHES.sub("-", trimmed(text))


def fits_a_header(text: str) -> bool:
    """Whether an HTTP header or gRPC metadata carries it as a credential."""
    return text.isascii() and text.isprintable() and " " not in text


def _trimmed_value(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return SecretStr(trimmed(value.get_secret_value()))
    return trimmed(value) if isinstance(value, str) else value


def _sendable(value: SecretStr) -> SecretStr:
    if not fits_a_header(value.get_secret_value()):
        raise ValueError(NOT_FOR_A_HEADER)
    return value


def _sendable_text(value: str) -> str:
    if not fits_a_header(value):
        raise ValueError(NOT_FOR_A_HEADER)
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError(NOT_PRINTABLE)
    return value


HeaderSecret = Annotated[SecretStr, BeforeValidator(_trimmed_value), AfterValidator(_sendable)]
"""A credential that goes into a header, or into a form that takes the same characters."""
HeaderText = Annotated[str, BeforeValidator(_trimmed_value), AfterValidator(_sendable_text)]
"""As `HeaderSecret`, for what is no secret."""
TrimmedSecret = Annotated[SecretStr, BeforeValidator(_trimmed_value)]
"""A secret of any characters."""
OneLine = Annotated[str, BeforeValidator(_trimmed_value), AfterValidator(_printable)]
"""An address or a name."""
