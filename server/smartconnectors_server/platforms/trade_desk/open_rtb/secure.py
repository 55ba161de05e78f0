"""Whether an ad loads anything over plain http, as a secure impression does not allow. Pure.

Only what is loaded counts. Names (`xmlns`, a document type), links (`href` of `a` and `area`), text
to be read, and the ad's own landing pages are not loaded. An address is found in any case and
through the escapes of HTML, JavaScript, CSS and URLs. In doubt it counts as loaded: that costs an
auction and no money.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from html.parser import HTMLParser
from urllib.parse import unquote

_PLAIN = re.compile(r"(?<![a-z0-9+.-])(?:http|ws|ftp):[\\/]", re.IGNORECASE)
_ESCAPE = re.compile(
    r"\\u\{?([0-9a-f]{1,6})\}?|\\x([0-9a-f]{2})|\\([0-9a-f]{1,6})[ ]?|\\([/:])", re.IGNORECASE
)
_BLANKS = re.compile(r"[\t\r\n]")
"""What browsers leave out of an address."""
_LARGEST_CHARACTER = 0x10FFFF
_MOST_ROUNDS = 4
_LINKS = frozenset({("a", "href"), ("a", "xlink:href"), ("area", "href")})
_RUNS = frozenset({"script", "style", "textarea", "template", "xmp", "noembed", "noframes"})
"""Elements whose text may be more than something to read."""
_QUOTE = r"""(?:["'`]|%22|%27|&quot;|&#3[49];)"""
_NAMES = re.compile(
    rf"""{_QUOTE}http://www\.w3\.org/(?:2000/svg|1999/xlink|1999/xhtml|1998/Math/MathML|"""
    rf"""XML/1998/namespace|2000/xmlns/|2001/XMLSchema(?:-instance)?)\\?{_QUOTE}""",
    re.IGNORECASE,
)
"""Namespaces in scripts (`createElementNS`) and in images that are written as `data:`."""


def is_plain_http(address: str) -> bool:
    """True when the address, or one inside of it, is plain http."""
    return any(_PLAIN.search(_NAMES.sub("", form)) for form in _forms(address))


@lru_cache(maxsize=1024)
def loads_plain_http(markup: str, landing_pages: tuple[str, ...] = ()) -> bool:
    """True when this HTML loads anything over plain http."""
    reader = _Reader(landing_pages)
    reader.feed(markup)
    rest = reader.rawdata  # a tag that is not closed, which browsers close
    reader.close()
    return reader.found or is_plain_http(rest)


class _Reader(HTMLParser):
    """Reads every attribute and every text that may be loaded."""

    def __init__(self, landing_pages: tuple[str, ...]) -> None:
        super().__init__(convert_charrefs=True)
        self.found = False
        self._open: list[str] = []
        pages = "|".join(re.escape(page) for page in landing_pages if page)
        self._landing = re.compile(rf"""(?:{pages})(?=["'`\s]|$)""") if pages else None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _RUNS:
            self._open.append(tag)
        for name, value in attrs:
            self._look_at(tag, name, value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            self._open.remove(tag)

    def handle_data(self, data: str) -> None:
        if self._open:
            self._look(data)

    def handle_comment(self, data: str) -> None:
        self._look(data)  # some are conditions, and what they contain is loaded

    def unknown_decl(self, data: str) -> None:
        self._look(data)

    def _look_at(self, tag: str, name: str, value: str) -> None:
        if name == "xmlns" or name.startswith("xmlns:") or name == "xsi:schemalocation":
            return
        if name.startswith("on"):
            self._look(value)
        elif (tag, name) not in _LINKS or value.lstrip().lower().startswith("javascript:"):
            self.found = self.found or is_plain_http(value) or _starts_plain(value)

    def _look(self, program: str) -> None:
        """A script, a style, or what may become one."""
        for form in _forms(program):
            kept = _NAMES.sub("", form)
            if self._landing is not None:
                kept = self._landing.sub("", kept)
            self.found = self.found or _PLAIN.search(kept) is not None


def _starts_plain(value: str) -> bool:
    """`http:host` is an address as well, where nothing else is in front of it."""
    return any(form.strip().lower().startswith("http:") for form in _forms(value))


def _forms(text: str) -> list[str]:
    """The text, and what is left of it as its escapes are taken away, layer by layer."""
    forms = [_BLANKS.sub("", text)]
    for _ in range(_MOST_ROUNDS):
        plain = unquote(html.unescape(forms[-1]), errors="replace")
        plain = _BLANKS.sub("", _ESCAPE.sub(_unescaped, plain))
        if plain == forms[-1]:
            break
        forms.append(plain)
    return forms


def _unescaped(match: re.Match[str]) -> str:
    digits = match[1] or match[2] or match[3]
    if digits is None:
        return match[4]
    number = int(digits, 16)
    return chr(number) if 0 < number <= _LARGEST_CHARACTER else ""
