"""`[alerts]`: names, secrets from the environment or from files, and what is shown of them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from tests.server.alerts.receiver import SECRET

from smartconnectors_server.alert_settings import KindName
from smartconnectors_server.app import load_settings
from smartconnectors_server.cli.effective import effective
from smartconnectors_server.ledger import AlertKind
from smartconnectors_server.settings import SettingsError

URL = "https://example.com/do-not-show-me"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file that names a webhook and keeps its secrets elsewhere."""
    path = tmp_path / "serve.toml"
    path.write_text('[alerts.webhooks.on-call]\nkinds = ["budget_exhausted"]\n')
    return path


def test_the_kinds_that_can_be_asked_for_are_those_that_there_are() -> None:
    assert list(get_args(KindName)) == [kind.value for kind in AlertKind]


def test_an_address_and_a_secret_come_from_the_environment_or_from_files(
    config: Path, tmp_path: Path
) -> None:
    mounted = tmp_path / "secret"
    mounted.write_text(f"{SECRET}\n")
    stem = "SMART_CONNECTORS_WEBHOOK_ON_CALL"
    settings = load_settings(config, {f"{stem}_URL": URL, f"{stem}_SECRET_FILE": str(mounted)})
    webhook = settings.alerts.webhooks["on-call"]
    assert webhook.url.get_secret_value() == URL
    assert webhook.secret.get_secret_value() == SECRET
    assert "do-not-show-me" not in repr(settings)


def test_check_config_shows_that_they_are_set_and_no_more(config: Path) -> None:
    stem = "SMART_CONNECTORS_WEBHOOK_ON_CALL"
    shown = dict(effective(load_settings(config, {f"{stem}_URL": URL, f"{stem}_SECRET": SECRET})))
    assert shown["alerts.webhooks.on-call.url"] == "set"
    assert shown["alerts.webhooks.on-call.secret"] == "set"
    assert "do-not-show-me" not in str(shown)


def test_what_is_missing_is_said_without_what_is_there(config: Path) -> None:
    stem = "SMART_CONNECTORS_WEBHOOK_ON_CALL"
    with pytest.raises(SettingsError) as caught:
        load_settings(config, {f"{stem}_URL": "do-not-show-me"})
    assert "alerts.webhooks.on-call.url: " in str(caught.value)
    assert "do-not-show-me" not in str(caught.value)


def test_the_log_s_name_is_taken(tmp_path: Path) -> None:
    webhook = {"url": URL, "format": "slack"}
    with pytest.raises(SettingsError, match="the name of the log"):
        load_settings(None, {}, {"alerts": {"webhooks": {"log": webhook}}})
