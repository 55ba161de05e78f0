"""The accounts a sandbox starts with: campaigns, portfolios, budgets, ad groups, user lists.

An entity is a flat mapping from the field paths of Google's query language, without the resource's
own prefix, to values: `{"id": 1001, "maximize_conversion_value.target_roas": 2.0, ...}`. An absent
key is a field that is not set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

JPY_CUSTOMER = "1000000002"
KWD_CUSTOMER = "1000000003"
TWD_CUSTOMER = "1000000005"
UNDECLARED_CUSTOMER = "1000000008"
"""An account with a campaign, the first, that does not say whether it has EU political ads."""
FORBIDDEN_CUSTOMER = "1000000009"
"""An account that the sandbox's user may not touch."""

# Google accounts have one currency each, so each currency has an account of its own. Any other
# customer id is an account in US dollars with the campaigns of the first.
_CURRENCIES = {
    JPY_CUSTOMER: ("JPY", 2000),
    KWD_CUSTOMER: ("KWD", 3000),
    TWD_CUSTOMER: ("TWD", 4000),
}
BILLABLE_UNITS_MICROS = {"USD": 10_000, "JPY": 1_000_000, "KWD": 1_000, "TWD": 1_000_000}
"""What `currency_constant` says. That of TWD is not ISO's 0.01: a client has to read it."""

TIME_ZONE = "America/New_York"

EXTRA_CAMPAIGNS_FROM = 100_001
"""The id of the first campaign that a sandbox has only when it is asked for more."""

