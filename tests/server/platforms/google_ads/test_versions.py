"""A version of Google's API that is about to end is named before it does."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.cli.effective import effective
from smartconnectors_server.clock import NANOS_PER_SECOND, ManualClock
from smartconnectors_server.errors import PlatformUnavailable
from smartconnectors_server.platforms.google_ads import PLATFORM
from smartconnectors_server.platforms.google_ads.options import (
    DEFAULT_VERSION,
    ApiVersion,
    GoogleAdsOptions,
)
from smartconnectors_server.platforms.google_ads.versions import ENDS, warnings
from smartconnectors_server.settings import Settings


def clock_at(year: int, month: int, day: int) -> ManualClock:
    at = datetime(year, month, day, tzinfo=UTC)
    return ManualClock(int(at.timestamp()) * NANOS_PER_SECOND)


def settings(version: str, **server: Any) -> Settings:
    google = {"options": {"api_version": version}, "budget": {"limit": "10"}}
    return load_settings(None, {}, {"server": server, "platforms": {"google_ads": google}})


def test_the_end_of_every_version_is_known() -> None:
    assert set(ENDS) == set(get_args(ApiVersion))


@pytest.mark.parametrize(
    ("version", "today", "warned"),
    [
        ("v23", date(2026, 11, 2), False),
        ("v23", date(2026, 11, 3), True),
        ("v23", date(2027, 6, 1), True),
        ("v26", date(2027, 8, 2), False),
        ("v26", date(2027, 8, 3), True),
    ],
)
def test_a_version_is_warned_of_from_ninety_days_before_its_end(
    version: ApiVersion, today: date, warned: bool
) -> None:
    assert bool(warnings(GoogleAdsOptions(api_version=version), today)) is warned


def test_a_warning_says_when_and_what_to_do() -> None:
    (older,) = warnings(GoogleAdsOptions(api_version="v23"), date(2027, 1, 1))
    assert "version v23 of the Google Ads API ends on 2027-02-01" in older
    assert f"set api_version = '{DEFAULT_VERSION}'" in older
    (newest,) = warnings(GoogleAdsOptions(api_version=DEFAULT_VERSION), date(2027, 10, 1))
    assert "update smart connectors" in newest


def test_check_config_shows_the_warning() -> None:
    shown = dict(effective(settings("v23"), clock_at(2027, 1, 1)))
    assert "ends on 2027-02-01" in shown["platforms.google_ads.warning"]
    assert "platforms.google_ads.warning" not in dict(
        effective(settings("v26"), clock_at(2027, 1, 1))
    )


async def test_the_log_says_it_when_the_real_platform_is_connected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = asyncio.Event()

    def connector(_context: Any) -> Any:
        asked.set()
        raise PlatformUnavailable("not here")

    platform = dataclasses.replace(
        PLATFORM, connector=connector, missing_credentials=lambda _options: ()
    )
    chosen = settings("v23", state_dir=str(tmp_path), grpc_port=0, drain_pause_s=0)
    app = Application(chosen, platforms={"google_ads": platform}, clock=clock_at(2027, 1, 1))
    await app.start()
    await asyncio.wait_for(asked.wait(), 20)
    await app.stop()
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any("google_ads: version v23 of the Google Ads API ends" in line for line in said)
