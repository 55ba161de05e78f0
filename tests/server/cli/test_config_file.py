"""`init` and `check-config`: a file that cannot drift from the settings, and what is in effect."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from smartconnectors_server.cli.config_file import meaning_of, render, render_document, section_of
from smartconnectors_server.cli.config_words import (
    EXAMPLES,
    FURTHER_LIMITS,
    LEFT_OUT,
    LIVE,
    MEANINGS,
)
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.settings import (
    FurtherLimit,
    PlatformSettings,
    Settings,
    load,
)

if TYPE_CHECKING:
    from tests.server.cli.conftest import Cli


def loaded(text: str, tmp_path: Path) -> Settings:
    path = tmp_path / "written.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environment={}, variables={})


def uncommented(text: str) -> str:
    """Every key of the file set."""
    return re.sub(r"^#(?=[\[a-z])", "", text, flags=re.MULTILINE)


def models() -> Iterator[type[BaseModel]]:
    """Every model that has keys in the file."""
    waiting: list[type[BaseModel]] = [Settings, PlatformSettings]
    while waiting:
        model = waiting.pop()
        yield model
        waiting += [one for one in map(section_of, model.model_fields.values()) if one is not None]
    for platform in PLATFORMS.values():
        yield platform.options


def paths(document: Mapping[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for key, value in document.items():
        found.add(prefix + key)
        if isinstance(value, Mapping):
            found |= paths(value, f"{prefix}{key}.")
    return found


def expected_paths(model: type[BaseModel], prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        if f"{model.__name__}.{name}" in LEFT_OUT:
            continue
        found.add(prefix + name)
        if (section := section_of(field)) is not None:
            found |= expected_paths(section, f"{prefix}{name}.")
    return found


def test_what_init_writes_loads_and_is_the_defaults(tmp_path: Path) -> None:
    settings = loaded(render(), tmp_path)
    assert settings.model_copy(update={"platforms": {}}) == Settings()
    assert set(settings.platforms) == set(PLATFORMS)
    for name, platform in PLATFORMS.items():
        values = settings.platforms[name]
        assert values.model_copy(update={"options": {}}) == PlatformSettings()
        assert platform.options.model_validate(values.options) == platform.options()


def test_every_key_is_in_the_file(tmp_path: Path) -> None:
    written = paths(tomllib.loads(uncommented(render())))
    assert expected_paths(Settings) <= written
    for name, platform in PLATFORMS.items():
        prefix = f"platforms.{name}."
        assert expected_paths(PlatformSettings, prefix) <= written
        assert {f"{prefix}options.{key}" for key in platform.options.model_fields} <= written


def test_every_example_can_be_taken_as_it_stands(tmp_path: Path) -> None:
    settings = loaded(uncommented(render()), tmp_path)
    assert settings.total_budget is not None
    for name, platform in PLATFORMS.items():
        values = settings.platforms[name]
        assert values.budget.limit == platform.defaults.budget_micros, "shows the real default"
        assert values.rate_limit.calls == platform.defaults.rate_limit_calls
        assert values.fallback.multiplier == platform.defaults.fallback_multiplier_milli
        # The placeholders for secrets are checked by the platform like any other value.
        platform.options.model_validate(values.options)


def test_every_key_says_what_it_means() -> None:
    for model in models():
        for name, field in model.model_fields.items():
            if section_of(field) is None and f"{model.__name__}.{name}" not in LEFT_OUT:
                assert meaning_of(model, name, field, absent=True).strip(), (
                    f"{model.__name__}.{name}"
                )


def test_a_further_limit_is_explained_with_all_its_keys() -> None:
    assert set(FurtherLimit.model_fields) == set(re.findall(r"`(\w+)`", FURTHER_LIMITS))


def test_no_words_are_left_over_for_keys_that_are_gone() -> None:
    known = {f"{model.__name__}.{name}" for model in models() for name in model.model_fields}
    assert set(MEANINGS) <= known
    assert set(EXAMPLES) <= known
    assert set(LEFT_OUT) <= known


def test_the_live_file_is_the_defaults_but_for_what_it_says(tmp_path: Path) -> None:
    settings = loaded(render(live=True), tmp_path)
    values = settings.platforms["google_ads"]
    assert values.mode == "shadow", "nothing is spent until somebody says live"
    assert values.circuit_breaker.slow_call_ms == 5000
    assert values.timeout_ms > values.circuit_breaker.slow_call_ms, "a slow call must be seen"
    changed = {
        key
        for key in paths(values.model_dump(exclude={"options"}))
        if _at(values, key) != _at(PlatformSettings(), key)
    }
    assert changed == set(LIVE) | {key.partition(".")[0] for key in LIVE}


def _at(model: BaseModel, key: str) -> Any:
    value: Any = model
    for name in key.split("."):
        value = getattr(value, name)
    return value


def test_nested_settings_can_be_written_without_comments() -> None:
    document = {
        "server": {"grpc_port": 0},
        "platforms": {"google_ads": {"budget": {"limit": "1.00", "campaigns": {"1001": "2"}}}},
    }
    assert tomllib.loads(render_document(document)) == document


def test_init_writes_a_file_and_does_not_replace_one(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "smart-connectors.toml"
    ended = cli("init", str(path))
    assert ended.exit_code == 0
    assert f"serve --config {path}" in ended.out
    assert path.read_text(encoding="utf-8") == render()
    assert path.stat().st_mode & 0o777 == 0o600, "it may come to hold secrets"

    path.write_text("mine")
    ended = cli("init", str(path))
    assert ended.exit_code == 2
    assert "--force" in ended.err
    assert path.read_text(encoding="utf-8") == "mine"

    assert cli("init", str(path), "--live", "--force").exit_code == 0
    assert path.read_text(encoding="utf-8") == render(live=True)


def test_init_says_when_it_cannot_write(cli: Cli, tmp_path: Path) -> None:
    ended = cli("init", str(tmp_path / "missing" / "file.toml"))
    assert ended.exit_code == 2
    assert "No such file" in ended.err


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which no platform has anything."""
    for platform in PLATFORMS.values():
        for name in (*platform.environment, platform.budget_variable, platform.endpoint_variable):
            monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_check_config_shows_what_is_in_effect_and_no_secret(
    cli: Cli, tmp_path: Path, no_variables: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[platforms.google_ads.budget]\ncampaigns = { "1001" = "12.5" }\n')
    no_variables.setenv("GOOGLE_ADS_REFRESH_TOKEN", "1//very-secret")
    no_variables.setenv("GOOGLE_ADS_CUSTOMER_ID", "123-456-7890")
    ended = cli("check-config", "--config", str(path), "--json")
    assert ended.exit_code == 0
    prefix = "platforms.google_ads."
    shown = {
        key.removeprefix(prefix): value
        for key, value in ended.document.items()
        if key.startswith(prefix)
    }
    assert shown["budget.limit"] == "$500.00", "the platform's default, which is in effect"
    assert shown["budget.campaigns.1001"] == "$12.50"
    assert shown["rate_limit.calls"] == 100
    assert shown["fallback.multiplier"] == "1"
    assert shown["options.customer_id"] == "1234567890"
    assert shown["options.refresh_token"] == "set"
    assert shown["options.client_secret"] == "–"
    assert shown["mode"] == "sandbox"
    assert "GOOGLE_ADS_CLIENT_SECRET" in shown["credentials"]
    assert "GOOGLE_ADS_REFRESH_TOKEN" not in shown["credentials"]
    for arguments in ((), ("--json",)):
        ended = cli("check-config", "--config", str(path), *arguments)
        assert "very-secret" not in ended.out + ended.err


def test_check_config_shows_platforms_that_nobody_configured(
    cli: Cli, no_variables: pytest.MonkeyPatch
) -> None:
    document = cli("check-config", "--json").document
    for name in PLATFORMS:
        assert document[f"platforms.{name}.mode"] == "sandbox"


def test_check_config_refuses_what_serve_would_not_start_with(
    cli: Cli, tmp_path: Path, no_variables: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[platforms.google_ads]\nmode = "live"\n')
    ended = cli("check-config", "--config", str(path))
    assert ended.exit_code == 2
    assert "GOOGLE_ADS_CUSTOMER_ID" in ended.err


def test_check_config_refuses_files_of_access_control_that_cannot_be_used(
    cli: Cli, tmp_path: Path
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[access]\ntokens_file = "no-such-file"\n')
    ended = cli("check-config", "--config", str(path))
    assert ended.exit_code == 2
    assert "access.tokens_file: no-such-file cannot be read" in ended.err
    path.write_text('[server.tls]\ncert_file = "no-such-file"\nkey_file = "none"\n')
    ended = cli("check-config", "--config", str(path))
    assert ended.exit_code == 2
    assert "server.tls.cert_file: no-such-file cannot be read" in ended.err


def test_check_config_lists_everything_that_is_wrong(
    cli: Cli, tmp_path: Path, no_variables: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[server]\nport = 1\n[ledger]\ngather_ms = -1\n")
    ended = cli("check-config", "--config", str(path))
    assert ended.exit_code == 2
    assert "server.port: unknown key" in ended.err
    assert "ledger.gather_ms" in ended.err
    assert "Traceback" not in ended.err


def test_check_config_says_what_every_limit_permits_a_day(
    cli: Cli, tmp_path: Path, no_variables: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        '[total_budget]\nlimit = "1000.00"\nwindow_s = 86400\n'
        '[platforms.google_ads.budget]\ncampaigns = { "1001" = "0.5" }\n'
        'further_limits = [{ limit = "300.00", calendar = "day", time_zone = "Europe/Paris" }]\n'
    )
    sentences = {
        "google_ads": [
            "$500.00 in 10 min permits $72,000.00 a day",
            "$300.00 in one calendar day (Europe/Paris) permits $300.00 a day",
        ],
        "google_ads/campaigns/1001": ["$0.50 in 10 min permits $72.00 a day"],
        "total": ["$1,000.00 in 24 h permits $1,000.00 a day"],
    }
    document = cli("check-config", "--config", str(path), "--json").document
    for budget_id, texts in sentences.items():
        told = [one["text"] for one in document["permits_a_day"] if one["budget"] == budget_id]
        assert told == texts
    assert document["at_most_a_day"]["meta"]["by"] == "total: $1,000.00 in 24 h"
    table = cli("check-config", "--config", str(path)).out
    for texts in sentences.values():
        assert all(text in table for text in texts)
