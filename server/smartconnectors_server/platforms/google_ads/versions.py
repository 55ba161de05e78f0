"""How long Google serves each version of its API. Imports nothing slow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from smartconnectors_server.connector.api_versions import end_warnings
from smartconnectors_server.platforms.google_ads.options import (
    DEFAULT_VERSION,
    GoogleAdsOptions,
)

ENDS: Mapping[str, date] = {
    "v23": date(2027, 2, 1),
    "v24": date(2027, 5, 1),
    "v25": date(2027, 8, 1),
    "v26": date(2027, 11, 1),
}
"""The first day of the month that Google announced, tentatively, for the end of each."""


def warnings(options: GoogleAdsOptions, today: date) -> tuple[str, ...]:
    """What to say of the configured version; empty: nothing."""
    return end_warnings(
        "the Google Ads API", options.api_version, ENDS, today, newest=DEFAULT_VERSION
    )
