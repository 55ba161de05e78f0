"""From a request and the campaign as it is to Google's mutate, and back. Pure: no clock, no I/O.

A mutate is written in the JSON form of Google's REST interface, which is also what the documents in
`wiretests/` show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from smartconnectors.common.v1.bid_pb2 import BidResponse
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Plan, Priced
from smartconnectors_server.errors import CurrencyMismatch
from smartconnectors_server.platforms.google_ads import knobs, parameters
from smartconnectors_server.platforms.google_ads.knobs import Intent, Setting
from smartconnectors_server.platforms.google_ads.state import ROAS_SCALE, Campaign

Document = Mapping[str, Any]

# The field that a bid sets -> where it is in its resource, in the wire's own spelling.
_PATHS: Mapping[int, tuple[str, ...]] = {
    pb.BIDDING_FIELD_MAXIMIZE_CONVERSION_VALUE_TARGET_ROAS: (
        "maximizeConversionValue",
        "targetRoas",
    ),
    pb.BIDDING_FIELD_CAMPAIGN_TARGET_ROAS: ("targetRoas", "targetRoas"),
    pb.BIDDING_FIELD_PORTFOLIO_TARGET_ROAS: ("targetRoas", "targetRoas"),
    pb.BIDDING_FIELD_MAXIMIZE_CONVERSIONS_TARGET_CPA: ("maximizeConversions", "targetCpaMicros"),
    pb.BIDDING_FIELD_CAMPAIGN_TARGET_CPA: ("targetCpa", "targetCpaMicros"),
    pb.BIDDING_FIELD_AD_GROUP_CPC_BID: ("cpcBidMicros",),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One planned change: what is sent, what it leaves, what the caller is told.

    Attributes:
        mutate: the request, without `validateOnly`.
        after: the campaign when it has been accepted.
        answer: the response, complete but for Google's request id.
    """

    mutate: Document
    after: Campaign
    answer: pb.PlaceBidResponse | pb.UpdateCampaignBudgetResponse


def plan_bid(
    request: pb.PlaceBidRequest,
    priced: Priced,
    intent: Intent,
    campaign: Campaign,
    *,
    ltv_in_click_urls: bool,
) -> Plan:
    """What the bid would change. Raises InvalidBid, CurrencyMismatch."""
    check_currency(campaign, priced.currency_code)
    setting = knobs.setting_of(intent, campaign)
    existing = parameters_on(setting, campaign)
    merged = parameters.merge(
        existing,
        parameters.signal(
            request_id=priced.request_id,
            ltv_micros=priced.ltv_micros,
            explanation=request.bid.explanation,
            ltv_in_click_urls=ltv_in_click_urls,
        ),
    )
    unchanged = _same_setting(intent, setting) and _same_signal(existing, merged.parameters)
    before = observed(intent, campaign)
    return Plan(
        target=setting.target,
        amount_micros=priced.bid_micros,
        before=json.dumps(before),
        wire=Change(
            mutate=_bid_mutate(intent, setting, campaign, merged),
            after=_campaign_after(intent, setting, campaign, merged.parameters),
            answer=_bid_answer(intent, setting, merged),
        ),
        before_value=setting.now or None,
        after_value=intent.value,
        roas_millionths=intent.value if intent.knob == "target_roas" else 0,
        beside=_ceilings(intent, setting),
        lowers_exposure=_lowers_exposure(intent, setting),
        unchanged=unchanged,
        may_move_others=setting.field == pb.BIDDING_FIELD_PORTFOLIO_TARGET_ROAS,
        marker=before["marker"],
    )


def check_currency(campaign: Campaign, currency_code: str) -> None:
    """Raises CurrencyMismatch unless the account is in this currency."""
    if campaign.currency_code != currency_code:
        raise CurrencyMismatch(
            f"campaign {campaign.campaign_id} is in an account in {campaign.currency_code}; "
            f"the bid is in {currency_code}",
            metadata={"account_currency": campaign.currency_code, "currency": currency_code},
        )


