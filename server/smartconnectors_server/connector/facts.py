"""What a platform says of an ad account and its campaigns, and whether a budget fits it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smartconnectors_server.errors import PlatformUnavailable


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """An ad account in the platform's own words. Empty: the platform does not say.

    Attributes:
        account_id: as the platform writes it.
        name: for people.
        currency_code: ISO 4217; what it bills in.
        time_zone: an IANA name; where its days begin.
        quota_tier: which of the platform's quotas it has.
    """

    account_id: str = ""
    name: str = ""
    currency_code: str = ""
    time_zone: str = ""
    quota_tier: str = ""


MOST_CAMPAIGNS = 200
"""How many campaigns of one account are told of."""


@dataclass(frozen=True, slots=True)
class CampaignFacts:
    """A campaign in the platform's own words, and what a bid on it would move.

    Attributes:
        campaign_id: as a bid names it.
        name: for people; empty: it has none.
        status: whether it runs.
        strategy: what it bids by now.
        knobs: the members of the bid request that fit it as it is, any of them; empty: a bid that
            names the campaign alone would be refused.
        moves: what these set, where.
        why_not: why it would be refused; empty when there is a knob.
        account: our name of the account, where there are several.
    """

    campaign_id: str
    name: str
    status: str
    strategy: str
    knobs: tuple[str, ...] = ()
    moves: str = ""
    why_not: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class AccountCampaigns:
    """The first MOST_CAMPAIGNS campaigns of an account.

    Attributes:
        campaigns: as the platform listed them.
        has_more: True: there are more than these.
    """

    campaigns: tuple[CampaignFacts, ...]
    has_more: bool = False

    @classmethod
    def first_of(
        cls, found: Sequence[CampaignFacts], *, has_more: bool = False
    ) -> AccountCampaigns:
        """As many of these as are told of. `has_more`: there are more than were found."""
        return cls(tuple(found[:MOST_CAMPAIGNS]), has_more or len(found) > MOST_CAMPAIGNS)


def check_account_currency(platform: str, facts: AccountFacts, currency_code: str) -> None:
    """Raises PlatformUnavailable, with both currencies, when the account bills in another one than
    the budget is in: amounts would mean something else there.
    """
    if facts.currency_code in ("", currency_code):
        return
    raise PlatformUnavailable(
        f"account {facts.account_id} is in {facts.currency_code}, but the budget of {platform} is "
        f"in {currency_code}, so nothing is sent to it. Set platforms.{platform}.budget.currency, "
        "or name another account, and restart",
        metadata={
            "account": facts.account_id,
            "account_currency": facts.currency_code,
            "budget_currency": currency_code,
        },
    )


def time_zone_warning(
    platform: str, facts: AccountFacts, budgets: Sequence[tuple[str, str]]
) -> str | None:
    """What to say when days of a calendar limit are not the account's; None: nothing.

    `budgets`: budget and time zone of each calendar limit that bids on the platform count in.
    """
    other = dict.fromkeys(
        f"{budget_id} ({zone})" for budget_id, zone in budgets if zone != facts.time_zone
    )
    if not facts.time_zone or not other:
        return None
    return (
        f"{platform}: the days of account {facts.account_id} are of {facts.time_zone}, those of "
        f"the calendar limits on {', '.join(other)} are not; what the platform bills by day will "
        "not line up with them"
    )
