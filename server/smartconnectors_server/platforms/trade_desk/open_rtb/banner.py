"""A banner in an impression. Pure."""

from __future__ import annotations

import re

from smartconnectors_server.platforms.trade_desk.open_rtb.creative import Banner
from smartconnectors_server.platforms.trade_desk.open_rtb.offer import Markup
from smartconnectors_server.platforms.trade_desk.open_rtb.reading import Declined, shown
from smartconnectors_server.platforms.trade_desk.open_rtb.slots import BannerSlot, Range

_XHTML_BANNER, _SCRIPT, _FRAME = 2, 3, 4
_SCRIPT_TAG = re.compile(r"<script\b", re.IGNORECASE)
_FRAME_TAG = re.compile(r"<iframe\b", re.IGNORECASE)


def fit(slot: BannerSlot, banner: Banner) -> Markup:
    """The banner as it stands there. Raises Declined."""
    size = f"{banner.width}x{banner.height}"
    if slot.mimes and banner.mime not in (mime.lower() for mime in slot.mimes):
        raise Declined("format", f"banner.mimes does not name {banner.mime}")
    for kind in _kinds(banner):
        if kind in slot.blocked_types:
            raise Declined("format", f"banner.btype blocks type {kind}")
    if (banner.width, banner.height) in slot.sizes or _within(slot.bounds, banner):
        return Markup(banner.html, banner.width, banner.height)
    for ratio in slot.ratios:
        same = banner.width * ratio.height == banner.height * ratio.width
        if same and banner.width >= ratio.least_width:
            return Markup(banner.html, banner.width, banner.height, (ratio.width, ratio.height))
    named = [f"{width}x{height}" for width, height in slot.sizes]
    named += [f"{ratio.width}:{ratio.height}" for ratio in slot.ratios]
    wanted = shown(", ".join(named)) if named else "no exact size"
    raise Declined("size", f"the banner is {size}; the impression names {wanted}")


def _kinds(banner: Banner) -> tuple[int, ...]:
    """OpenRTB's types of banner that the HTML is of."""
    kinds = []
    if _SCRIPT_TAG.search(banner.html):
        kinds.append(_SCRIPT)
    if _FRAME_TAG.search(banner.html):
        kinds.append(_FRAME)
    return tuple(kinds) or (_XHTML_BANNER,)


def _within(bounds: Range | None, banner: Banner) -> bool:
    if bounds is None:
        return False
    size = (banner.width, banner.height)
    return all(
        (least or 0) <= value and (most is None or value <= most)
        for value, least, most in zip(size, bounds.least, bounds.most, strict=True)
    )
