"""The creatives that The Trade Desk has, as far as they can be put into a bid response. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Any

_CLICK_MACRO = re.compile(r"%%TTD_CL(?:K|ICK)(?:_ESC\d*)?%%", re.IGNORECASE)
_CACHE_BUSTER = re.compile(r"%%TTD_CACHE_?BUSTER%%", re.IGNORECASE)
_MACRO = re.compile(r"%%TTD_\w*%%", re.IGNORECASE)
_CACHE_BUSTER_DIGITS = 10
_IMAGE_MIMES = {"png": "image/png", "gif": "image/gif", "jpg": "image/jpeg", "jpeg": "image/jpeg"}

Entity = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Banner:
    """A display ad: HTML of one size."""

    html: str
    mime: str
    width: int
    height: int
    landing_pages: tuple[str, ...] = ()
    """Where clicks lead, as The Trade Desk knows it."""


@dataclass(frozen=True, slots=True)
class Video:
    """A video. With `vast_url` it is a VAST document elsewhere, and `media_url` is empty."""

    title: str
    duration_s: int
    click_url: str
    media_url: str
    mime: str
    width: int
    height: int
    kbps: int
    vast_url: str


@dataclass(frozen=True, slots=True)
class Native:
    """The parts of a native ad; empty: it has none."""

    title: str
    text: str
    sponsor: str
    call_to_action: str
    click_url: str
    image: str
    image_size: tuple[int, int]
    icon: str
    icon_size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Creative:
    """One creative."""

    creative_id: str
    securable: bool
    ad: Banner | Video | Native


def filled(markup: str, request_id: str) -> str:
    """The markup with what The Trade Desk would fill in and can be filled in outside of it: no
    click tracker of its own, and a number that is another one in each bid.
    """
    if "%%" not in markup:
        return markup
    number = int(hashlib.sha256(request_id.encode("utf-8", "backslashreplace")).hexdigest(), 16)
    digits = str(number % 10**_CACHE_BUSTER_DIGITS)
    return _CACHE_BUSTER.sub(digits, _CLICK_MACRO.sub("", markup))


def macro_in(markup: str) -> str:
    """A macro that only The Trade Desk replaces, and that is left; empty: there is none."""
    found = _MACRO.search(markup)
    return found[0] if found else ""


def creative_of(entity: Entity) -> Creative | None:
    """The creative; None when it is of a kind that is not put into bid responses, archived, or not
    of the form that The Trade Desk documents.
    """
    if entity.get("Availability") == "Archived":
        return None
    creative_id = entity.get("CreativeId")
    for attributes, read in _READERS.items():
        part = entity.get(attributes)
        if isinstance(part, dict) and isinstance(creative_id, str):
            try:
                ad = read(part, entity)
            except (KeyError, TypeError, ValueError, AttributeError):
                return None
            return Creative(creative_id, part.get("IsSecurable") is not False, ad)
    return None


def _tag(part: Entity, _entity: Entity) -> Banner:
    html = _CLICK_MACRO.sub("", _text(part["AdTag"]))
    size = _size(part["Width"]), _size(part["Height"])
    return Banner(html, "text/html", *size, _landing_pages(part))


def _landing_pages(part: Entity) -> tuple[str, ...]:
    pages = part.get("LandingPageUrls")
    return tuple(page for page in pages if isinstance(page, str)) if isinstance(pages, list) else ()


def _image(part: Entity, _entity: Entity) -> Banner:
    url, click = _text(part["ImageUrl"]), _text(part["ClickthroughUrl"])
    width, height = _size(part["Width"]), _size(part["Height"])
    html = (
        f'<a href="{escape(click)}" target="_blank" rel="noopener">'
        f'<img src="{escape(url)}" width="{width}" height="{height}" alt=""></a>'
    )
    mime = _IMAGE_MIMES[url.partition("?")[0].rpartition(".")[2].lower()]
    return Banner(html, mime, width, height)


def _hosted_video(part: Entity, entity: Entity) -> Video:
    return Video(
        title=_text(entity.get("CreativeName") or "video"),
        duration_s=_size(part["Duration"]),
        click_url=_text(part["ClickthroughUrl"]),
        media_url=_text(part["VideoUrl"]),
        mime=_text(part.get("MimeType") or "video/mp4").lower(),
        width=_size(part["Width"]),
        height=_size(part["Height"]),
        kbps=_size(part["BitrateKbps"]),
        vast_url="",
    )


def _vast_tag(part: Entity, entity: Entity) -> Video:
    return Video(
        title=_text(entity.get("CreativeName") or "video"),
        duration_s=_size(part["Duration"]),
        click_url=_text(part["LandingPageUrl"]),
        media_url="",
        mime="video/mp4",
        width=0,
        height=0,
        kbps=0,
        vast_url=_text(part["VastXmlUrl"]),
    )


def _native(part: Entity, _entity: Entity) -> Native:
    return Native(
        title=_text(part["Title"]),
        text=_text(part.get("Description") or ""),
        sponsor=_text(part.get("SponsoredBy") or ""),
        call_to_action=_text(part.get("CallToAction") or ""),
        click_url=_text(part["LandingPageUrl"]),
        image=_text(part["ImageUrl"]),
        image_size=(_size(part["ImageWidth"]), _size(part["ImageHeight"])),
        icon=_text(part.get("IconUrl") or ""),
        icon_size=(part.get("IconWidth") or 0, part.get("IconHeight") or 0),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 < value < 10**6:
        raise TypeError("not a size")
    return int(value)


_READERS: Mapping[str, Callable[[Entity, Entity], Banner | Video | Native]] = {
    "ThirdPartyTagAttributes": _tag,
    "ImageAttributes": _image,
    "TradeDeskHostedVideoAttributes": _hosted_video,
    "ThirdPartyHostedVideoAttributes": _vast_tag,
    "NativeAttributes": _native,
}
