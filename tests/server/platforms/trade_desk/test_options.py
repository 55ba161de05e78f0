"""The settings: what is taken, what is refused, and what is still missing."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from smartconnectors_server.platforms.trade_desk.options import (
    TradeDeskOptions,
    missing_credentials,
)

ALL: dict[str, Any] = {"api_token": "t", "login": "l", "password": "p", "partner_id": "x"}


def without(*keys: str) -> TradeDeskOptions:
    return TradeDeskOptions(**{key: value for key, value in ALL.items() if key not in keys})


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (without(), ()),
        (without("login", "password"), ()),
        (without("api_token"), ()),
        (without("api_token", "password"), ("TRADEDESK_PASSWORD",)),
        (without("api_token", "login"), ("TRADEDESK_API_KEY",)),
        (without("partner_id"), ("TRADEDESK_PARTNER_ID",)),
        (TradeDeskOptions(), ("TRADEDESK_API_KEY", "TRADEDESK_PARTNER_ID")),
    ],
)
def test_what_is_missing_is_named_by_its_variable(
    options: TradeDeskOptions, missing: tuple[str, ...]
) -> None:
    assert missing_credentials(options) == missing


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("notice_base_url", "bids.example.com"),
        ("notice_base_url", "https://bids.example.com/?x=1"),
        ("notice_base_url", "ftp://bids.example.com"),
        ("exchange_endpoint", "http://"),
        ("iab_categories", ["3-1"]),
        ("iab_categories", ["IAB3-1-1"]),
        ("creative_attributes", [18]),
        ("cache_ttl_s", -1),
        ("unknown", 1),
    ],
)
def test_what_makes_no_sense_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        TradeDeskOptions(**{key: value})


def test_a_url_is_kept_without_the_slash_at_its_end() -> None:
    options = TradeDeskOptions(
        notice_base_url="https://a.example/", exchange_endpoint="https://b.example/x/"
    )
    assert options.notice_base_url == "https://a.example"
    assert options.exchange_endpoint == "https://b.example/x"
    assert TradeDeskOptions(exchange_endpoint="").exchange_endpoint == ""
