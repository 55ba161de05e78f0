"""Google Ads' own settings. Imports nothing that is slow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

from smartconnectors_server.connector import SANDBOXS_OWN, Mode, Options
from smartconnectors_server.texts import HeaderSecret, HeaderText, OneLine, digits_and_dashes

ApiVersion = Literal["v23", "v24", "v25", "v26"]
"""The versions that the library ships and Google serves."""

DEFAULT_VERSION: ApiVersion = "v26"

ENVIRONMENT = {
    "GOOGLE_ADS_API_KEY": "api_key",
    "GOOGLE_ADS_CUSTOMER_ID": "customer_id",
    "GOOGLE_ADS_LOGIN_CUSTOMER_ID": "login_customer_id",
    "GOOGLE_ADS_REFRESH_TOKEN": "refresh_token",
    "GOOGLE_ADS_CLIENT_ID": "client_id",
    "GOOGLE_ADS_CLIENT_SECRET": "client_secret",
    "GOOGLE_ADS_JSON_KEY_FILE_PATH": "json_key_file_path",
}


def _customer_id(value: object) -> str:
    """Ten digits, with or without the dashes that Google's pages show."""
    digits = digits_and_dashes(str(value)).replace("-", "")
    if value and not re.fullmatch(r"[0-9]{10}", digits):
        raise ValueError("ten digits, such as 123-456-7890")
    return digits if value else ""


CustomerId = Annotated[str, BeforeValidator(_customer_id)]


class GoogleAdsOptions(Options):
    """What the connector needs to know of the account."""

    customer_id: CustomerId = Field("", examples=["123-456-7890"])
    """The ad account. Empty: the sandbox's own, in US dollars."""
    login_customer_id: CustomerId = Field("", examples=["123-456-7891"])
    """The manager account to go through; empty: none."""
    api_version: ApiVersion = DEFAULT_VERSION
    api_key: HeaderSecret = SecretStr("")
    """A developer token: sunset in September 2026, sent as the optional header when given."""
    client_id: HeaderText = ""
    client_secret: HeaderSecret = SecretStr("")
    refresh_token: HeaderSecret = SecretStr("")
    json_key_file_path: OneLine = ""
    """A service account's key file, instead of the three above."""
    ltv_in_click_urls: bool = True
    """False: neither the LTV nor the explanation is written into the campaign's custom parameters,
    which a tracking template can put into click URLs. The request's marker still is."""
    max_shared_campaigns: int | None = Field(None, ge=1, le=10_000)
    """How many campaigns may share a portfolio strategy that a bid moves, at most; a request can
    ask for fewer. Absent: 1, only the campaign itself; in sandbox any number, so that every
    campaign there takes a bid without further options."""
    allow_partial_overrides: bool = False
    """Whether a bid is taken that moves a part only, since some ad groups have a target of their
    own, or some keywords of the ad group a bid of their own. They keep theirs. A bid that moves
    nothing, because all of them do, is always refused."""
    cache_ttl_s: float = Field(60.0, ge=0, le=3600)
    """How long what was read of a campaign may be used to plan its next change."""


def effective_options(options: GoogleAdsOptions, mode: Mode) -> Mapping[str, Any]:
    """What counts where these settings are absent."""
    in_sandbox = mode is Mode.SANDBOX
    return {
        "customer_id": options.customer_id or (SANDBOXS_OWN if in_sandbox else ""),
        "max_shared_campaigns": options.max_shared_campaigns or ("any number" if in_sandbox else 1),
    }


def missing_credentials(options: GoogleAdsOptions) -> tuple[str, ...]:
    """The variables that are still needed to reach the real account; empty: none.

    A service account's key file stands in for refresh token, client id and client secret.
    """
    missing = [] if options.customer_id else ["GOOGLE_ADS_CUSTOMER_ID"]
    if options.json_key_file_path:
        return tuple(missing)
    needed = {
        "GOOGLE_ADS_REFRESH_TOKEN": options.refresh_token.get_secret_value(),
        "GOOGLE_ADS_CLIENT_ID": options.client_id,
        "GOOGLE_ADS_CLIENT_SECRET": options.client_secret.get_secret_value(),
    }
    return tuple(missing + [name for name, value in needed.items() if not value])
