"""Takes secrets out of what a platform says: some repeat what they were sent, as it was or as their
logs have it. Pure.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
_SHORTEST_CODE = 8
"""Of base64, fewer letters than this stand in any text."""


def hidden(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets: as they are, in URLs, in hexadecimal and in base64. Empty ones
    are passed over.
    """
    for secret in secrets:
        for form in _forms(secret) if secret else ():
            text = text.replace(form, HIDDEN)
    return text


@lru_cache(maxsize=64)
def _forms(secret: str) -> tuple[str, ...]:
    """How a secret may be written, the longest first, so that no rest of one remains."""
    raw = secret.encode(errors="replace")
    forms = {secret, quote(raw), quote(raw, safe=""), quote_plus(raw), raw.hex()}
    for before in range(3):
        code = base64.b64encode(b"\0" * before + raw).decode()
        # What is beside the secret has a part in the letters at its edges.
        inner = code[4 if before else 0 : -4]
        if len(inner) >= _SHORTEST_CODE:
            forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return tuple(sorted(forms, key=len, reverse=True))
