"""Which field of which resource a bid sets, and to what. Pure.

The request says what to bid by (`intent_of`); the campaign's strategy decides the field
(`setting_of`). A strategy is never switched: that would throw away what Google has learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Priced, Source
from smartconnectors_server.connector import Amount, Stated, by_roas
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.money import format_amount
from smartconnectors_server.platforms.google_ads.state import ROAS_SCALE, Campaign, millionths

MIN_ROAS_MILLIONTHS = 10_000
MAX_ROAS_MILLIONTHS = 1_000_000_000
_MAX_ID_CHARS = 19


@dataclass(frozen=True, slots=True)
class Intent:
    """What the caller wants, whatever the campaign is like.

    Attributes:
        knob: the member of the request's `oneof knob`.
        value: a ROAS in millionths for `target_roas`, else micros.
        ceiling_micros: the most for a click; 0: not asked.
        max_campaigns: how many campaigns may share the portfolio.
        ad_group_id: for `manual_cpc`, else empty.
    """

    knob: str
    value: int
    ceiling_micros: int = 0
    max_campaigns: int = 1
    ad_group_id: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """The field that a bid sets, as it is now.

    Attributes:
        field: which one.
        resource_name: of what it is a field.
        target: what at most one change may be in flight for.
        now: the value now, in the intent's unit; 0: not set.
        ceiling_now_micros: the portfolio's ceiling now; 0: none.
    """

    field: pb.BiddingField.ValueType
    resource_name: str
    target: str
    now: int
    ceiling_now_micros: int = 0


def check_id(field: str, entity_id: str) -> str:
    """The id, when it is one of Google's. Raises InvalidBid naming `field`."""
    if not (entity_id.isascii() and entity_id.isdigit() and len(entity_id) <= _MAX_ID_CHARS):
        raise InvalidBid.of(field, "digits only, as Google Ads writes its ids")
    return entity_id


def needs_billable_unit(request: pb.PlaceBidRequest) -> bool:
    """Whether the bid puts an amount of money on the wire, and not a ROAS alone."""
    knob = request.WhichOneof("knob")
    return knob in ("target_cpa", "manual_cpc") or (
        request.target_roas.HasField("cpc_bid_ceiling_micros")
    )


def intent_of(
    request: pb.PlaceBidRequest,
    priced: Priced,
    *,
    unit_micros: int = 0,
    most_campaigns: int = 1,
) -> Intent:
    """What is wanted. `unit_micros`: the currency's billable unit, where `needs_billable_unit`.
    `most_campaigns`: how many may share a portfolio at most, whatever the request says.

    Raises InvalidBid naming the field that makes it impossible.
    """
    check_id("bid.campaign_id", request.bid.campaign_id)
    knob = request.WhichOneof("knob") or "target_roas"
    if knob == "target_roas":
        return Intent(
            knob,
            _roas_of(request, priced),
            ceiling_micros=_ceiling_of(request, priced, unit_micros),
            max_campaigns=min(
                request.target_roas.max_shared_campaigns or most_campaigns, most_campaigns
            ),
        )
    amount_micros = _amount_of(priced, unit_micros)
    if knob == "target_cpa":
        return Intent(knob, amount_micros)
    ad_group_id = check_id("manual_cpc.ad_group_id", request.manual_cpc.ad_group_id)
    return Intent(knob, amount_micros, ad_group_id=ad_group_id)


def stated_of(request: pb.PlaceBidRequest) -> Stated:
    """What the request says of its setting in money, beside `bid_micros`."""
    if (request.WhichOneof("knob") or "target_roas") != "target_roas":
        return Stated()  # the setting is the bid
    knob = request.target_roas
    ceilings: tuple[Amount, ...] = ()
    if knob.HasField("cpc_bid_ceiling_micros"):
        field = "target_roas.cpc_bid_ceiling_micros"
        ceilings = (Amount(field, knob.cpc_bid_ceiling_micros),)
    if not knob.HasField("roas"):
        return Stated(ceilings=ceilings)
    return by_roas(
        "target_roas.roas",
        millionths(knob.roas),
        scale=ROAS_SCALE,
        ltv_micros=request.bid.predicted_ltv_micros,
        ceilings=ceilings,
    )


