"""The settings: what is accepted, what is missing, what stays hidden."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from smartconnectors_server.platforms.google_ads.options import (
    GoogleAdsOptions,
    missing_credentials,
)

USER = {"refresh_token": "r", "client_id": "c", "client_secret": "s"}


@pytest.mark.parametrize("text", ["1234567890", "123-456-7890"])
def test_a_customer_id_may_be_written_as_google_shows_it(text: str) -> None:
    assert GoogleAdsOptions(customer_id=text).customer_id == "1234567890"


@pytest.mark.parametrize("text", ["123", "12345678901", "abc-def-ghij", "１２３４５６７８９０"])
def test_anything_else_is_no_customer_id(text: str) -> None:
    with pytest.raises(ValidationError, match="ten digits"):
        GoogleAdsOptions(customer_id=text)


@pytest.mark.parametrize("key", ["api_version", "colour"])
def test_what_it_does_not_know_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        GoogleAdsOptions.model_validate({key: "v15"})


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (
            {},
            (
                "GOOGLE_ADS_CUSTOMER_ID",
                "GOOGLE_ADS_REFRESH_TOKEN",
                "GOOGLE_ADS_CLIENT_ID",
                "GOOGLE_ADS_CLIENT_SECRET",
            ),
        ),
        ({"customer_id": "1234567890", **USER}, ()),
        ({"customer_id": "1234567890", "json_key_file_path": "key.json"}, ()),
        ({"json_key_file_path": "key.json"}, ("GOOGLE_ADS_CUSTOMER_ID",)),
        ({**USER, "customer_id": "1234567890", "client_id": ""}, ("GOOGLE_ADS_CLIENT_ID",)),
    ],
)
def test_what_is_missing_for_the_real_account_is_named(
    options: dict[str, str], missing: tuple[str, ...]
) -> None:
    assert missing_credentials(GoogleAdsOptions.model_validate(options)) == missing


def test_a_developer_token_alone_opens_nothing() -> None:
    options = GoogleAdsOptions.model_validate({"customer_id": "1234567890", "api_key": "token"})
    assert "GOOGLE_ADS_REFRESH_TOKEN" in missing_credentials(options)
