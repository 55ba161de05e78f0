"""What OpenRTB 2.5 asks of a bid response to a request, written from the specification alone.

It shares no code with the author that it judges, and reads plain JSON.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

MACROS = (
    "${AUCTION_ID}",
    "${AUCTION_BID_ID}",
    "${AUCTION_IMP_ID}",
    "${AUCTION_SEAT_ID}",
    "${AUCTION_AD_ID}",
    "${AUCTION_PRICE}",
    "${AUCTION_CURRENCY}",
    "${AUCTION_MBR}",
    "${AUCTION_LOSS}",
)
VAST_OF_PROTOCOL = {
    2: ("2.0", "InLine"),
    3: ("3.0", "InLine"),
    5: ("2.0", "Wrapper"),
    6: ("3.0", "Wrapper"),
    7: ("4.0", "InLine"),
    8: ("4.0", "Wrapper"),
}
# What is not loaded although it is written as an address: names and links.
NOT_LOADED = re.compile(
    r"""\sxmlns(?::\w+)?=(["']).*?\1|<(?:a|area)\s[^>]*?\bhref=(["']).*?\2"""
    r"""|<ClickThrough>.*?</ClickThrough>|"link":\{"url":"(?:[^"\\]|\\.)*"\}""",
    re.IGNORECASE | re.DOTALL,
)

Json = dict[str, Any]


def broken_rules(request_json: str, response_json: str) -> list[str]:
    """Every rule that the response breaks; empty: it is a good answer to the request."""
    request = json.loads(request_json, parse_float=Decimal)
    response = json.loads(response_json, parse_float=Decimal)
    return list(_broken(request, response, response_json))


def _broken(request: Json, response: Json, response_json: str) -> Iterator[str]:
    if response["id"] != str(request["id"]):
        yield "id: not the request's"
    if request.get("test") in (1, "1", True):
        yield "test: a bid where nothing is billed"
    if len(response["seatbid"]) != 1 or len(response["seatbid"][0]["bid"]) != 1:
        yield "seatbid: not one bid"
    seat, bid = response["seatbid"][0].get("seat"), response["seatbid"][0]["bid"][0]
    whole = [imp for imp in request["imp"] if isinstance(imp, dict)]
    imps = [imp for imp in whole if str(imp.get("id")) == bid["impid"]]
    if len(imps) != 1:
        yield "impid: not an impression of the request"
        return
    yield from _broken_seat(request, seat)
    yield from _broken_price(request, imps[0], response, bid, seat)
    yield from _broken_blocks(request, bid)
    yield from _broken_media(imps[0], bid)
    yield from _broken_notices(imps[0], bid)
    for name in ("id", "adid", "adomain", "cid", "crid", "adm"):
        if not bid.get(name):
            yield f"{name}: missing"
    if not re.search(r'"price":\d+(\.\d{1,6})?[,}]', response_json):
        yield "price: not a plain decimal of at most six places"


def _broken_seat(request: Json, seat: str | None) -> Iterator[str]:
    if request.get("wseat") and seat not in request["wseat"]:
        yield "wseat: another seat"
    if seat in (request.get("bseat") or ()):
        yield "bseat: blocked"


def _broken_price(
    request: Json, imp: Json, response: Json, bid: Json, seat: str | None
) -> Iterator[str]:
    currency = response.get("cur", "USD")
    if request.get("cur") and currency not in request["cur"]:
        yield "cur: not allowed"
    pmp = imp.get("pmp") or {}
    source = imp
    if "dealid" in bid:
        offered = [deal for deal in pmp.get("deals") or () if isinstance(deal, dict)]
        deals = [deal for deal in offered if str(deal.get("id")) == bid["dealid"]]
        if not deals:
            yield "dealid: not offered"
            return
        source = deals[0]
        if source.get("wseat") and seat not in source["wseat"]:
            yield "dealid: for other seats"
        if source.get("wadomain") and not any(
            _is_under(domain, allowed)
            for domain in bid["adomain"]
            for allowed in source["wadomain"]
        ):
            yield "dealid: for other advertisers"
    elif pmp.get("private_auction") == 1:
        yield "dealid: missing in a private auction"
    floor = source.get("bidfloor") or 0
    if "dealid" in bid and source.get("at") == 3 and bid["price"] != floor:
        yield "bidfloor: not the price that was agreed"
    if floor and source.get("bidfloorcur", "USD") != currency:
        yield "bidfloorcur: another currency than the price"
    if bid["price"] < floor:
        yield "bidfloor: the price is below it"


def _broken_blocks(request: Json, bid: Json) -> Iterator[str]:
    for blocked in request.get("badv") or ():
        if any(_is_under(domain, blocked) for domain in bid.get("adomain", ())):
            yield f"badv: {blocked}"
    for blocked in request.get("bcat") or ():
        categories = bid.get("cat")
        if not categories or any(_is_category(cat, blocked) for cat in categories):
            yield f"bcat: {blocked}"
    if bid.get("bundle") in (request.get("bapp") or ()):
        yield "bapp: blocked"


def _broken_media(imp: Json, bid: Json) -> Iterator[str]:
    kind = {"<VAST": "video", '{"ver': "native", '{"nat': "native"}.get(bid["adm"][:5], "banner")
    if kind not in imp:
        yield f"adm: a {kind}, which the impression does not take"
        return
    if set(bid.get("attr", ())) & set(imp[kind].get("battr") or ()):
        yield "battr: blocked attribute"
    judge = {"banner": _broken_banner, "video": _broken_video, "native": _broken_native}[kind]
    yield from judge(imp[kind], bid)


def _broken_banner(banner: Json, bid: Json) -> Iterator[str]:
    width, height = bid.get("w"), bid.get("h")
    if not width or not height:
        yield "w, h: missing"
        return
    places = [one for one in banner.get("format") or [banner] if isinstance(one, dict)]
    exact = [(one.get("w"), one.get("h")) for one in [*places, banner]]
    ratios = [
        (one["wratio"], one["hratio"], one.get("wmin") or 0)
        for one in places
        if one.get("wratio") and one.get("hratio")
    ]
    flexible = any(
        width * hratio == height * wratio and width >= wmin for wratio, hratio, wmin in ratios
    )
    ranged = (
        not banner.get("format")
        and any(banner.get(name) for name in ("wmin", "hmin", "wmax", "hmax"))
        and (banner.get("wmin") or 0) <= width <= (banner.get("wmax") or width)
        and (banner.get("hmin") or 0) <= height <= (banner.get("hmax") or height)
    )
    if (width, height) not in exact and not flexible and not ranged:
        yield f"size: {width}x{height} does not fit"
    if banner.get("mimes") and "text/html" not in banner["mimes"]:
        yield "banner.mimes: no HTML"
    scripted = "<script" in bid["adm"].lower()
    if set(banner.get("btype") or ()) & ({3} if scripted else {2}):
        yield "btype: blocked"


def _broken_video(video: Json, bid: Json) -> Iterator[str]:
    vast = ET.fromstring(bid["adm"])
    version, kind = VAST_OF_PROTOCOL[bid["protocol"]]
    if vast.get("version") != version or vast.find(f"Ad/{kind}") is None:
        yield "protocol: not what the markup is"
    yield from _broken_vast_4(vast)
    known = video.get("protocols") or ([video["protocol"]] if video.get("protocol") else [])
    if known and bid["protocol"] not in known:
        yield "protocol: the player does not know it"
    if video.get("linearity") == 2:
        yield "linearity: linear in an overlay"
    if video.get("delivery") and 2 not in video["delivery"]:
        yield "delivery: progressive"
    for media in vast.iter("MediaFile"):
        if media.get("type") not in video["mimes"]:
            yield "video.mimes: another type"
        rate = int(media.get("bitrate", "0"))
        if not (video.get("minbitrate") or 0) <= rate <= (video.get("maxbitrate") or rate):
            yield "bitrate: out of range"
        if video.get("boxingallowed") == 0 and video.get("w") and video.get("h"):
            sides = int(media.get("width", "0")), int(media.get("height", "0"))
            if sides[0] * video["h"] != sides[1] * video["w"]:
                yield "boxingallowed: letterboxed"
    for duration in vast.iter("Duration"):
        hours, minutes, seconds = map(int, str(duration.text).split(":"))
        length = hours * 3600 + minutes * 60 + seconds
        if not (video.get("minduration") or 0) <= length <= (video.get("maxduration") or length):
            yield "duration: out of range"


def _broken_vast_4(vast: ET.Element) -> Iterator[str]:
    if vast.get("version") != "4.0":
        return
    for creative in vast.findall("Ad/InLine/Creatives/Creative"):
        if creative.find("UniversalAdId") is None:
            yield "protocol: VAST 4.0 without a UniversalAdId"


def _broken_native(native: Json, bid: Json) -> Iterator[str]:
    asked, answer = native["request"], json.loads(bid["adm"])
    if isinstance(asked, str):
        asked = json.loads(asked)
    asked, answer = asked.get("native", asked), answer.get("native", answer)
    given = [asset["id"] for asset in answer["assets"]]
    for asset in asked["assets"]:
        if asset.get("required") == 1 and asset.get("id", 0) not in given:
            yield f"native: required asset {asset.get('id')} is missing"
    if not answer["link"]["url"]:
        yield "native: no link"
    lengths = {
        asset.get("id", 0): asset["title"]["len"]
        for asset in asked["assets"]
        if "len" in asset.get("title", {})
    }
    for asset in answer["assets"]:
        text = asset.get("title", {}).get("text", "")
        if len(given) == len(set(given)) and len(text) > lengths.get(asset["id"], len(text)):
            yield "native: the title is too long"


def _broken_notices(imp: Json, bid: Json) -> Iterator[str]:
    urls = [bid.get(name, "") for name in ("nurl", "burl", "lurl")]
    if not all(urls):
        yield "notices: missing"
    for macro in MACROS:
        if not any(macro in url for url in urls):
            yield f"notices: {macro} is missing"
    if "${AUCTION_LOSS}" in urls[0] + urls[1]:
        yield "notices: a loss in a win"
    if imp.get("secure") in (1, "1", True):
        for text in [*urls, NOT_LOADED.sub("", bid["adm"])]:
            plain = unquote(html.unescape(text)).replace("\\/", "/")
            if re.search("http://", plain, re.IGNORECASE):
                yield "secure: plain http"
    if "%%TTD_" in bid["adm"].upper():
        yield "adm: a macro that only The Trade Desk replaces"


def _is_under(domain: str, listed: str) -> bool:
    return domain.lower() == listed.lower() or domain.lower().endswith("." + listed.lower())


def _is_category(category: str, blocked: str) -> bool:
    return category == blocked or category.partition("-")[0] == blocked