USER_LISTS = (501, 502, 503)
_KEYWORD = 601
"""The keyword of each ad group."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One resource of an account."""

    kind: str
    """As in the query language's FROM clause: `campaign`, `ad_group`, ..."""
    resource_name: str
    values: Mapping[str, Any]

    def changed(self, values: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> Entity:
        """This entity with `values` laid over it and the fields `without` unset."""
        kept = {key: value for key, value in self.values.items() if key not in without}
        return Entity(self.kind, self.resource_name, {**kept, **values})


@dataclass(slots=True)
class Account:
    """One customer, and everything in it by resource name."""

    customer_id: str
    currency_code: str
    entities: dict[str, Entity] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    """Fields, such as `campaign.target_roas.target_roas`, that an accepted change leaves alone."""

    @property
    def billable_unit_micros(self) -> int:
        """The smallest amount that can be billed: every amount is a multiple of it."""
        return BILLABLE_UNITS_MICROS[self.currency_code]

    def name(self, collection: str, entity_id: object) -> str:
        """The resource name of something in this account."""
        return f"customers/{self.customer_id}/{collection}/{entity_id}"

    def of_kind(self, kind: str) -> Iterator[Entity]:
        """Every entity of one kind, in the order they were made."""
        return (entity for entity in self.entities.values() if entity.kind == kind)

    def add(self, kind: str, collection: str, entity_id: object, **values: Any) -> str:
        """Makes an entity; `__` in a keyword stands for a dot. Returns its resource name."""
        resource_name = self.name(collection, entity_id)
        paths = {key.replace("__", "."): value for key, value in values.items()}
        named = {"resource_name": resource_name, "id": entity_id, **paths}
        self.entities[resource_name] = Entity(kind, resource_name, named)
        return resource_name


def open_account(
    customer_id: str, extra_campaigns: int = 0, ignored: set[str] | None = None
) -> Account:
    """An account as it is before anybody changed anything in it.

    `extra_campaigns`: how many more there are, from EXTRA_CAMPAIGNS_FROM on, that bid by ROAS.
    `ignored`: as in Account.
    """
    currency_code, base = _CURRENCIES.get(customer_id, ("USD", 1000))
    account = Account(customer_id, currency_code, ignored=set() if ignored is None else ignored)
    for code, unit_micros in BILLABLE_UNITS_MICROS.items():
        constant = f"currencyConstants/{code}"
        known = {"resource_name": constant, "code": code, "billable_unit_micros": unit_micros}
        account.entities[constant] = Entity("currency_constant", constant, known)
    name = f"customers/{customer_id}"
    customer = {
        "resource_name": name,
        "id": int(customer_id),
        "descriptive_name": f"Sandbox in {currency_code}",
        "currency_code": currency_code,
        "time_zone": TIME_ZONE,
        "status": "ENABLED",
    }
    account.entities[name] = Entity("customer", name, customer)
    for user_list in USER_LISTS:
        account.add("user_list", "userLists", user_list, name=f"List {user_list}")
    portfolio = account.add(
        "bidding_strategy",
        "biddingStrategies",
        base + 901,
        name="Shared target ROAS",
        type="TARGET_ROAS",
        status="ENABLED",
        target_roas__target_roas=4.0,
        target_roas__cpc_bid_ceiling_micros=5 * 10**6,
    )
    for number in range(1, 11):
        _campaign_by_roas(account, base + number, portfolio if number >= 9 else "")
    for number in range(extra_campaigns):
        _campaign_by_roas(account, EXTRA_CAMPAIGNS_FROM + number, "")
    _campaign_by_other(account, base + 11, "SEARCH", "MAXIMIZE_CONVERSIONS")
    _campaign_by_other(account, base + 12, "DISPLAY", "TARGET_CPA")
    _campaign_by_other(account, base + 13, "SEARCH", "MANUAL_CPC")
    _campaigns_that_cannot_be_moved(account, base)
    if customer_id == UNDECLARED_CUSTOMER:
        _change(account, "campaigns", base + 1, UNDECLARED)
    return account


UNDECLARED = {
    "contains_eu_political_advertising": "UNSPECIFIED",
    "missing_eu_political_advertising_declaration": True,
}


def _campaigns_that_cannot_be_moved(account: Account, base: int) -> None:
    """A budget for a period, two campaigns on one budget, an ad group and a keyword that set their
    own bid.
    """
    for number in (14, 15, 16, 17):
        setting = {"maximize_conversion_value.target_roas": 4.0}
        _add_campaign(account, base + number, "SEARCH", "MAXIMIZE_CONVERSION_VALUE", setting)
    _campaign_by_other(account, base + 18, "SEARCH", "MANUAL_CPC")
    period = {"period": "CUSTOM_PERIOD", "total_amount_micros": 3_000 * 10**6}
    _change(account, "campaignBudgets", base + 5014, period, without=("amount_micros",))
    shared = {"explicitly_shared": True, "reference_count": 2, "name": "Shared budget"}
    _change(account, "campaignBudgets", base + 5015, shared)
    del account.entities[account.name("campaignBudgets", base + 5016)]
    pointer = {"campaign_budget": account.name("campaignBudgets", base + 5015)}
    _change(account, "campaigns", base + 16, pointer)
    _change(account, "adGroups", (base + 17) * 10 + 1, {"target_roas": 3.0})
    keyword = f"{(base + 18) * 10 + 1}~{_KEYWORD}"
    _change(account, "adGroupCriteria", keyword, {"cpc_bid_micros": 2 * 10**6})


def _change(
    account: Account,
    collection: str,
    entity_id: object,
    values: Mapping[str, Any],
    *,
    without: tuple[str, ...] = (),
) -> None:
    name = account.name(collection, entity_id)
    account.entities[name] = account.entities[name].changed(values, without=without)


def _campaign_by_roas(account: Account, campaign_id: int, portfolio: str) -> None:
    """Odd ids are Search, even ones Display, except that a portfolio's are both Display."""
    if portfolio:
        _add_campaign(
            account, campaign_id, "DISPLAY", "TARGET_ROAS", {"bidding_strategy": portfolio}
        )
    elif campaign_id % 2:
        setting = {"maximize_conversion_value.target_roas": 4.0}
        _add_campaign(account, campaign_id, "SEARCH", "MAXIMIZE_CONVERSION_VALUE", setting)
    else:
        setting = {"target_roas.target_roas": 4.0}
        _add_campaign(account, campaign_id, "DISPLAY", "TARGET_ROAS", setting)


def _campaign_by_other(account: Account, campaign_id: int, channel: str, strategy: str) -> None:
    settings: dict[str, dict[str, Any]] = {
        "MAXIMIZE_CONVERSIONS": {"maximize_conversions.target_cpa_micros": 20 * 10**6},
        "TARGET_CPA": {"target_cpa.target_cpa_micros": 20 * 10**6},
        "MANUAL_CPC": {},
    }
    _add_campaign(account, campaign_id, channel, strategy, settings[strategy])


def _add_campaign(
    account: Account, campaign_id: int, channel: str, strategy: str, setting: Mapping[str, Any]
) -> None:
    budget = account.add(
        "campaign_budget",
        "campaignBudgets",
        campaign_id + 5000,
        amount_micros=100 * 10**6,
        explicitly_shared=False,
        reference_count=1,
        period="DAILY",
        status="ENABLED",
    )
    campaign = account.add(
        "campaign",
        "campaigns",
        campaign_id,
        name=f"Campaign {campaign_id}",
        status="ENABLED",
        advertising_channel_type=channel,
        bidding_strategy_type=strategy,
        campaign_budget=budget,
        # Somebody else's, which nobody but them may drop.
        url_custom_parameters=[("season", "autumn")],
        experiment_type="BASE",
        serving_status="SERVING",
        contains_eu_political_advertising="DOES_NOT_CONTAIN_EU_POLITICAL_ADVERTISING",
        missing_eu_political_advertising_declaration=False,
    )
    account.entities[campaign] = account.entities[campaign].changed(setting)
    ad_group = account.add(
        "ad_group",
        "adGroups",
        campaign_id * 10 + 1,
        name=f"Ad group {campaign_id}",
        status="ENABLED",
        campaign=campaign,
        cpc_bid_micros=1 * 10**6,
        url_custom_parameters=[],
    )
    keyword = account.name("adGroupCriteria", f"{campaign_id * 10 + 1}~{_KEYWORD}")
    values = {
        "resource_name": keyword,
        "criterion_id": _KEYWORD,
        "ad_group": ad_group,
        "type": "KEYWORD",
        "status": "ENABLED",
        "negative": False,
    }
    account.entities[keyword] = Entity("ad_group_criterion", keyword, values)