def _roas_of(request: pb.PlaceBidRequest, priced: Priced) -> int:
    """In millionths: the explicit one, or value / bid rounded to six decimals. A price of our own
    is another one than the caller's, so it has a ROAS of its own, where there is a value for it.
    """
    knob = request.target_roas
    if knob.HasField("roas") and knob.HasField("reported_value_micros"):
        field = "target_roas.reported_value_micros"
        raise InvalidBid.of(field, "not together with target_roas.roas")
    own_price = priced.source is Source.FALLBACK and priced.ltv_micros > 0
    if knob.HasField("roas") and not own_price:
        return _checked_roas("target_roas.roas", millionths(knob.roas))
    if knob.HasField("reported_value_micros"):
        field, value_micros = "target_roas.reported_value_micros", knob.reported_value_micros
    else:
        field, value_micros = "bid.predicted_ltv_micros", priced.ltv_micros
    if value_micros <= 0:
        raise InvalidBid.of(
            field, "a target ROAS is value / bid: give a predicted LTV, a reported value or a ROAS"
        )
    if priced.bid_micros <= 0:
        raise InvalidBid.of("bid.bid_micros", "above 0")
    rounded = (2 * value_micros * ROAS_SCALE + priced.bid_micros) // (2 * priced.bid_micros)
    return _checked_roas(field, rounded)


def _checked_roas(field: str, roas_millionths: int) -> int:
    if not MIN_ROAS_MILLIONTHS <= roas_millionths <= MAX_ROAS_MILLIONTHS:
        roas = f"{roas_millionths / ROAS_SCALE:g}"
        raise InvalidBid.of(field, f"makes a target ROAS of {roas}; Google Ads takes 0.01 to 1000")
    return roas_millionths


def _ceiling_of(request: pb.PlaceBidRequest, priced: Priced, unit_micros: int) -> int:
    knob = request.target_roas
    if not knob.HasField("cpc_bid_ceiling_micros"):
        return 0
    field = "target_roas.cpc_bid_ceiling_micros"
    if priced.source is Source.FALLBACK and knob.cpc_bid_ceiling_micros > priced.bid_micros:
        return _amount_of(priced, unit_micros)  # never above what is held
    return whole_units(field, knob.cpc_bid_ceiling_micros, unit_micros, priced.currency_code)


def _amount_of(priced: Priced, unit_micros: int) -> int:
    """The bid in micros, a multiple of what can be billed in its currency."""
    if priced.source is Source.FALLBACK:
        # A price of our own may be cut: less is set than what is held.
        amount_micros = priced.bid_micros // unit_micros * unit_micros
        if amount_micros == 0:
            least = format_amount(unit_micros, priced.currency_code)
            raise InvalidBid.of("bid.bid_micros", f"the heuristic's price is below {least}")
        return amount_micros
    return whole_units("bid.bid_micros", priced.bid_micros, unit_micros, priced.currency_code)


def whole_units(field: str, amount_micros: int, unit_micros: int, currency_code: str) -> int:
    """The amount, when it can be billed. Raises InvalidBid naming `field`."""
    if amount_micros <= 0 or amount_micros % unit_micros:
        unit = format_amount(unit_micros, currency_code)
        raise InvalidBid.of(field, f"a multiple of {unit} ({unit_micros} micros)")
    return amount_micros


def setting_of(intent: Intent, campaign: Campaign) -> Setting:
    """The field to set on this campaign. Raises InvalidBid when it has none for this intent."""
    match intent.knob:
        case "manual_cpc":
            return _ad_group_setting(campaign)
        case "target_cpa":
            return _cpa_setting(campaign)
        case _:
            return _roas_setting(intent, campaign)


def _roas_setting(intent: Intent, campaign: Campaign) -> Setting:
    if campaign.portfolio_name:
        return _portfolio_setting(intent, campaign)
    if intent.ceiling_micros:
        raise InvalidBid.of(
            "target_roas.cpc_bid_ceiling_micros",
            f"Google Ads takes a ceiling on portfolio strategies only, and campaign "
            f"{campaign.campaign_id} has none",
        )
    target = f"campaigns/{campaign.campaign_id}"
    # Google turned the standard target ROAS of Search campaigns into this; one that was left over
    # is turned by the bid.
    if campaign.strategy == "MAXIMIZE_CONVERSION_VALUE" or (
        campaign.strategy == "TARGET_ROAS" and campaign.channel == "SEARCH"
    ):
        field = pb.BIDDING_FIELD_MAXIMIZE_CONVERSION_VALUE_TARGET_ROAS
        now = campaign.maximize_value_roas_millionths or campaign.target_roas_millionths
        return Setting(field, campaign.resource_name, target, now)
    if campaign.strategy == "TARGET_ROAS":
        field = pb.BIDDING_FIELD_CAMPAIGN_TARGET_ROAS
        return Setting(field, campaign.resource_name, target, campaign.target_roas_millionths)
    raise _wrong_strategy(campaign, intent.knob, "MAXIMIZE_CONVERSION_VALUE or TARGET_ROAS")


