"""The kit that platforms are built on."""

from __future__ import annotations

from smartconnectors_server.budget import Finding, SpendReport, SpendRow
from smartconnectors_server.connector._base import (
    SANDBOXS_OWN,
    Connector,
    Context,
    Defaults,
    Gate,
    Mode,
    OneByOne,
    Options,
    Placed,
    Platform,
    QuotaSignal,
    Sent,
    Traffic,
)
from smartconnectors_server.connector.accounts import DEFAULT as DEFAULT_ACCOUNT
from smartconnectors_server.connector.accounts import Accounts, account_named
from smartconnectors_server.connector.endpoints import host_of, same_place
from smartconnectors_server.connector.facts import (
    MOST_CAMPAIGNS,
    AccountCampaigns,
    AccountFacts,
    CampaignFacts,
    check_account_currency,
    time_zone_warning,
)
from smartconnectors_server.connector.stated import Amount, Stated, by_amount, by_roas

__all__ = [
    "DEFAULT_ACCOUNT",
    "MOST_CAMPAIGNS",
    "SANDBOXS_OWN",
    "AccountCampaigns",
    "AccountFacts",
    "Accounts",
    "Amount",
    "CampaignFacts",
    "Connector",
    "Context",
    "Defaults",
    "Finding",
    "Gate",
    "Mode",
    "OneByOne",
    "Options",
    "Placed",
    "Platform",
    "QuotaSignal",
    "Sent",
    "SpendReport",
    "SpendRow",
    "Stated",
    "Traffic",
    "account_named",
    "by_amount",
    "by_roas",
    "check_account_currency",
    "host_of",
    "same_place",
    "time_zone_warning",
]
