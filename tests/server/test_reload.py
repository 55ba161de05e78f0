"""What differs between two configurations, what of it can be reloaded, and what is said of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_origin

import pytest
from pydantic import BaseModel

from smartconnectors_server.alert_settings import WebhookSettings
from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.cli.config_file import section_of
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.reload import NEEDS_RESTART, RELOADABLE, changes_between, matches, say
from smartconnectors_server.settings import PlatformSettings, Settings

SECRET = "planted-and-not-to-be-shown"


def keys_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key that settings can have; a name that the user chooses is `any`."""
    for name, field in model.model_fields.items():
        here = (*path, name)
        if here == ("platforms",):
            yield from keys_of(PlatformSettings, (*here, "any"))
        elif here == ("alerts", "webhooks"):
            yield from keys_of(WebhookSettings, (*here, "any"))
        elif (section := section_of(field)) is not None:
            yield from keys_of(section, here)
        elif get_origin(field.annotation) is Mapping:
            yield (*here, "any")
        else:
            yield here


def test_of_every_key_it_is_said_once_whether_it_can_be_reloaded() -> None:
    patterns = [*RELOADABLE, *NEEDS_RESTART]
    for key in keys_of(Settings):
        assert sum(matches(key, one) for one in patterns) == 1, (
            f"{'.'.join(key)}: put it into RELOADABLE, with its effect in the test of that, or "
            "into NEEDS_RESTART, with the reason"
        )


def test_nothing_is_said_of_keys_that_are_gone() -> None:
    keys = list(keys_of(Settings))
    for pattern in (*RELOADABLE, *NEEDS_RESTART):
        assert any(matches(key, pattern) for key in keys), pattern


def settings(**document: Any) -> Settings:
    return load_settings(None, {}, document)


def named(before: Settings, after: Settings) -> dict[str, bool]:
    return {one.name: one.reloadable for one in changes_between(before, after, PLATFORMS)}


def test_a_platform_that_is_named_with_its_defaults_is_no_change() -> None:
    after = settings(platforms={"google_ads": {"budget": {"limit": "500"}, "rate_limit": {}}})
    assert named(settings(), after) == {}


def test_a_campaign_s_limit_can_be_changed_but_not_added() -> None:
    def with_campaigns(**campaigns: str) -> Settings:
        return settings(platforms={"meta": {"budget": {"campaigns": campaigns}}})

    key = "platforms.meta.budget.campaigns."
    assert named(with_campaigns(a="1"), with_campaigns(a="2")) == {f"{key}a": True}
    assert named(with_campaigns(a="1"), with_campaigns(a="1", b="2")) == {f"{key}b": False}
    assert named(with_campaigns(a="1"), with_campaigns()) == {f"{key}a": False}


def test_a_webhook_can_be_changed_but_not_added_and_its_secrets_are_stars(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def with_webhook(token: str, **more: str) -> Settings:
        one = {"format": "slack", "url": f"https://example.com/{token}"}
        return settings(alerts={"webhooks": {"a": one, **dict.fromkeys(more, one)}})

    caplog.set_level(logging.INFO)
    before, after = with_webhook("old"), with_webhook(SECRET)
    assert named(before, after) == {"alerts.webhooks.a.url": True}
    say(changes_between(before, after, PLATFORMS), after)
    assert "alerts.webhooks.a.url: ********** -> **********" in caplog.text
    assert not any(named(before, with_webhook("old", b="")).values())


def test_a_total_budget_cannot_be_added() -> None:
    found = named(settings(), settings(total_budget={"limit": "1000"}))
    assert found["total_budget.limit"] is False


def test_each_change_is_logged_with_both_values(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    after = settings(
        platforms={
            "google_ads": {
                "budget": {"limit": "600.00"},
                "fallback": {"multiplier": "0.75"},
                "max_step_percent": 30,
            }
        }
    )
    say(changes_between(settings(), after, PLATFORMS), after)
    prefix = "configuration reload: platforms.google_ads."
    assert caplog.messages == [
        f"{prefix}budget.limit: $500.00 -> $600.00",
        f"{prefix}fallback.multiplier: 1 -> 0.75",
        f"{prefix}max_step_percent: absent -> 30.0",
        "configuration reload: 3 keys have changed",
    ]


@pytest.fixture
async def application(tmp_path: Path, clock: ManualClock) -> Application:
    return Application(in_state(tmp_path), clock=clock)


def in_state(tmp_path: Path, **platforms: Any) -> Settings:
    return settings(server={"state_dir": str(tmp_path), "grpc_port": 0}, platforms=platforms)


async def test_a_changed_secret_is_named_and_not_shown(
    application: Application, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    after = in_state(tmp_path, google_ads={"options": {"refresh_token": SECRET}})
    await application.core.reloader.reload(lambda: after)
    assert "platforms.google_ads.options.refresh_token" in caplog.text
    assert SECRET not in caplog.text


async def test_a_broken_file_changes_nothing_and_says_what_is_wrong(
    application: Application, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = application.core.engines.settings
    path = tmp_path / "broken.toml"
    path.write_text(
        f'[platforms.google_ads.options]\nrefresh_tokn = "{SECRET}"\n[server]\nport=1\n'
    )
    await application.core.reloader.reload(lambda: load_settings(path, {}))
    assert application.core.engines.settings is before
    assert "refused, nothing has changed" in caplog.text
    assert "server.port: unknown key" in caplog.text
    assert SECRET not in caplog.text
