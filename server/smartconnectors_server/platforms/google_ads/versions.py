"""How long Google serves each version of its API. Imports nothing slow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from smartconnectors_server.platforms.google_ads.options import (
    DEFAULT_VERSION,
    ApiVersion,
    GoogleAdsOptions,
)

ENDS: Mapping[ApiVersion, date] = {
    "v23": date(2027, 2, 1),
    "v24": date(2027, 5, 1),
    "v25": date(2027, 8, 1),
    "v26": date(2027, 11, 1),
}
"""The first day of the month that Google announced, tentatively, for the end of each."""

WARN_BEFORE = timedelta(days=90)


def warnings(options: GoogleAdsOptions, today: date) -> tuple[str, ...]:
    """What to say of the configured version; empty: it is served for longer than WARN_BEFORE."""
    version, ends = options.api_version, ENDS[options.api_version]
    if today < ends - WARN_BEFORE:
        return ()
    announced = f"{ends:%B %Y}"
    what = f"Google announced the end of its API {version} for {announced} (tentatively)"
    if version == DEFAULT_VERSION:
        return (f"{what}; update smart connectors, which brings a newer one",)
    return (f"{what}; set api_version = {DEFAULT_VERSION!r}, or leave it out",)
