"""Text that other tools wrote: what nobody sees is taken off, what cannot be sent is refused."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from smartconnectors_server.access.gatekeeper import Gatekeeper
from smartconnectors_server.access.tokens import KEY, hash_of, read_tokens
from smartconnectors_server.access_settings import JwtSettings
from smartconnectors_server.assembly import load_settings
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.customers import Customers
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.settings import Settings, SettingsError
from smartconnectors_server.texts import decoded, digits_and_dashes, trimmed, without_mark

MARKED = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}
AROUND = ["{}\n", "{}\r\n", " {} ", "\u00a0{}\u00a0", "\ufeff{}", "{}\u200b", "\t{}\u2060\n"]
INSIDE = ["{}\nmore", "{}\rmore", "{} more", "{}\u00a0more", "{}\u200bmore", "{}\x7f", "{}\u00e9"]
HEADER_VARIABLES = {
    "META_ACCESS_TOKEN": ("meta", "access_token"),
    "META_APP_SECRET": ("meta", "app_secret"),
    "TRADEDESK_API_KEY": ("trade_desk", "api_token"),
    "GOOGLE_ADS_API_KEY": ("google_ads", "api_key"),
    "GOOGLE_ADS_REFRESH_TOKEN": ("google_ads", "refresh_token"),
    "GOOGLE_ADS_CLIENT_SECRET": ("google_ads", "client_secret"),
    "GOOGLE_ADS_CLIENT_ID": ("google_ads", "client_id"),
}
IDS = {
    "GOOGLE_ADS_CUSTOMER_ID": ("google_ads", "customer_id", "123-456-7890", "1234567890"),
    "GOOGLE_ADS_LOGIN_CUSTOMER_ID": (
        "google_ads",
        "login_customer_id",
        "123\u2011456\u20137890",
        "1234567890",
    ),
    "META_AD_ACCOUNT_ID": ("meta", "ad_account_id", "act_17", "act_17"),
    "META_BUSINESS_ID": ("meta", "business_id", "42", "42"),
    "TRADEDESK_PARTNER_ID": ("trade_desk", "partner_id", "partner", "partner"),
    "TRADEDESK_ADVERTISER_ID": ("trade_desk", "advertiser_id", "adv", "adv"),
}


def option(settings: Settings, platform: str, name: str) -> str:
    chosen = settings.platforms[platform].options
    value = getattr(PLATFORMS[platform].options.model_validate(chosen), name)
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


@pytest.mark.parametrize("variable", HEADER_VARIABLES)
@pytest.mark.parametrize("around", AROUND)
def test_a_secret_in_a_variable_is_taken_without_what_nobody_sees_around_it(
    variable: str, around: str
) -> None:
    settings = load_settings(None, {variable: around.format("EAAx")})
    assert option(settings, *HEADER_VARIABLES[variable]) == "EAAx"


@pytest.mark.parametrize("variable", HEADER_VARIABLES)
@pytest.mark.parametrize("inside", INSIDE)
def test_a_secret_that_no_header_carries_is_refused_by_its_variable_and_never_shown(
    variable: str, inside: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: ") as caught:
        load_settings(None, {variable: inside.format("do-not-show")})
    assert "do-not-show" not in str(caught.value)


@pytest.mark.parametrize("inside", [*INSIDE, "{}\0"])
def test_a_secret_that_no_header_carries_is_refused_by_its_key_when_it_stands_in_the_file(
    tmp_path: Path, inside: str
) -> None:
    path = tmp_path / "settings.toml"
    value = json.dumps(inside.format("do-not-show"))
    path.write_text(
        f"[platforms.meta.options]\naccess_token = {value}\n".replace("\x7f", "\\u007f")
    )
    with pytest.raises(SettingsError, match=r"^platforms\.meta\.options\.access_token: ") as caught:
        load_settings(path, {})
    assert "do-not-show" not in str(caught.value)


def test_an_account_of_its_own_is_checked_as_the_options_are(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        '[platforms.google_ads.accounts.eu]\ncustomer_id = "123-456-7890\\n"\n', encoding="utf-8"
    )
    settings = load_settings(path, {})
    assert settings.platforms["google_ads"].accounts["eu"]["customer_id"] == "123-456-7890\n"
    account = PLATFORMS["google_ads"].options.model_validate(
        settings.platforms["google_ads"].accounts["eu"]
    )
    assert account.model_dump()["customer_id"] == "1234567890"


@pytest.mark.parametrize("variable", IDS)
@pytest.mark.parametrize("around", AROUND)
def test_an_id_is_taken_without_what_nobody_sees_around_it(variable: str, around: str) -> None:
    platform, name, written, read = IDS[variable]
    settings = load_settings(None, {variable: around.format(written)})
    assert option(settings, platform, name) == read


@pytest.mark.parametrize("around", AROUND)
def test_a_budget_in_a_variable_is_taken_without_what_nobody_sees_around_it(around: str) -> None:
    settings = load_settings(None, {"META_BUDGET": around.format("12.50")})
    assert settings.platforms["meta"].budget.limit == 12_500_000


@pytest.mark.parametrize("blank", [" ", "\n", "\u00a0", "\ufeff"])
def test_a_blank_variable_is_refused_instead_of_counting_as_absent(blank: str) -> None:
    with pytest.raises(SettingsError, match=r"^META_BUDGET: .*is blank"):
        load_settings(None, {"META_BUDGET": blank})


def test_every_variable_that_cannot_be_used_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {"META_ACCESS_TOKEN": "a\nb", "TRADEDESK_API_KEY": "c\nd"})
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "META_ACCESS_TOKEN",
        "TRADEDESK_API_KEY",
    ]


@pytest.mark.parametrize("encoding", MARKED)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_that_a_variable_names_may_begin_with_a_mark_and_end_with_a_newline(
    tmp_path: Path, encoding: str, end: str
) -> None:
    secret = tmp_path / "token"
    secret.write_bytes(MARKED[encoding] + f"EAAx{end}".encode(encoding))
    settings = load_settings(None, {"META_ACCESS_TOKEN_FILE": f"{secret}\n"})
    assert option(settings, "meta", "access_token") == "EAAx"


@pytest.mark.parametrize("content", [b"", b" \r\n", b"\xef\xbb\xbf", b"EAAx\0\0", b"EAAx\nEAAy"])
def test_a_file_that_a_variable_names_is_refused_when_no_header_carries_what_is_in_it(
    tmp_path: Path, content: bytes
) -> None:
    secret = tmp_path / "token"
    secret.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^META_ACCESS_TOKEN_FILE: ") as caught:
        load_settings(None, {"META_ACCESS_TOKEN_FILE": str(secret)})
    assert "EAA" not in str(caught.value)


@pytest.mark.parametrize("encoding", MARKED)
def test_the_settings_file_may_begin_with_a_mark_and_have_the_line_ends_of_any_system(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "settings.toml"
    text = '[server]\r\ngrpc_port = 7\r\nhost = "127.0.0.1\\n"\r\n'
    path.write_bytes(MARKED[encoding] + text.encode(encoding))
    server = load_settings(path, {}).server
    assert (server.grpc_port, server.host) == (7, "127.0.0.1")


@pytest.mark.parametrize("encoding", MARKED)
def test_the_tokens_file_may_begin_with_a_mark(encoding: str) -> None:
    text = f'[[tokens]]\r\nname = "model"\r\nhash = "{hash_of("t")}"\r\nrole = "bid"\r\n'
    callers = read_tokens({KEY: MARKED[encoding] + text.encode(encoding)})
    assert [caller.name for caller in callers.values()] == ["model"]


@pytest.mark.parametrize("encoding", MARKED)
def test_the_site_key_is_the_same_however_it_was_written(tmp_path: Path, encoding: str) -> None:
    key = "k" * 32
    hashes = set()
    for number, content in enumerate(
        [key.encode(), f"{key}\r\n".encode(), MARKED[encoding] + f"{key}\n".encode(encoding)]
    ):
        file = tmp_path / str(number)
        file.write_bytes(content)
        customers = Customers(file, tmp_path)
        customers.open()
        hashes.add(customers.hash_of("somebody"))
    assert len(hashes) == 1


def test_a_site_key_of_any_bytes_stays_as_it_is() -> None:
    key = codecs.BOM_UTF16_LE + b"\x00\xd8" * 16
    assert without_mark(key) == key


@pytest.mark.parametrize(
    "url",
    ["https://", "https://x y", "https://host:port/", "https://host:0/", "ftp://x", "https://x/\0"],
)
def test_an_address_of_a_webhook_that_nothing_can_be_posted_to_is_refused(
    tmp_path: Path, url: str
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        f'[alerts.webhooks.chat]\nformat = "slack"\nurl = {json.dumps(url)}\n', encoding="utf-8"
    )
    with pytest.raises(SettingsError, match=r"alerts\.webhooks\.chat\.url: "):
        load_settings(path, {})


@pytest.mark.parametrize("around", AROUND)
def test_a_webhooks_address_and_secret_are_taken_without_what_nobody_sees_around_them(
    tmp_path: Path, around: str
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[alerts.webhooks.chat]\n")
    settings = load_settings(
        path,
        {
            "SMART_CONNECTORS_WEBHOOK_CHAT_URL": around.format("https://example.test/hook"),
            "SMART_CONNECTORS_WEBHOOK_CHAT_SECRET": around.format("whsec_" + "A" * 32),
        },
    )
    webhook = settings.alerts.webhooks["chat"]
    assert webhook.url.get_secret_value() == "https://example.test/hook"
    assert webhook.secret.get_secret_value() == "whsec_" + "A" * 32


def test_dashes_of_every_kind_separate_digits() -> None:
    assert digits_and_dashes(" 123\u2010456\u22127890\u00a0") == "123-456-7890"


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="decode"):
        decoded(b"\xff\xfe\x00")


def test_blanks_inside_stay() -> None:
    assert trimmed("\u200b a b\u00a0\n") == "a b"


def test_a_key_set_may_begin_with_a_mark(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "jwks.json"
    key = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    for encoding, mark in MARKED.items():
        file.write_bytes(mark + json.dumps({"keys": [key]}).encode(encoding))
        jwt = JwtSettings(jwks_file=file, issuer="i", audience="a")
        settings = Settings.model_validate({"access": {"jwt": jwt.model_dump()}})
        assert not Gatekeeper(settings, clock).open
