"""What is shown: nothing by plain http where it must be secure, no macro that nobody replaces."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from tests.corpora.openrtb_requests import ASK, TITLE, VIDEO, Json, native, of, request

from smartconnectors_server.errors import NoBid
from smartconnectors_server.platforms.trade_desk.open_rtb import author
from smartconnectors_server.platforms.trade_desk.open_rtb.creative import creative_of

if TYPE_CHECKING:
    from tests.corpora.conftest import MakeOffer

SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
PICTURE = '<img src="https://cdn.brand.example/a.png">'
# Tags that load nothing by plain http.
SAFE = {
    "a namespace": f"{SVG}<image xlink:href='https://cdn.brand.example/a.png'/></svg>",
    "a document type": (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN" '
        f'"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">{PICTURE}'
    ),
    "a landing page": f'<a href="http://www.brand.example/offer">{PICTURE}</a>',
    "a landing page in capitals": f'<A HREF="HTTP://www.brand.example/offer">{PICTURE}</A>',
    "a landing page behind a counter": (
        f'<a href="https://click.example/?to=http%3A%2F%2Fwww.brand.example">{PICTURE}</a>'
    ),
    "an area of a map": '<map><area href="http://www.brand.example/offer"></map>',
    "a link inside a picture": f'{SVG}<a xlink:href="http://www.brand.example">x</a></svg>',
    "an address to read": f"<p>http://www.brand.example</p>{PICTURE}",
    "a landing page in a handler": (
        """<div onclick="window.open('http://www.brand.example/offer')"></div>"""
    ),
    "a landing page in a script": '<script>var clickTag = "http://www.brand.example/offer";</script>',
    "a namespace in a script": (
        '<script>document.createElementNS("http://www.w3.org/2000/svg", "g")</script>'
    ),
    "a namespace in an image": (
        """<img src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E">"""
    ),
    "a namespace in an encoded image": (
        '<img src="data:image/svg+xml,%3Csvg%20xmlns=%22http://www.w3.org/2000/svg%22/%3E">'
    ),
}
# Tags that load something by plain http.
PLAIN = {
    "a picture": '<img src="http://cdn.example/a.png">',
    "a picture in capitals": '<IMG SRC="HTTP://cdn.example/a.png">',
    "a picture without quotes": "<img src=hTTp://cdn.example/a.png>",
    "a picture behind a blank": '<img src=" http:cdn.example/a.png">',
    "a picture with backslashes": '<img src="http:\\\\cdn.example/a.png">',
    "a picture with a line's end": '<img src="ht\ntp://cdn.example/a.png">',
    "a picture as entities": '<img src="&#104;ttp&colon;&#x2F;&#x2F;cdn.example/a.png">',
    "a picture inside an address": '<img src="https://x.example/?u=http%3A%2F%2Fcdn.example">',
    "a picture encoded twice": '<img src="https://x.example/?u=http%253A%252F%252Fcdn.example">',
    "a picture of a picture": f'{SVG}<image xlink:href="http://cdn.example/a.png"/></svg>',
    "a script": '<script src="http://cdn.example/a.js"></script>',
    "a script with escapes": r'<script>var u = "http:\/\/cdn.example\/a.js";</script>',
    "a script with codes": r'<script>var u = "\x68ttp:\u002f\u002fcdn.example";</script>',
    "a style": "<style>div { background: url(http://cdn.example/a.png) }</style>",
    "a style with codes": r"""<p style="background: url('http\3a\2f\2f cdn.example/a.png')">""",
    "a stylesheet": '<link rel="stylesheet" href="http://cdn.example/a.css">',
    "a base": '<base href="http://cdn.example/"><img src="a.png">',
    "a frame": '<iframe srcdoc="&lt;img src=http://cdn.example/a.png&gt;"></iframe>',
    "a condition": '<!--[if IE]><img src="http://cdn.example/a.png"><![endif]-->',
    "a tag that is not closed": '<p>x</p><img src="http://cdn.example/a.png"',
    "a handler": """<body onload="new Image().src='http://cdn.example/p.gif'">""",
    "a ping of a link": '<a href="https://x.example" ping="http://cdn.example/p">x</a>',
    "something below a landing page's name": (
        '<script>load("http://www.brand.example/offer.js")</script>'
    ),
}


@pytest.mark.parametrize("case", SAFE)
def test_a_secure_impression_takes_what_is_named_or_linked_by_plain_http(
    make_offer: MakeOffer, case: str
) -> None:
    assert bid_with(make_offer, SAFE[case]) == SAFE[case]


@pytest.mark.parametrize("case", PLAIN)
def test_a_secure_impression_does_not_take_what_is_loaded_by_plain_http(
    make_offer: MakeOffer, case: str
) -> None:
    with pytest.raises(NoBid) as caught:
        bid_with(make_offer, PLAIN[case])
    assert caught.value.metadata["rule"] == "secure"


