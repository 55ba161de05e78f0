"""What the sandbox starts with: an advertiser for each currency, each with the same campaigns.

| advertiser | currency | campaigns |
|---|---|---|
| adv-usd | USD | 1001 to 1013 |
| adv-jpy | JPY | 2001 to 2013 |
| adv-kwd | KWD | 3001 to 3013 |

Campaign 1001 has the ad group 10011 and its creatives, `crUSD-300x250` and so on, and a flight with
a daily target of 100 units. The last three are odd: 1011 has two ad groups (10111, 10112), 1012 is
budgeted by Kokai, 1013 has no ad group.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

EXTRA_CAMPAIGNS_FROM = 100_001
"""The id of the first campaign that a sandbox has only when it is asked for more."""
AUDIENCES = frozenset({"aud501", "aud502", "aud503"})

_ADVERTISERS = {"USD": "adv-usd", "JPY": "adv-jpy", "KWD": "adv-kwd"}
_FIRST_CAMPAIGN = {"USD": 1001, "JPY": 2001, "KWD": 3001}
_CAMPAIGNS = 13
_TWO_AD_GROUPS, _KOKAI, _NO_AD_GROUP = 10, 11, 12
_BANNERS = ((300, 250), (728, 90), (320, 50), (300, 600), (160, 600), (970, 250))
_CDN = "https://cdn.brand.example"
_LANDING = "https://www.brand.example/offer"

Entity = dict[str, Any]


def account() -> dict[str, dict[str, Entity]]:
    """Kind of entity -> id -> entity, fresh."""
    kinds: dict[str, dict[str, Entity]] = {
        "advertiser": {},
        "campaign": {},
        "adgroup": {},
        "creative": {},
    }
    for currency_code, advertiser_id in _ADVERTISERS.items():
        kinds["advertiser"][advertiser_id] = {
            "AdvertiserId": advertiser_id,
            "AdvertiserName": f"Brand {currency_code}",
            "CurrencyCode": currency_code,
            "DomainAddress": "https://www.brand.example",
        }
        creatives = _creatives(currency_code, advertiser_id)
        kinds["creative"].update({creative["CreativeId"]: creative for creative in creatives})
        for number in range(_CAMPAIGNS):
            campaign = _campaign(_FIRST_CAMPAIGN[currency_code] + number, advertiser_id, number)
            kinds["campaign"][campaign["CampaignId"]] = campaign
            ids = [creative["CreativeId"] for creative in creatives]
            for ad_group in _ad_groups(campaign["CampaignId"], currency_code, number, ids):
                kinds["adgroup"][ad_group["AdGroupId"]] = ad_group
    return kinds


def _campaign(campaign_number: int, advertiser_id: str, number: int) -> Entity:
    return {
        "CampaignId": str(campaign_number),
        "AdvertiserId": advertiser_id,
        "CampaignName": f"Campaign {campaign_number}",
        "Availability": "Available",
        "BudgetingVersion": "Kokai" if number == _KOKAI else "Solimar",
        "CampaignFlights": [
            {
                "CampaignFlightId": campaign_number * 10,
                "StartDateInclusiveUTC": "2020-01-01T00:00:00",
                "EndDateExclusiveUTC": None,
                "BudgetInAdvertiserCurrency": 1_000_000,
                "DailyTargetInAdvertiserCurrency": 100,
            }
        ],
    }


def _ad_groups(
    campaign_id: str, currency_code: str, number: int, creative_ids: list[str]
) -> list[Entity]:
    count = {_TWO_AD_GROUPS: 2, _NO_AD_GROUP: 0}.get(number, 1)
    return [
        {
            "AdGroupId": f"{campaign_id}{position}",
            "CampaignId": campaign_id,
            "AdGroupName": f"Strategy {position}",
            "Description": "kept as it is",
            "IsEnabled": True,
            "Availability": "Available",
            "RTBAttributes": {
                "BaseBidCPM": {"Amount": Decimal("2.5"), "CurrencyCode": currency_code},
                "MaxBidCPM": {"Amount": 100_000, "CurrencyCode": currency_code},
                "CreativeIds": list(creative_ids),
                "AudienceTargeting": {"AudienceId": None, "CrossDeviceVendorListForAudience": []},
            },
        }
        for position in range(1, count + 1)
    ]


def _creatives(currency_code: str, advertiser_id: str) -> list[Entity]:
    parts: dict[str, Entity] = {}
    for width, height in _BANNERS:
        size = f"{width}x{height}"
        parts[size] = {"ThirdPartyTagAttributes": _tag(width, height)}
    parts["video"] = {
        "TradeDeskHostedVideoAttributes": {
            "VideoUrl": f"{_CDN}/spot.mp4",
            "MimeType": "video/mp4",
            "Width": 1280,
            "Height": 720,
            "Duration": 15,
            "BitrateKbps": 2500,
            "ClickthroughUrl": _LANDING,
            "LandingPageUrl": _LANDING,
            "IsSecurable": True,
        }
    }
    parts["vast"] = {
        "ThirdPartyHostedVideoAttributes": {
            "VastXmlUrl": f"{_CDN}/vast.xml",
            "Duration": 30,
            "LandingPageUrl": _LANDING,
            "IsSecurable": True,
        }
    }
    parts["native"] = {"NativeAttributes": _native()}
    return [
        {
            "AdvertiserId": advertiser_id,
            "CreativeId": f"cr{currency_code}-{name}",
            "CreativeName": f"Brand {name}",
            "Availability": "Available",
            **attributes,
        }
        for name, attributes in parts.items()
    ]


def _tag(width: int, height: int) -> Entity:
    image = f'<img src="{_CDN}/{width}x{height}.png" width="{width}" height="{height}">'
    return {
        "AdTag": f'<a href="%%TTD_CLK%%{_LANDING}" target="_blank">{image}</a>',
        "Width": width,
        "Height": height,
        "LandingPageUrls": [_LANDING],
        "IsSecurable": True,
    }


def _native() -> Entity:
    return {
        "Title": "A brand you know",
        "Description": "What it is good for, in one sentence.",
        "SponsoredBy": "Brand",
        "CallToAction": "See more",
        "LandingPageUrl": _LANDING,
        "ImageUrl": f"{_CDN}/main.jpg",
        "ImageWidth": 1200,
        "ImageHeight": 627,
        "IconUrl": f"{_CDN}/icon.png",
        "IconWidth": 80,
        "IconHeight": 80,
        "IsSecurable": True,
    }
