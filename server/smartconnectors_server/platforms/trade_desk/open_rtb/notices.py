"""The URLs by which an exchange tells what became of a bid. Pure.

The exchange replaces the macros, as plain text; between them the three URLs carry all nine of
OpenRTB 2.5. `nurl` says that the bid won, `burl` that it is billed, `lurl` that it lost and why.
"""

from __future__ import annotations

from urllib.parse import quote

MACROS = {
    "auction": "${AUCTION_ID}",
    "bid": "${AUCTION_BID_ID}",
    "imp": "${AUCTION_IMP_ID}",
    "seat": "${AUCTION_SEAT_ID}",
    "ad": "${AUCTION_AD_ID}",
    "price": "${AUCTION_PRICE}",
    "currency": "${AUCTION_CURRENCY}",
    "mbr": "${AUCTION_MBR}",
    "loss": "${AUCTION_LOSS}",
}
_PATHS = {"nurl": "win", "burl": "billing", "lurl": "loss"}


def notices(base_url: str, request_id: str) -> dict[str, str]:
    """`nurl`, `burl` and `lurl` of a bid; none without a base."""
    if not base_url:
        return {}
    urls = {}
    for field, path in _PATHS.items():
        named = [(key, macro) for key, macro in MACROS.items() if key != "loss" or field == "lurl"]
        query = "&".join(f"{key}={macro}" for key, macro in named)
        urls[field] = (
            f"{base_url}/openrtb/2.5/notice/{path}?request={quote(request_id, safe='')}&{query}"
        )
    return urls
