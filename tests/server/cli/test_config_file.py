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


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('[server]\nhost = "0.0.0.0"\n', "0.0.0.0 can be reached"),
        ("[server]\ngrpc_port = 8080\n", "server.grpc_port and http.port are both 8080"),
        ('[http]\nhost = "0.0.0.0"\ninsecure = true\nport = 50051\n', "are both 50051"),
        ('[access]\ntokens_file = "no-such-file"\n', "access.tokens_file"),
        ('[access.certificates."dns:a"]\nrole = "read"\n', "access.certificates"),
        ('[server.tls]\ncert_file = "none"\nkey_file = "none"\n', "server.tls.cert_file"),
        ('[privacy]\nsite_key_file = "none"\n', "the site key none cannot be used"),
        ('[platforms.meta]\nmode = "live"\n', "META_ACCESS_TOKEN"),
        (
            '[total_budget]\nlimit = "1.00"\n[platforms.meta.budget]\ncurrency = "EUR"\n',
            "total_budget",
        ),
        ('[platforms.meta.budget]\nfurther_limits = [{ limit = "1.00" }]\n', "further limit"),
    ],
)
def test_check_config_and_serve_refuse_the_same(
    cli: Cli, tmp_path: Path, no_variables: pytest.MonkeyPatch, text: str, names: str
) -> None:
    no_variables.chdir(tmp_path)
    path = tmp_path / "settings.toml"
    path.write_text(text)
    checked, served = (cli(command, "--config", str(path)) for command in ("check-config", "serve"))
    for ended in (checked, served):
        assert ended.exit_code != 0
        assert names in ended.err
        assert "Traceback" not in ended.err
    assert not (tmp_path / "state").exists()


def test_check_config_names_everything_that_serve_would_not_start_with(
    cli: Cli, tmp_path: Path, no_variables: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        '[server]\nhost = "0.0.0.0"\ngrpc_port = 8080\n[privacy]\nsite_key_file = "x"\n'
    )
    ended = cli("check-config", "--config", str(path))
    assert ended.exit_code == 2
    for names in ("0.0.0.0", "both 8080", "site key"):
        assert names in ended.err


def test_check_config_says_where_no_ledger_can_be_kept(
    cli: Cli, tmp_path: Path, no_variables: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for state_dir in ("file", "file/below"):
        path = tmp_path / "settings.toml"
        path.write_text(f'[server]\nstate_dir = "{tmp_path / state_dir}"\n')
        ended = cli("check-config", "--config", str(path))
        assert ended.exit_code == 2
        assert "server.state_dir" in ended.err
        assert "is not a directory" in ended.err


def test_a_platform_that_is_not_served_keeps_nothing_from_starting(
    cli: Cli, tmp_path: Path, no_variables: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[platforms.meta]\nenabled = false\nmode = "live"\n')
    ended = cli("check-config", "--config", str(path), "--json")
    assert ended.exit_code == 0
    assert ended.document["platforms.meta.enabled"] is False


def test_check_config_shows_what_counts_where_a_key_is_absent(
    cli: Cli, tmp_path: Path, no_variables: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[platforms.google_ads]\nmode = "shadow"\nendpoint = "127.0.0.1:1"\n')
    shown = cli("check-config", "--config", str(path), "--json").document
    careful, sandbox = "platforms.google_ads.", "platforms.meta."
    expected = {
        f"{careful}check_account": True,
        f"{careful}min_change_percent": 5.0,
        f"{careful}min_interval_s": 900.0,
        f"{careful}max_step_percent": 30.0,
        f"{careful}rate_limit.burst": 100,
        f"{careful}rate_limit.reserve_percent": 10.0,
        f"{careful}reported_spend.enabled": True,
        f"{careful}endpoint": "127.0.0.1:1",
        f"{sandbox}check_account": False,
        f"{sandbox}min_change_percent": 0.0,
        f"{sandbox}max_step_percent": "–",
        f"{sandbox}rate_limit.reserve_percent": 0.0,
        f"{sandbox}reported_spend.enabled": False,
        f"{sandbox}endpoint": "a sandbox of its own",
        f"{sandbox}options.ad_account_id": "the sandbox's own",
        "platforms.google_ads.options.max_shared_campaigns": "any number",
        "reconciler.quiet_period_s.google_ads": 10.0,
        "privacy.site_key_file": "state/site.key",
        "server.reflection": True,
    }
    assert {key: shown[key] for key in expected} == expected
    assert isinstance(shown["server.max_connections"], int)


NOT_SET = {
    # In the place of none of these anything counts.
    "access",
    "total_budget",
    "server.tls",
    "server.failpoint",
}


def test_check_config_shows_a_dash_only_where_nothing_counts(
    cli: Cli, no_variables: pytest.MonkeyPatch
) -> None:
    shown = cli("check-config", "--json").document
    dashes = {key for key, value in shown.items() if value == "–"}
    effective = {
        "check_account", "min_change_percent", "min_interval_s", "reserve_percent", "burst",
        "calls", "window_s", "multiplier", "enabled", "endpoint", "mode", "quiet_period_s",
        "max_connections", "site_key_file", "host", "max_shared_campaigns",
    }  # fmt: skip
    assert dashes >= NOT_SET
    assert not {key for key in dashes if key.rpartition(".")[2] in effective}
