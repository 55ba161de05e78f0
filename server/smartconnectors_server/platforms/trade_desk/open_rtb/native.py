"""A native ad in an impression, by the Native Ad specification 1.0 to 1.2. Pure."""

from __future__ import annotations

from typing import Any

from smartconnectors_server.platforms.trade_desk import amounts
from smartconnectors_server.platforms.trade_desk.open_rtb import reading
from smartconnectors_server.platforms.trade_desk.open_rtb.creative import Native
from smartconnectors_server.platforms.trade_desk.open_rtb.offer import Markup
from smartconnectors_server.platforms.trade_desk.open_rtb.reading import Declined, Object
from smartconnectors_server.platforms.trade_desk.open_rtb.slots import NativeSlot

_ICON, _MAIN = 1, 3
_SPONSORED, _DESCRIPTION, _CALL_TO_ACTION = 1, 2, 12
_WRAPPED_VERSION = "1.0"
_MIMES = {"png": "image/png", "gif": "image/gif", "jpg": "image/jpeg", "jpeg": "image/jpeg"}


def fit(slot: NativeSlot, native: Native) -> Markup:
    """The ad with the assets that are asked for. Raises Declined when a required one is missing."""
    document = _document(slot)
    wrapped = isinstance(document.get("native"), dict)
    request: Object = document["native"] if wrapped else document
    version = reading.text(request, "ver", "native") or slot.version or "1.2"
    assets = reading.children(request, "assets", "native")
    if not assets:
        raise Declined("format", "native.request asks for no assets")
    filled = []
    for asset, where in assets:
        content = _content(asset, native, where)
        if content is not None:
            filled.append({"id": reading.integer(asset, "id", where) or 0, **content})
        elif reading.integer(asset, "required", where) == 1:
            raise Declined("format", f"{where} is required, and no such asset is there")
    if not filled:
        raise Declined("format", "native.request asks for nothing that is there")
    answer: dict[str, Any] = {
        "ver": version,
        "assets": filled,
        "link": {"url": native.click_url},
    }
    if wrapped or version == "1" or version.startswith(_WRAPPED_VERSION):
        answer = {"native": answer}
    images = [asset["img"]["url"] for asset in filled if "img" in asset]
    return Markup(amounts.write(answer), loads=tuple(images))


def _document(slot: NativeSlot) -> Object:
    if not isinstance(slot.request, str):
        return slot.request
    try:
        document = amounts.parse(slot.request)
    except ValueError:
        raise Declined("format", "native.request is not JSON") from None
    if not isinstance(document, dict):
        raise Declined("format", "native.request is not a JSON object")
    return document


def _content(asset: Object, native: Native, where: str) -> dict[str, Any] | None:
    """What the asset is filled with; None: nothing that would fit."""
    title = reading.child(asset, "title", where)
    if title is not None:
        length = reading.integer(title, "len", where)
        fits = length is None or len(native.title) <= length
        return {"title": {"text": native.title}} if fits else None
    image = reading.child(asset, "img", where)
    if image is not None:
        return _image(image, native, where)
    data = reading.child(asset, "data", where)
    return None if data is None else _data(data, native, where)


def _image(image: Object, native: Native, where: str) -> dict[str, Any] | None:
    kind = reading.integer(image, "type", where)
    if kind == _ICON:
        url, (width, height) = native.icon, native.icon_size
    elif kind in (None, _MAIN):
        url, (width, height) = native.image, native.image_size
    else:
        return None
    mimes = reading.texts(image, "mimes", where)
    mime = _MIMES.get(url.partition("?")[0].rpartition(".")[2].lower(), "")
    if not url or (mimes and mime not in (m.lower().replace("/jpg", "/jpeg") for m in mimes)):
        return None
    if not _large_enough(image, "w", width, where) or not _large_enough(image, "h", height, where):
        return None
    return {"img": {"url": url, "w": width, "h": height}}


def _large_enough(image: Object, side: str, length: int, where: str) -> bool:
    """With a least length, any from there on; with nothing but an exact one, that."""
    least = reading.integer(image, f"{side}min", where)
    exact = reading.integer(image, side, where)
    return length >= least if least is not None else not exact or length == exact


def _data(data: Object, native: Native, where: str) -> dict[str, Any] | None:
    value = {
        _SPONSORED: native.sponsor,
        _DESCRIPTION: native.text,
        _CALL_TO_ACTION: native.call_to_action,
    }.get(reading.integer(data, "type", where) or 0, "")
    length = reading.integer(data, "len", where)
    if not value or (length is not None and len(value) > length):
        return None
    return {"data": {"value": value}}
