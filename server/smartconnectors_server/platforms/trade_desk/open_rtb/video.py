"""A video in an impression, as VAST. Pure."""

from __future__ import annotations

from xml.sax.saxutils import escape

from smartconnectors_server.platforms.trade_desk.open_rtb.creative import Video
from smartconnectors_server.platforms.trade_desk.open_rtb.offer import Markup
from smartconnectors_server.platforms.trade_desk.open_rtb.reading import Declined
from smartconnectors_server.platforms.trade_desk.open_rtb.slots import VideoSlot

# OpenRTB's number -> the VAST version; the first that the player knows is written.
_INLINE = {3: "3.0", 2: "2.0", 7: "4.0"}
_WRAPPER = {6: "3.0", 5: "2.0", 8: "4.0"}
_UNIVERSAL_AD_ID = '<UniversalAdId idRegistry="unknown" idValue="unknown">unknown</UniversalAdId>'
"""What VAST 4.0 asks of every creative; The Trade Desk has no registered id of one."""
_PROGRESSIVE = 2


def fit(slot: VideoSlot, video: Video, crid: str) -> Markup:
    """The video as it plays there. Raises Declined."""
    if not slot.linear:
        raise Declined("format", "the player takes overlays only")
    if video.mime not in slot.mimes:
        raise Declined("format", f"video.mimes does not name {video.mime}")
    if slot.delivery and _PROGRESSIVE not in slot.delivery:
        raise Declined("format", "the player takes no progressive delivery")
    _check_duration(slot, video)
    versions = _WRAPPER if video.vast_url else _INLINE
    protocol = next((p for p in versions if not slot.protocols or p in slot.protocols), 0)
    if not protocol:
        raise Declined("format", f"video.protocols names none of {', '.join(map(str, versions))}")
    if not video.vast_url:
        _check_media(slot, video)
    return Markup(
        _vast(video, versions[protocol], crid),
        video.width,
        video.height,
        protocol=protocol,
        loads=(video.vast_url or video.media_url,),
    )


def _check_duration(slot: VideoSlot, video: Video) -> None:
    least, longest = slot.least_duration_s or 0, slot.longest_duration_s
    if video.duration_s < least or (longest is not None and video.duration_s > longest):
        raise Declined(
            "format",
            f"the video takes {video.duration_s} s; the player takes {least} to "
            f"{longest if longest is not None else 'any number of'} s",
        )


def _check_media(slot: VideoSlot, video: Video) -> None:
    least, most = slot.least_kbps or 0, slot.most_kbps
    if video.kbps < least or (most is not None and video.kbps > most):
        raise Declined("format", f"the player does not take {video.kbps} kbit/s")
    if slot.letterbox or slot.width is None or slot.height is None:
        return
    if video.width * slot.height != video.height * slot.width:
        raise Declined(
            "size",
            f"the video is {video.width}x{video.height}, the player {slot.width}x{slot.height} "
            "without letterboxing",
        )


def _vast(video: Video, version: str, crid: str) -> str:
    system, impression = "<AdSystem>KIKI</AdSystem>", "<Impression>about:blank</Impression>"
    if video.vast_url:
        body = (
            f"<Wrapper>{system}<VASTAdTagURI>{escape(video.vast_url)}</VASTAdTagURI>{impression}"
            "<Creatives></Creatives></Wrapper>"
        )
    else:
        media = (
            f'<MediaFile delivery="progressive" type="{_attribute(video.mime)}" '
            f'width="{video.width}" height="{video.height}" bitrate="{video.kbps}">'
            f"{escape(video.media_url)}</MediaFile>"
        )
        body = (
            f"<InLine>{system}<AdTitle>{escape(video.title)}</AdTitle>{impression}"
            f"<Creatives><Creative>{_UNIVERSAL_AD_ID if version == '4.0' else ''}"
            f"<Linear><Duration>{_clock(video.duration_s)}</Duration>"
            f"<VideoClicks><ClickThrough>{escape(video.click_url)}</ClickThrough></VideoClicks>"
            f"<MediaFiles>{media}</MediaFiles></Linear></Creative></Creatives></InLine>"
        )
    return f'<VAST version="{version}"><Ad id="{_attribute(crid)}">{body}</Ad></VAST>'


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;"})


def _clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest:02d}"
