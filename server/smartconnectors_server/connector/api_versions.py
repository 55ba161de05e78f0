"""When versions of platforms' APIs end, and the warning before that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

WARN_BEFORE = timedelta(days=90)


def end_warnings(
    api: str, version: str, ends: Mapping[str, date], today: date, *, newest: str
) -> tuple[str, ...]:
    """What to say of the configured version; empty: it is served for longer than WARN_BEFORE, or
    its end is not announced.

    `api`: whose it is, as in "the Graph API". `ends`: the announced end of each version. `newest`:
    the newest version that this server speaks.
    """
    end = ends.get(version)
    if end is None or today < end - WARN_BEFORE:
        return ()
    what = f"version {version} of {api} {'ended' if end <= today else 'ends'} on {end}"
    if version == newest:
        return (f"{what}; update smart connectors, which brings a newer one",)
    return (f"{what}; set api_version = {newest!r}, or leave it out",)