def parameters_on(setting: Setting, campaign: Campaign) -> tuple[parameters.Parameter, ...]:
    """The custom parameters beside the setting: the ad group's for its bid, else the campaign's."""
    if setting.field == pb.BIDDING_FIELD_AD_GROUP_CPC_BID:
        assert campaign.ad_group is not None
        return campaign.ad_group.parameters
    return campaign.parameters


def observed(intent: Intent, campaign: Campaign) -> dict[str, Any]:
    """What a look at the campaign can tell of this kind of change, as JSON values."""
    setting = knobs.setting_of(intent, campaign)
    ours = parameters.ours_in(parameters_on(setting, campaign))
    return {
        "field": pb.BiddingField.Name(setting.field),
        "value": setting.now,
        "ceiling_micros": setting.ceiling_now_micros,
        "marker": ours.get(parameters.MARKER, ""),
    }


def _ceilings(intent: Intent, setting: Setting) -> tuple[tuple[int, int], ...]:
    """A portfolio's ceiling now and afterwards; empty: the bid names none."""
    if not intent.ceiling_micros:
        return ()
    return ((setting.ceiling_now_micros, intent.ceiling_micros),)


def _same_setting(intent: Intent, setting: Setting) -> bool:
    same_ceiling = intent.ceiling_micros in (0, setting.ceiling_now_micros)
    return intent.value == setting.now and same_ceiling


def _same_signal(
    before: tuple[parameters.Parameter, ...], after: tuple[parameters.Parameter, ...]
) -> bool:
    """True when nothing but the marker differs."""
    ours_before, ours_after = dict(parameters.ours_in(before)), dict(parameters.ours_in(after))
    ours_before.pop(parameters.MARKER, None)
    ours_after.pop(parameters.MARKER, None)
    return ours_before == ours_after


def _lowers_exposure(intent: Intent, setting: Setting) -> bool:
    """True when less can be spent afterwards, whatever else stays."""
    if setting.field == pb.BIDDING_FIELD_AD_GROUP_CPC_BID:
        return 0 < intent.value < setting.now
    # No target at all spends whatever it takes, so that any target is a restriction.
    exposure_now = _exposure(intent.knob, setting.now)
    exposure_after = _exposure(intent.knob, intent.value)
    no_ceiling = float("inf")
    ceiling_now = setting.ceiling_now_micros or no_ceiling
    ceiling_after = intent.ceiling_micros or ceiling_now
    lower = exposure_after < exposure_now or ceiling_after < ceiling_now
    return lower and exposure_after <= exposure_now and ceiling_after <= ceiling_now


def _exposure(knob: str, value: int) -> float:
    """Grows with what may be spent: a ROAS turned round, a CPA as it is."""
    if value == 0:
        return float("inf")
    return float(-value) if knob == "target_roas" else float(value)


def _bid_mutate(
    intent: Intent, setting: Setting, campaign: Campaign, merged: parameters.Merged
) -> Document:
    """All operations of the bid; explicit masks, so that nothing else can change."""
    value: float = intent.value
    if intent.knob == "target_roas":
        value = intent.value / ROAS_SCALE
    update: dict[str, Any] = {"resourceName": setting.resource_name}
    path = _PATHS[setting.field]
    _put(update, path, value)
    mask = [".".join(path)]
    if intent.ceiling_micros:
        ceiling_path = ("targetRoas", "cpcBidCeilingMicros")
        _put(update, ceiling_path, str(intent.ceiling_micros))
        mask.append(".".join(ceiling_path))
    written = parameters_on(setting, campaign) != merged.parameters
    listed = [{"key": key, "value": text} for key, text in merged.parameters]
    operations: list[Document] = []
    if setting.field == pb.BIDDING_FIELD_PORTFOLIO_TARGET_ROAS:
        if written:
            # A portfolio has no parameters; the campaign's go along in the same atomic request.
            beside = {"resourceName": campaign.resource_name, "urlCustomParameters": listed}
            operations.append(update_of("campaignOperation", beside, ["urlCustomParameters"]))
        operations.append(update_of("biddingStrategyOperation", update, mask))
    else:
        if written:
            update["urlCustomParameters"] = listed
            mask.append("urlCustomParameters")
        is_ad_group = setting.field == pb.BIDDING_FIELD_AD_GROUP_CPC_BID
        operations.append(
            update_of("adGroupOperation" if is_ad_group else "campaignOperation", update, mask)
        )
    return {"customerId": campaign.customer_id, "mutateOperations": operations}


