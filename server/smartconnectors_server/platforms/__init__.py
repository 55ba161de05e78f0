"""Every platform, one line each."""

from __future__ import annotations

from collections.abc import Mapping

from smartconnectors_server.connector import Platform
from smartconnectors_server.platforms import google_ads, meta

PLATFORMS: Mapping[str, Platform] = {p.name: p for p in (google_ads.PLATFORM, meta.PLATFORM)}
