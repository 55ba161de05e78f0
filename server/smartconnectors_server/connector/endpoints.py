"""What the text of an endpoint says: `host:port`, or a URL. Pure."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

_PORTS = {"http": 80, "https": 443}


def _parts(endpoint: str) -> SplitResult:
    return urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")


def host_of(endpoint: str) -> str:
    """The host in lower case, without the dot that may end it; empty: it has none."""
    try:
        return (_parts(endpoint).hostname or "").rstrip(".")
    except ValueError:
        return ""


def same_place(one: str, other: str) -> bool:
    """Whether both name the same host and port. False when either cannot be read."""
    try:
        places = [
            (host_of(each), _parts(each).port or _PORTS.get(_parts(each).scheme))
            for each in (one, other)
        ]
    except ValueError:
        return False
    return places[0] == places[1] and bool(places[0][0])