def _put(document: dict[str, Any], path: Sequence[str], value: float | str) -> None:
    *parents, leaf = path
    for parent in parents:
        document = document.setdefault(parent, {})
    # 64-bit integers are text in JSON.
    document[leaf] = str(value) if isinstance(value, int) else value


def update_of(operation: str, update: Document, mask: Sequence[str]) -> Document:
    """One operation of a mutate that sets the fields of `mask` and no others."""
    return {operation: {"update": update, "updateMask": ",".join(mask)}}


def status_mutate(customer_id: str, campaign_id: str, status: str) -> Document:
    """Sets a campaign's status and nothing else."""
    update = {
        "resourceName": f"customers/{customer_id}/campaigns/{campaign_id}",
        "status": status,
    }
    operation = update_of("campaignOperation", update, ["status"])
    return {"customerId": customer_id, "mutateOperations": [operation]}


def _campaign_after(
    intent: Intent,
    setting: Setting,
    campaign: Campaign,
    merged: tuple[parameters.Parameter, ...],
) -> Campaign:
    """The campaign as the accepted mutate leaves it."""
    match setting.field:
        case pb.BIDDING_FIELD_AD_GROUP_CPC_BID:
            assert campaign.ad_group is not None
            ad_group = replace(campaign.ad_group, cpc_bid_micros=intent.value, parameters=merged)
            return replace(campaign, ad_group=ad_group)
        case pb.BIDDING_FIELD_PORTFOLIO_TARGET_ROAS:
            assert campaign.portfolio is not None
            ceiling_micros = intent.ceiling_micros or campaign.portfolio.ceiling_micros
            portfolio = replace(
                campaign.portfolio, roas_millionths=intent.value, ceiling_micros=ceiling_micros
            )
            return replace(campaign, portfolio=portfolio, parameters=merged)
        case pb.BIDDING_FIELD_MAXIMIZE_CONVERSION_VALUE_TARGET_ROAS:
            return replace(campaign, maximize_value_roas_millionths=intent.value, parameters=merged)
        case pb.BIDDING_FIELD_CAMPAIGN_TARGET_ROAS:
            return replace(campaign, target_roas_millionths=intent.value, parameters=merged)
        case pb.BIDDING_FIELD_MAXIMIZE_CONVERSIONS_TARGET_CPA:
            return replace(
                campaign, maximize_conversions_cpa_micros=intent.value, parameters=merged
            )
        case _:
            return replace(campaign, target_cpa_micros=intent.value, parameters=merged)


def _bid_answer(intent: Intent, setting: Setting, merged: parameters.Merged) -> pb.PlaceBidResponse:
    set_on_google = pb.GoogleAdsBid(
        resource_name=setting.resource_name,
        field=setting.field,
        cpc_bid_ceiling_micros=intent.ceiling_micros,
        custom_parameters_written=merged.written,
        custom_parameters_dropped=merged.dropped,
    )
    if intent.knob == "target_roas":
        set_on_google.target_roas = intent.value / ROAS_SCALE
    elif intent.knob == "target_cpa":
        set_on_google.target_cpa_micros = intent.value
    else:
        set_on_google.cpc_bid_micros = intent.value
    result = BidResponse(platform_bid_id=setting.resource_name)
    return pb.PlaceBidResponse(result=result, google_ads=set_on_google)