def bid_with(make_offer: MakeOffer, tag: str) -> str:
    """The markup of a bid on a secure impression with a creative of this tag."""
    attributes = {
        "AdTag": tag,
        "Width": 300,
        "Height": 250,
        "LandingPageUrls": ["http://www.brand.example/offer"],
    }
    creative = creative_of({"CreativeId": "cr-1", "ThirdPartyTagAttributes": attributes})
    assert creative is not None
    asked = json.dumps(request({"secure": 1}))
    response_json = author(asked, make_offer(creatives=(creative,)), ASK).response_json
    return str(json.loads(response_json)["seatbid"][0]["bid"][0]["adm"])


@pytest.mark.parametrize(
    ("attributes", "imp", "secure"),
    [
        ({"ClickthroughUrl": "http://www.brand.example"}, VIDEO, True),
        ({"VideoUrl": "HTTP://cdn.brand.example/spot.mp4"}, VIDEO, False),
    ],
)
def test_a_video_may_lead_to_plain_http_and_not_load_it(
    make_offer: MakeOffer, attributes: Json, imp: Json, secure: bool
) -> None:
    hosted = {
        "VideoUrl": "https://cdn.brand.example/spot.mp4",
        "Width": 1280,
        "Height": 720,
        "Duration": 15,
        "BitrateKbps": 2500,
        "ClickthroughUrl": "https://www.brand.example/offer",
        **attributes,
    }
    creative = creative_of({"CreativeId": "cr-1", "TradeDeskHostedVideoAttributes": hosted})
    assert creative is not None
    asked = json.dumps(of({"video": imp, "secure": 1}))
    if secure:
        author(asked, make_offer(creatives=(creative,)), ASK)
        return
    with pytest.raises(NoBid) as caught:
        author(asked, make_offer(creatives=(creative,)), ASK)
    assert caught.value.metadata["rule"] == "secure"


@pytest.mark.parametrize(
    ("link", "image", "secure"), [("http", "https", True), ("https", "Http", False)]
)
def test_a_native_ad_may_lead_to_plain_http_and_not_load_it(
    make_offer: MakeOffer, link: str, image: str, secure: bool
) -> None:
    attributes = {
        "Title": "A brand",
        "LandingPageUrl": f"{link}://www.brand.example",
        "ImageUrl": f"{image}://cdn.brand.example/a.jpg",
        "ImageWidth": 1200,
        "ImageHeight": 627,
    }
    creative = creative_of({"CreativeId": "cr-1", "NativeAttributes": attributes})
    assert creative is not None
    asked = native(TITLE, {"id": 8, "img": {"type": 3}})
    asked["imp"][0]["secure"] = 1
    if secure:
        author(json.dumps(asked), make_offer(creatives=(creative,)), ASK)
        return
    with pytest.raises(NoBid) as caught:
        author(json.dumps(asked), make_offer(creatives=(creative,)), ASK)
    assert caught.value.metadata["rule"] == "secure"


def test_a_macro_that_only_the_trade_desk_replaces_is_not_shown(make_offer: MakeOffer) -> None:
    for macro in ("%%TTD_IMPRESSIONID%%", "%%ttd_campaignid%%", "%%TTD_%%"):
        with pytest.raises(NoBid) as caught:
            bid_with(make_offer, f'<img src="https://x.example/?i={macro}">')
        assert caught.value.metadata["rule"] == "macro"
        assert macro in caught.value.message


def test_clicks_and_cache_busters_are_filled_in(make_offer: MakeOffer) -> None:
    tag = (
        '<a href="%%TTD_CLK%%https://www.brand.example"><img src="https://x.example/?a=%%ttd_clk_esc%%'
        '&n=%%TTD_CACHEBUSTER%%"></a>'
    )
    shown = bid_with(make_offer, tag)
    (number,) = re.findall(r"&n=([0-9]+)", shown)
    assert shown == (
        f'<a href="https://www.brand.example"><img src="https://x.example/?a=&n={number}"></a>'
    )


def test_macros_are_filled_in_wherever_an_ad_has_them(make_offer: MakeOffer) -> None:
    attributes = {
        "VastXmlUrl": "https://x.example/vast?n=%%TTD_CACHEBUSTER%%",
        "Duration": 30,
        "LandingPageUrl": "%%TTD_CLK%%https://www.brand.example",
    }
    creative = creative_of({"CreativeId": "cr-1", "ThirdPartyHostedVideoAttributes": attributes})
    assert creative is not None
    asked = json.dumps(of({"video": VIDEO}))
    assert "%%" not in author(asked, make_offer(creatives=(creative,)), ASK).response_json
