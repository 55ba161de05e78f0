"""The settings: what is accepted, what is missing, what stays hidden."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import ValidationError

from smartconnectors_server.platforms.meta.options import MetaOptions, missing_credentials, warnings


@pytest.mark.parametrize("text", ["act_1234567890", "1234567890"])
def test_an_ad_account_may_be_written_with_or_without_its_prefix(text: str) -> None:
    assert MetaOptions(ad_account_id=text).ad_account_id == "act_1234567890"


@pytest.mark.parametrize("text", ["act_", "act_12a", "me", "act_１２", "1234567890/../me"])
def test_anything_else_is_no_ad_account(text: str) -> None:
    with pytest.raises(ValidationError, match="an ad account such as act_1234567890"):
        MetaOptions(ad_account_id=text)


def test_the_business_is_not_the_ad_account() -> None:
    with pytest.raises(ValidationError, match="this is the business"):
        MetaOptions(ad_account_id="act_77", business_id="77")


@pytest.mark.parametrize(
    ("key", "value"), [("colour", "red"), ("api_version", "26"), ("business_id", "act_1")]
)
def test_what_it_does_not_know_is_refused(key: str, value: str) -> None:
    with pytest.raises(ValidationError):
        MetaOptions.model_validate({key: value})


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, ("META_ACCESS_TOKEN", "META_AD_ACCOUNT_ID")),
        ({"access_token": "t"}, ("META_AD_ACCOUNT_ID",)),
        ({"access_token": "t", "ad_account_id": "act_1"}, ()),
        ({"ad_account_id": "act_1", "app_secret": "s"}, ("META_ACCESS_TOKEN",)),
        (
            {"access_token": "t", "business_id": "77"},
            ("META_AD_ACCOUNT_ID (META_BUSINESS_ID is not an ad account)",),
        ),
    ],
)
def test_what_is_missing_for_the_real_account_is_named(
    options: dict[str, str], missing: tuple[str, ...]
) -> None:
    assert missing_credentials(MetaOptions.model_validate(options)) == missing


@pytest.mark.parametrize(("version", "warned"), [("v25.0", True), ("v26.0", False)])
def test_a_version_that_ends_soon_is_warned_of(version: str, warned: bool) -> None:
    assert bool(warnings(MetaOptions(api_version=version), date(2026, 12, 25))) is warned
