"""Settings: everything that is wrong is named, and nothing that is wrong is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.assembly import load_settings
from smartconnectors_server.settings import Settings, SettingsError, load

BUDGET = {"GOOGLE_ADS_BUDGET": ("platforms", "google_ads", "budget", "limit")}
TOKEN = {"GOOGLE_ADS_REFRESH_TOKEN": ("platforms", "google_ads", "options", "refresh_token")}

Load = Callable[[str], Settings]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Loads a file with the given text, without any environment."""

    def loaded(text: str) -> Settings:
        path = tmp_path / "settings.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, environment={}, variables={})

    return loaded


def load_given(overrides: Mapping[str, Any]) -> Settings:
    return load(environment={}, variables={}, overrides=overrides)


def test_without_file_and_environment_everything_has_a_default() -> None:
    assert load(environment={}, variables=BUDGET) == Settings()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[server]\ngrcp_port = 1", "server.grcp_port"),
        ("[serve]\ngrpc_port = 1", "serve"),
        ('[platforms.google_ads.budget]\nlimits = "1.00"', "platforms.google_ads.budget.limits"),
        ("[platforms.google_ads.circuit_breaker]\nslow_ms = 1", "circuit_breaker.slow_ms"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_it(load_text: Load, text: str, key: str) -> None:
    with pytest.raises(SettingsError, match=rf"{key}: unknown key"):
        load_text(text)


def test_every_mistake_is_told_at_once(load_text: Load) -> None:
    text = '[server]\nport = 1\n[ledger]\ngather_ms = -1\n[total_budget]\nlimit = "x"'
    with pytest.raises(SettingsError) as caught:
        load_text(text)
    named = {line.partition(":")[0] for line in str(caught.value).splitlines()}
    assert named == {"server.port", "ledger.gather_ms", "total_budget.limit"}


@given(micros=st.integers(0, 10**15))
def test_an_amount_in_the_environment_is_taken_to_the_micro(micros: int) -> None:
    text = str(Decimal(micros).scaleb(-6))
    settings = load(environment={"GOOGLE_ADS_BUDGET": text}, variables=BUDGET)
    assert settings.platforms["google_ads"].budget.limit == micros


@pytest.mark.parametrize(
    "text", ["0.0000001", "1e400", "-1", "NaN", "Infinity", "1,000.00", "$5", "1000000000.01", " "]
)
def test_an_amount_that_is_not_exact_or_not_sane_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"platforms\.google_ads\.budget\.limit"):
        load(environment={"GOOGLE_ADS_BUDGET": text}, variables=BUDGET)


def test_an_empty_variable_counts_as_absent() -> None:
    assert load(environment={"GOOGLE_ADS_BUDGET": ""}, variables=BUDGET) == Settings()


@pytest.mark.parametrize("value", [500.1, 500.0, True, None, [500]])
def test_only_exact_forms_are_taken_as_an_amount(value: Any) -> None:
    with pytest.raises(SettingsError, match=r"total_budget\.limit"):
        load_given({"total_budget": {"limit": value}})


def test_a_file_decimal_is_read_as_what_it_says_and_never_as_a_float(load_text: Load) -> None:
    settings = load_text("[total_budget]\nlimit = 0.1")
    assert settings.total_budget is not None
    assert settings.total_budget.limit == 100_000


def test_a_message_never_repeats_a_value_because_it_may_be_a_secret() -> None:
    # A secret in the wrong place.
    secret = "hunter2-do-not-print"
    for overrides in (
        {"platforms": {"google_ads": {"options": secret}}},
        {"server": {"grpc_port": secret}},
        {"platforms": {"google_ads": {"mode": secret}}},
        {"server": {"token": secret}},
        {"total_budget": {"limit": secret}},
        {"total_budget": {"limit": "1.00", "currency": secret}},
    ):
        with pytest.raises(SettingsError) as caught:
            load_given(overrides)
        assert secret not in str(caught.value)
        assert secret not in repr(caught.value.__cause__)


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[platforms.google_ads.budget]\nlimit = "1.00"\nwindow_s = 60\n')
    environment = {"GOOGLE_ADS_BUDGET": "2.00"}

    from_file = load(path, environment={}, variables=BUDGET)
    from_environment = load(path, environment=environment, variables=BUDGET)
    from_command_line = load(
        path,
        environment=environment,
        variables=BUDGET,
        overrides={"platforms": {"google_ads": {"budget": {"limit": "3.00"}}}},
    )

    budgets = [
        settings.platforms["google_ads"].budget
        for settings in (from_file, from_environment, from_command_line)
    ]
    assert [budget.limit for budget in budgets] == [1_000_000, 2_000_000, 3_000_000]
    assert {budget.window_s for budget in budgets} == {60.0}, "the rest of the section stays"


def test_a_variable_reaches_the_platform_options_as_the_text_it_is() -> None:
    settings = load(environment={"GOOGLE_ADS_REFRESH_TOKEN": "1//0e"}, variables=TOKEN)
    assert settings.platforms["google_ads"].options == {"refresh_token": "1//0e"}


def test_a_currency_that_iso_4217_does_not_know_is_refused(load_text: Load) -> None:
    with pytest.raises(SettingsError, match=r"total_budget\.currency"):
        load_text('[total_budget]\nlimit = "1.00"\ncurrency = "XXQ"')


@pytest.mark.parametrize("multiplier", ["0", "-1", "0.0001", "101", "x"])
def test_a_multiplier_outside_its_bounds_or_too_fine_is_refused(
    load_text: Load, multiplier: str
) -> None:
    with pytest.raises(SettingsError, match=r"fallback\.multiplier"):
        load_text(f'[platforms.x.fallback]\nmultiplier = "{multiplier}"')


def test_a_multiplier_is_kept_in_exact_thousandths(load_text: Load) -> None:
    settings = load_text('[platforms.x.fallback]\nmultiplier = "0.75"')
    assert settings.platforms["x"].fallback.multiplier == 750


def test_a_file_that_is_missing_or_not_toml_says_so_with_its_path(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    with pytest.raises(SettingsError, match=r"missing\.toml: cannot be read"):
        load(missing, environment={}, variables={})
    broken = tmp_path / "broken.toml"
    broken.write_text("[server")
    with pytest.raises(SettingsError, match=r"broken\.toml: not TOML"):
        load(broken, environment={}, variables={})
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"binary\.toml: not TOML"):
        load(binary, environment={}, variables={})


def test_settings_cannot_be_changed_once_they_are_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().server.grpc_port = 1  # type: ignore[misc]


def test_a_variable_may_name_the_file_that_has_its_value(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("EAAB-token\n")
    found = load_settings(None, {"META_ACCESS_TOKEN_FILE": str(secret)})
    assert found.platforms["meta"].options["access_token"] == "EAAB-token"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"META_ACCESS_TOKEN_FILE": "/nowhere/token"}, "META_ACCESS_TOKEN_FILE: the file"),
        (
            {"META_ACCESS_TOKEN_FILE": "/nowhere/token", "META_ACCESS_TOKEN": "EAAB"},
            "META_ACCESS_TOKEN and META_ACCESS_TOKEN_FILE are both set",
        ),
    ],
)
def test_a_file_of_a_variable_that_cannot_be_used_is_refused_by_its_name(
    environment: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        load_settings(None, environment)
    assert "EAAB" not in str(caught.value)
