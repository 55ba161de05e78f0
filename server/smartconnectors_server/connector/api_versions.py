"""When versions of platforms' APIs end, and the warning before that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

WARN_DAYS = 90
"""How long before its end a version is warned of."""


def end_warning(platform: str, version: str, ends: Mapping[str, date], today: date) -> str | None:
    """What to log of the version of a platform's API that is spoken; None: nothing.

    `ends`: the announced ends, by version; a version without one is not warned of.
    """
    end = ends.get(version)
    if end is None or (end - today).days > WARN_DAYS:
        return None
    when = "ended" if end <= today else "ends"
    return (
        f"{platform}: version {version} of the API {when} on {end}; "
        f"set platforms.{platform}.options.api_version to a newer one"
    )