def _portfolio_setting(intent: Intent, campaign: Campaign) -> Setting:
    portfolio = campaign.portfolio
    if portfolio is None:
        raise InvalidBid.of(
            "bid.campaign_id",
            f"campaign {campaign.campaign_id} bids by a portfolio strategy of another account",
        )
    if portfolio.strategy != "TARGET_ROAS":
        raise InvalidBid.of(
            "bid.campaign_id",
            f"campaign {campaign.campaign_id} bids by the portfolio strategy "
            f"{portfolio.portfolio_id}, which is {portfolio.strategy}, not TARGET_ROAS",
        )
    if portfolio.campaign_count > intent.max_campaigns:
        raise InvalidBid.of(
            "target_roas.max_shared_campaigns",
            f"the portfolio strategy {portfolio.portfolio_id} of campaign {campaign.campaign_id} "
            f"is shared by {portfolio.campaign_count} campaigns, and this bid would move all of "
            f"them; allowed: {intent.max_campaigns}",
        )
    return Setting(
        pb.BIDDING_FIELD_PORTFOLIO_TARGET_ROAS,
        portfolio.resource_name,
        f"portfolios/{portfolio.portfolio_id}",
        portfolio.roas_millionths,
        portfolio.ceiling_micros,
    )


def alone(request: Any) -> Any:
    """The request, so that it moves no campaign but its own."""
    if not isinstance(request, pb.PlaceBidRequest):
        return request
    if (request.WhichOneof("knob") or "target_roas") != "target_roas":
        return request
    narrowed = pb.PlaceBidRequest()
    narrowed.CopyFrom(request)
    narrowed.target_roas.max_shared_campaigns = 1
    return narrowed


def _cpa_setting(campaign: Campaign) -> Setting:
    target = f"campaigns/{campaign.campaign_id}"
    if not campaign.portfolio_name:
        if campaign.strategy == "MAXIMIZE_CONVERSIONS" or (
            campaign.strategy == "TARGET_CPA" and campaign.channel == "SEARCH"
        ):
            field = pb.BIDDING_FIELD_MAXIMIZE_CONVERSIONS_TARGET_CPA
            now = campaign.maximize_conversions_cpa_micros or campaign.target_cpa_micros
            return Setting(field, campaign.resource_name, target, now)
        if campaign.strategy == "TARGET_CPA":
            field = pb.BIDDING_FIELD_CAMPAIGN_TARGET_CPA
            return Setting(field, campaign.resource_name, target, campaign.target_cpa_micros)
    raise _wrong_strategy(campaign, "target_cpa", "MAXIMIZE_CONVERSIONS or TARGET_CPA of its own")


def _ad_group_setting(campaign: Campaign) -> Setting:
    check_manual_cpc(campaign)
    ad_group = campaign.ad_group
    assert ad_group is not None  # it was read with `ad_group_query`
    return Setting(
        pb.BIDDING_FIELD_AD_GROUP_CPC_BID,
        ad_group.resource_name,
        f"ad_groups/{ad_group.ad_group_id}",
        ad_group.cpc_bid_micros,
    )


def check_manual_cpc(campaign: Campaign) -> None:
    """Raises InvalidBid unless the campaign bids by what its ad groups say."""
    if campaign.portfolio_name or campaign.strategy != "MANUAL_CPC":
        # Google would store the bid and never use it: nothing must be committed for that.
        raise _wrong_strategy(campaign, "manual_cpc", "MANUAL_CPC")


def _wrong_strategy(campaign: Campaign, knob: str, needed: str) -> InvalidBid:
    shared = "a portfolio strategy, " if campaign.portfolio_name else ""
    return InvalidBid.of(
        knob,
        f"campaign {campaign.campaign_id} bids by {shared}{campaign.strategy}; this knob needs "
        f"{needed}. Change the strategy in Google Ads: doing it with a bid would throw away what "
        "Google has learnt",
    )
