"""Meta's own settings. Imports nothing that is slow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from smartconnectors_server.connector import SANDBOXS_OWN, Mode, Options
from smartconnectors_server.connector.api_versions import end_warnings
from smartconnectors_server.texts import HeaderSecret, HeaderText, trimmed

DEFAULT_VERSION = "v26.0"
VERSION_ENDS = {
    "v23.0": date(2026, 6, 9),
    "v24.0": date(2026, 11, 10),
    "v25.0": date(2027, 2, 23),
}
"""When versions of the Marketing API end, as Meta has announced (read 2026-11-30). Newer ones have
no date yet."""

ENVIRONMENT = {
    "META_ACCESS_TOKEN": "access_token",
    "META_APP_SECRET": "app_secret",
    "META_AD_ACCOUNT_ID": "ad_account_id",
    "META_BUSINESS_ID": "business_id",
}


def _ad_account_id(value: object) -> str:
    """`act_` and digits; the digits alone are taken, too."""
    text = trimmed(str(value))
    if not text:
        return ""
    if not re.fullmatch(r"(act_)?[0-9]{1,20}", text, re.ASCII):
        raise ValueError("an ad account such as act_1234567890")
    return text if text.startswith("act_") else f"act_{text}"


AdAccountId = Annotated[str, BeforeValidator(_ad_account_id)]


class MetaOptions(Options):
    """What the connector needs to know of the account."""

    access_token: HeaderSecret = Field(SecretStr(""), examples=["..."])
    """A system user's token with `ads_management`. Better in the environment than in a file."""
    app_secret: HeaderSecret = Field(SecretStr(""), examples=["..."])
    """The app's secret. Given, every call carries `appsecret_proof`, without which an app that
    demands it is refused."""
    ad_account_id: AdAccountId = Field("", examples=["act_1234567890"])
    """The ad account. Empty: the sandbox's own, in US dollars."""
    business_id: HeaderText = Field("", pattern=r"^[0-9]{0,20}$", examples=["1234567890"])
    """The business that owns the account. It is not an ad account, and no call needs it."""
    api_version: HeaderText = Field(DEFAULT_VERSION, pattern=r"^v[0-9]{2}\.[0-9]$")
    """The version of the Graph API and the Marketing API. A warning is logged from 90 days before
    its announced end."""
    cache_ttl_s: float = Field(60.0, ge=0, le=3600)
    """How long what was read of a campaign may be used to plan its next change."""

    @model_validator(mode="after")
    def _business_is_no_account(self) -> Self:
        if self.business_id and self.ad_account_id == f"act_{self.business_id}":
            raise ValueError(
                "ad_account_id: this is the business; the ad account has an id of its own"
            )
        return self


def effective_options(options: MetaOptions, mode: Mode) -> Mapping[str, Any]:
    """What counts where these settings are absent."""
    own = SANDBOXS_OWN if mode is Mode.SANDBOX else ""
    return {"ad_account_id": options.ad_account_id or own}


def missing_credentials(options: MetaOptions) -> tuple[str, ...]:
    """The variables that are still needed to reach the real account; empty: none."""
    missing = []
    if not options.access_token.get_secret_value():
        missing.append("META_ACCESS_TOKEN")
    if not options.ad_account_id:
        missing.append(
            "META_AD_ACCOUNT_ID (META_BUSINESS_ID is not an ad account)"
            if options.business_id
            else "META_AD_ACCOUNT_ID"
        )
    return tuple(missing)


def warnings(options: MetaOptions, today: date) -> tuple[str, ...]:
    """What to say of the configured version; empty: nothing."""
    return end_warnings(
        "the Graph API", options.api_version, VERSION_ENDS, today, newest=DEFAULT_VERSION
    )
