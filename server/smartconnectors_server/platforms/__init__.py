"""Every platform, one line each."""

from __future__ import annotations

from collections.abc import Mapping

from smartconnectors_server.connector import Platform
from smartconnectors_server.platforms import google_ads, meta, trade_desk

PLATFORMS: Mapping[str, Platform] = {
    platform.name: platform
    for platform in (
        google_ads.PLATFORM,
        meta.PLATFORM,
        trade_desk.PLATFORM,
    )
}
