"""What an impression has room for: banner, video and native as the bid request says. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from smartconnectors_server.platforms.trade_desk.open_rtb import reading
from smartconnectors_server.platforms.trade_desk.open_rtb.reading import Declined, Object, invalid

LINEAR = 1


@dataclass(frozen=True, slots=True)
class Ratio:
    """A flexible size: any of this ratio that is wide enough."""

    width: int
    height: int
    least_width: int


@dataclass(frozen=True, slots=True)
class Range:
    """A size between bounds, as older exchanges say it; None: no bound."""

    least: tuple[int | None, int | None]
    most: tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class BannerSlot:
    """A place for a banner."""

    sizes: tuple[tuple[int, int], ...]
    ratios: tuple[Ratio, ...]
    bounds: Range | None
    mimes: tuple[str, ...]
    blocked_types: tuple[int, ...]
    blocked_attributes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VideoSlot:
    """A place for a video. None: it does not say."""

    mimes: tuple[str, ...]
    protocols: tuple[int, ...]
    least_duration_s: int | None
    longest_duration_s: int | None
    width: int | None
    height: int | None
    letterbox: bool
    linear: bool
    delivery: tuple[int, ...]
    least_kbps: int | None
    most_kbps: int | None
    blocked_attributes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NativeSlot:
    """A place for a native ad; `request` is the Native Ad specification's own document, as text or
    as the object that some exchanges embed.
    """

    request: str | Object
    version: str
    blocked_attributes: tuple[int, ...]


def banner_slot(banner: Object, where: str) -> BannerSlot:
    """A banner object."""
    sizes: list[tuple[int, int]] = []
    ratios: list[Ratio] = []
    broken: Declined | None = None
    for form, at in reading.entries(banner, "format", where):
        try:
            _add_format(reading.an_object(form, at), at, sizes, ratios)
        except Declined as declined:
            broken = broken or declined
    if broken is not None and not sizes and not ratios:
        raise broken
    width, height = reading.integer(banner, "w", where), reading.integer(banner, "h", where)
    bounds = _bounds(banner, where)
    if width and height and bounds is None and (width, height) not in sizes:
        sizes.append((width, height))
    return BannerSlot(
        sizes=tuple(sizes),
        ratios=tuple(ratios),
        bounds=bounds,
        mimes=reading.texts(banner, "mimes", where),
        blocked_types=reading.integers(banner, "btype", where),
        blocked_attributes=reading.integers(banner, "battr", where),
    )


def _add_format(form: Object, at: str, sizes: list[tuple[int, int]], ratios: list[Ratio]) -> None:
    width, height = reading.integer(form, "w", at), reading.integer(form, "h", at)
    if width and height:
        sizes.append((width, height))
    ratio_width = reading.integer(form, "wratio", at)
    ratio_height = reading.integer(form, "hratio", at)
    if ratio_width and ratio_height:
        least = reading.integer(form, "wmin", at) or 0
        ratios.append(Ratio(ratio_width, ratio_height, least))


def _bounds(banner: Object, where: str) -> Range | None:
    """Deprecated in 2.5 in favour of `format`, and then of no meaning."""
    least = (reading.integer(banner, "wmin", where), reading.integer(banner, "hmin", where))
    most = (reading.integer(banner, "wmax", where), reading.integer(banner, "hmax", where))
    if banner.get("format") or not any((*least, *most)):
        return None
    return Range(least, most)


def video_slot(video: Object, where: str) -> VideoSlot:
    """A video object."""
    mimes = reading.texts(video, "mimes", where)
    if not mimes:
        raise invalid(f"{where}.mimes", "names no type")
    protocols = reading.integers(video, "protocols", where)
    single = reading.integer(video, "protocol", where)
    return VideoSlot(
        mimes=tuple(mime.lower() for mime in mimes),
        protocols=protocols or (() if single is None else (single,)),
        least_duration_s=reading.integer(video, "minduration", where),
        longest_duration_s=reading.integer(video, "maxduration", where) or None,
        width=reading.integer(video, "w", where) or None,
        height=reading.integer(video, "h", where) or None,
        letterbox=reading.flag(video, "boxingallowed", where) is not False,
        linear=reading.integer(video, "linearity", where) in (None, LINEAR),
        delivery=reading.integers(video, "delivery", where),
        least_kbps=reading.integer(video, "minbitrate", where),
        most_kbps=reading.integer(video, "maxbitrate", where) or None,
        blocked_attributes=reading.integers(video, "battr", where),
    )


def native_slot(native: Object, where: str) -> NativeSlot:
    """A native object."""
    request = native.get("request")
    if not isinstance(request, str | dict):
        raise invalid(f"{where}.request", "is neither a text nor an object")
    return NativeSlot(
        request=request,
        version=reading.text(native, "ver", where),
        blocked_attributes=reading.integers(native, "battr", where),
    )
