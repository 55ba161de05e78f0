"""From settings to parts: modes, budgets, quiet periods, and what is refused with which words."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from smartconnectors_server.assembly import (
    accounts_of,
    binding_of,
    budgets_of,
    load_settings,
    mode_of,
    quiet_period_s,
    reserve_percent_of,
    settings_of,
    variables_of,
)
from smartconnectors_server.connector import Mode
from smartconnectors_server.ledger import Binding, CalendarWindow, Limit, SlidingWindow
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.settings import Settings, SettingsError
from smartconnectors_server.startup import StartupError

GOOGLE = PLATFORMS["google_ads"]
CREDENTIALS = {
    "GOOGLE_ADS_CUSTOMER_ID": "123-456-7890",
    "GOOGLE_ADS_REFRESH_TOKEN": "refresh",
    "GOOGLE_ADS_CLIENT_ID": "client",
    "GOOGLE_ADS_CLIENT_SECRET": "secret",
}


def settings(environment: dict[str, str] | None = None, **platform: Any) -> Settings:
    document = {"platforms": {"google_ads": platform}} if platform else {}
    return load_settings(None, environment or {}, document)


def test_without_credentials_the_mode_is_sandbox() -> None:
    assert mode_of(GOOGLE, settings()) is Mode.SANDBOX


def test_credentials_alone_never_spend() -> None:
    assert mode_of(GOOGLE, settings(CREDENTIALS)) is Mode.SHADOW


def test_live_has_to_be_said() -> None:
    assert mode_of(GOOGLE, settings(CREDENTIALS, mode="live")) is Mode.LIVE


def test_an_endpoint_counts_as_a_sandbox_whatever_the_credentials() -> None:
    environment = {**CREDENTIALS, "GOOGLE_ADS_ENDPOINT": "127.0.0.1:9"}
    assert mode_of(GOOGLE, settings(environment)) is Mode.SANDBOX


@pytest.mark.parametrize("mode", ["sandbox", "shadow", "live"])
def test_a_mode_that_is_said_holds_at_an_endpoint_of_ones_own_and_needs_no_credentials(
    mode: str,
) -> None:
    environment = {"GOOGLE_ADS_ENDPOINT": "127.0.0.1:9"}
    assert mode_of(GOOGLE, settings(environment, mode=mode)) is Mode(mode)


@pytest.mark.parametrize("mode", ["shadow", "live"])
@pytest.mark.parametrize("missing", CREDENTIALS)
def test_a_mode_without_the_credentials_for_it_names_what_is_missing(
    mode: str, missing: str
) -> None:
    environment = {key: value for key, value in CREDENTIALS.items() if key != missing}
    with pytest.raises(StartupError, match=missing) as caught:
        mode_of(GOOGLE, settings(environment, mode=mode))
    for value in CREDENTIALS.values():
        assert value not in str(caught.value)


def test_every_platform_says_its_variables_and_they_are_read_exactly() -> None:
    assert variables_of(PLATFORMS)["GOOGLE_ADS_BUDGET"] == (
        *("platforms", "google_ads", "budget", "limit"),
    )
    read = settings({"GOOGLE_ADS_BUDGET": "750.10"})
    assert read.platforms["google_ads"].budget.limit == 750_100_000


def test_a_platform_without_settings_has_its_default_budget() -> None:
    budgets = budgets_of(PLATFORMS, settings())
    assert {budget.budget_id: budget.limits for budget in budgets} == {
        "google_ads": (Limit(500_000_000, SlidingWindow(600.0)),),
        "meta": (Limit(400_000_000, SlidingWindow(600.0)),),
        "trade_desk": (Limit(600_000_000, SlidingWindow(600.0)),),
    }
    assert {budget.currency_code for budget in budgets} == {"USD"}


def test_campaigns_further_limits_and_the_total_are_budgets_of_their_own() -> None:
    read = load_settings(
        None,
        {},
        {
            "total_budget": {"limit": "900"},
            "platforms": {
                "google_ads": {
                    "budget": {
                        "limit": "100",
                        "window_s": 60,
                        "campaigns": {"1001": "20"},
                        "further_limits": [
                            {"limit": "500", "calendar": "day", "time_zone": "Europe/Berlin"}
                        ],
                    }
                }
            },
        },
    )
    google, campaign, *_, total = budgets_of(PLATFORMS, read)
    assert [limit.limit_micros for limit in google.limits] == [100_000_000, 500_000_000]
    assert google.limits[1].window == CalendarWindow("day", "Europe/Berlin")
    assert (campaign.budget_id, campaign.limits[0].limit_micros) == (
        "google_ads/campaigns/1001",
        20_000_000,
    )
    assert campaign.limits[0].window == SlidingWindow(60.0)
    assert (total.budget_id, total.limits[0].limit_micros) == ("total", 900_000_000)


@pytest.mark.parametrize(
    "limit", [{"limit": "1"}, {"limit": "1", "calendar": "day", "window_s": 9}]
)
def test_a_further_limit_has_one_window(limit: dict[str, Any]) -> None:
    read = settings(budget={"limit": "1", "further_limits": [limit]})
    with pytest.raises(StartupError, match="exactly one of window_s and calendar"):
        budgets_of(PLATFORMS, read)


def test_a_total_has_one_currency() -> None:
    read = load_settings(
        None,
        {},
        {
            "total_budget": {"limit": "1", "currency": "EUR"},
            "platforms": {"google_ads": {"budget": {"limit": "1"}}},
        },
    )
    with pytest.raises(StartupError, match="a total has one currency"):
        budgets_of(PLATFORMS, read)


def test_the_quiet_period_is_twice_the_timeout_and_never_less() -> None:
    assert quiet_period_s(settings(timeout_ms=300), "google_ads") == 0.6
    with pytest.raises(SettingsError, match=r"reconciler\.quiet_period_s: at least 0\.6"):
        load_settings(
            None,
            {},
            {
                "reconciler": {"quiet_period_s": 0.5},
                "platforms": {"google_ads": {"timeout_ms": 300}},
            },
        )


def test_the_quiet_period_is_checked_for_a_platform_without_settings_too() -> None:
    """Its timeout is the default of five seconds."""
    with pytest.raises(SettingsError, match=r"reconciler\.quiet_period_s: at least 10"):
        load_settings(None, {}, {"reconciler": {"quiet_period_s": 1}})


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        '[ledger]\nkind = "paper"\n[platforms.nobody]\nmode = "live"\n'
        '[platforms.google_ads.options]\ncustomer_id = "12"\nmisspelt = 1\n'
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(config, {})
    said = str(caught.value)
    assert "ledger.kind: one of sqlite" in said
    assert "platforms.nobody: no such platform; there are: google_ads" in said
    assert "platforms.google_ads.options.customer_id" in said
    assert "platforms.google_ads.options.misspelt: unknown key" in said
    assert len(said.splitlines()) == 4


def test_a_platform_can_say_that_it_needs_nothing() -> None:
    open_to_all = dataclasses.replace(GOOGLE, missing_credentials=lambda _: ())
    assert mode_of(open_to_all, settings()) is Mode.SHADOW


def test_an_account_has_its_own_options_in_the_place_of_the_platform_s() -> None:
    chosen = settings(
        CREDENTIALS, accounts={"default": {}, "eu": {"customer_id": "222-222-2222"}}
    ).platforms["google_ads"]
    found = accounts_of(GOOGLE, chosen)
    ids = {name: options.model_dump()["customer_id"] for name, options in found.items()}
    assert ids == {"default": "1234567890", "eu": "2222222222"}
    secrets = {options.model_dump()["refresh_token"] for options in found.values()}
    assert len(secrets) == 1


def test_an_account_is_told_by_its_own_keys_alone() -> None:
    with pytest.raises(SettingsError) as caught:
        settings(accounts={"eu": {"cache_ttl_s": 1}, "us": {"customer_id": "1"}})
    other_key, other_form = str(caught.value).splitlines()
    assert other_key.startswith("platforms.google_ads.accounts.eu.cache_ttl_s: not of an account")
    assert other_form.startswith("platforms.google_ads.accounts.us.customer_id: Value error, ten")


def test_a_mode_needs_the_credentials_of_every_account() -> None:
    environment = {key: value for key, value in CREDENTIALS.items() if "CUSTOMER" not in key}
    some = settings(environment, mode="live", accounts={"eu": {"customer_id": "222-222-2222"}})
    assert mode_of(GOOGLE, some) is Mode.LIVE
    not_all = settings(environment, mode="live", accounts={"us": {}, "eu": {}})
    with pytest.raises(StartupError, match="GOOGLE_ADS_CUSTOMER_ID"):
        mode_of(GOOGLE, not_all)


@pytest.mark.parametrize(
    ("mode", "limit", "calls"),
    [
        (Mode.SANDBOX, 100, 0),
        (Mode.SHADOW, 100, 10),
        (Mode.LIVE, 1000, 100),
        (Mode.LIVE, 7, 1),
        (Mode.LIVE, 3, 1),
        (Mode.LIVE, 2, 1),
        (Mode.LIVE, 1, 0),
    ],
)
def test_a_tenth_of_a_live_quota_is_kept_for_pausing_and_one_call_at_least(
    mode: Mode, limit: int, calls: int
) -> None:
    chosen = settings_of(settings(), "google_ads")
    assert int(limit * reserve_percent_of(chosen, mode, limit) / 100) == calls


@pytest.mark.parametrize("mode", list(Mode))
def test_a_reserve_that_is_configured_is_kept_in_every_mode(mode: Mode) -> None:
    chosen = settings_of(settings(rate_limit={"reserve_percent": 3.5}), "google_ads")
    assert reserve_percent_of(chosen, mode, 100) == 3.5


# What a state directory is bound to


def binding(platform: str = "google_ads", **chosen: Any) -> Binding:
    one = load_settings(None, {}, {"platforms": {platform: chosen}})
    return binding_of(PLATFORMS[platform], one, mode_of(PLATFORMS[platform], one))


def test_the_built_in_sandbox_is_one_place_whatever_port_it_gets() -> None:
    assert binding() == Binding("google_ads", "sandbox", "", {"default": ""})
    assert binding().places == ('["sandbox", "", ""]',)


def test_an_endpoint_of_ones_own_is_a_place_of_its_own() -> None:
    here, there = (binding(endpoint=f"127.0.0.1:{port}") for port in (1, 2))
    assert here.endpoint == "127.0.0.1:1"
    assert not here.extends(there)
    assert not here.extends(binding())


def test_each_account_is_known_by_what_says_whose_money_it_spends() -> None:
    named = binding(
        options={"login_customer_id": "333-333-3333", "api_version": "v25"},
        accounts={"eu": {"customer_id": "111-111-1111"}, "us": {"customer_id": "2222222222"}},
    )
    assert named.accounts == {"eu": "customer_id 1111111111", "us": "customer_id 2222222222"}
    assert binding("meta", options={"ad_account_id": "1", "business_id": "2"}).accounts == {
        "default": "ad_account_id act_1"
    }
    theirs = {"partner_id": "p", "advertiser_id": "a", "seat": "s", "app_bundle": "b"}
    exchange = {"exchange_endpoint": "https://exchange.example/bids"}
    assert binding("trade_desk", options={**theirs, **exchange}).accounts == {
        "default": "partner_id p, advertiser_id a, seat s, "
        "exchange_endpoint https://exchange.example/bids"
    }


@pytest.mark.parametrize("name", PLATFORMS)
def test_what_tells_accounts_apart_is_part_of_the_binding_or_only_a_way_to_them(name: str) -> None:
    platform = PLATFORMS[name]
    ways = {"login_customer_id"}
    assert set(platform.account_options) - ways <= set(platform.place_options)
    assert set(platform.place_options) <= set(platform.options.model_fields)


@pytest.mark.parametrize("mark", ["state/ledger.copy", "state", "state/../state/x"])
def test_a_mark_inside_of_the_state_directory_is_refused(mark: str, tmp_path: Path) -> None:
    server = {"state_dir": str(tmp_path / "state")}

    def loaded(mark_file: Path) -> Settings:
        document = {"server": server, "ledger": {"mark_file": str(mark_file)}}
        return load_settings(None, {}, document)

    with pytest.raises(SettingsError, match=r"ledger\.mark_file: outside of server\.state_dir"):
        loaded(tmp_path / mark)
    outside = tmp_path / "elsewhere.mark"
    assert loaded(outside).ledger.mark_file == outside
