"""One rule at a time: what the corpus has too few of."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.corpora.openrtb_requests import ASK, BANNER, TITLE, VIDEO, Json, native, of, pmp, request

from smartconnectors_server.errors import InvalidBid, NoBid
from smartconnectors_server.platforms.trade_desk.open_rtb import Ask, author
from smartconnectors_server.platforms.trade_desk.open_rtb.creative import Banner

if TYPE_CHECKING:
    from tests.corpora.conftest import Judge, MakeOffer

# What is asked, and what the account is otherwise.
BID_ON: dict[str, tuple[Json, Json]] = {
    "nothing special": (request(), {}),
    "a floor that is met exactly": (request({"bidfloor": 2.5}), {}),
    "a floor of nothing in another currency": (request({"bidfloor": 0, "bidfloorcur": "EUR"}), {}),
    "a currency that is allowed": (request(cur=["EUR", "USD"]), {}),
    "a seat that is allowed": (request(wseat=["seat-0", "seat-1"]), {}),
    "another seat that is blocked": (request(bseat=["seat-0"]), {}),
    "another category that is blocked": (request(bcat=["IAB25", "IAB3-2"]), {}),
    "another advertiser that is blocked": (request(badv=["other.example", "rand.example"]), {}),
    "another app that is blocked": (
        request(bapp=["com.other"]),
        {"app_bundle": "com.example"},
    ),
    "a blocked app when none is advertised": (request(bapp=[""]), {}),
    "another attribute that is blocked": (
        request({"banner": {**BANNER, "battr": [1]}}),
        {"attributes": (3,)},
    ),
    "a deal in a private auction": (request(pmp({"id": "d1", "bidfloor": 2})), {}),
    "a deal without a floor, under a floor that is its own": (
        request({"bidfloor": 99, **pmp({"id": "d1"}, private=0)}),
        {},
    ),
    "the deal of several that is for the seat": (
        request(pmp({"id": "d1", "wseat": ["seat-0"]}, {"id": "d2", "wseat": ["seat-1"]})),
        {},
    ),
    "a deal for the advertiser": (request(pmp({"id": "d1", "wadomain": ["brand.example"]})), {}),
    "a secure impression": (request({"secure": 1}), {}),
    "plain http where it is not secure": (
        request({"secure": 0}),
        {"notice_base_url": "http://notices.example"},
    ),
    "a flexible size": (
        request({"banner": {"format": [{"wratio": 6, "hratio": 5, "wmin": 200}]}}),
        {},
    ),
    "a size between bounds": (
        request({"banner": {"wmin": 100, "wmax": 320, "hmin": 200, "hmax": 300}}),
        {},
    ),
    "the second of two impressions": (
        {
            "id": "auction-1",
            "app": {},
            "imp": [
                {"id": "imp-0", "banner": {"w": 1, "h": 1}},
                {"id": "imp-1", "banner": BANNER},
            ],
        },
        {},
    ),
    "a video": (of({"video": VIDEO}), {}),
    "a video in VAST 2 alone": (of({"video": {**VIDEO, "protocols": [2]}}), {}),
    "a video whose player knows wrappers alone": (of({"video": {**VIDEO, "protocols": [6]}}), {}),
    "a video with the same ratio": (
        of({"video": {**VIDEO, "boxingallowed": 0, "w": 640, "h": 360}}),
        {},
    ),
    "a native ad": (native(TITLE, {"id": 8, "required": 1, "img": {"type": 3, "wmin": 300}}), {}),
    "a native ad as 1.0 wraps it": (
        of({"native": {"request": json.dumps({"native": {"ver": "1.0", "assets": [TITLE]}})}}),
        {},
    ),
    "an app that is null beside a site": (request(app=None), {}),
    "a site that is null beside an app": ({**request(site=None), "app": {}}, {}),
    "a native ad whose request is an object": (
        of({"native": {"request": {"assets": [TITLE]}}}),
        {},
    ),
    "a native ad whose versions are numbers": (
        of({"native": {"ver": 1.2, "request": json.dumps({"ver": 1.2, "assets": [TITLE]})}}),
        {},
    ),
    "a banner beside a native ad that is an object": (
        request({"native": {"request": {"ver": 1.2, "assets": [{"id": 1, "title": {"len": 5}}]}}}),
        {},
    ),
    "a banner beside a native ad that is nothing": (request({"native": {"request": 7}}), {}),
    "a banner beside a native list": (request({"native": []}), {}),
    "a banner beside a video without types": (request({"video": {}}), {}),
    "a video beside a banner that is a list": (of({"banner": [], "video": VIDEO}), {}),
    "an impression beside one that is null": (
        {**request(), "imp": [None, {"id": "imp-1", "banner": BANNER}]},
        {},
    ),
    "an impression beside one that is a text": (
        {**request(), "imp": ["imp-0", {"id": "imp-1", "banner": BANNER}]},
        {},
    ),
    "an impression beside one without an id": (
        {**request(), "imp": [{"banner": BANNER}, {"id": "imp-1", "banner": BANNER}]},
        {},
    ),
    "an impression beside one of nothing": (
        {**request(), "imp": [{"id": "imp-0"}, {"id": "imp-1", "banner": BANNER}]},
        {},
    ),
    "an impression beside one with a broken floor": (
        {
            **request(),
            "imp": [
                {"id": "imp-0", "banner": BANNER, "bidfloor": {}},
                {"id": "imp-1", "banner": BANNER},
            ],
        },
        {},
    ),
    "a format beside one that is broken": (
        request({"banner": {"format": [None, {"w": {}, "h": 1}, {"w": 300, "h": 250}]}}),
        {},
    ),
    "a deal beside those that are broken": (
        request(
            {
                "pmp": {
                    "private_auction": 1,
                    "deals": [None, "d0", {"id": "d1", "bidfloor": []}, {"id": "d2"}],
                }
            }
        ),
        {},
    ),
    "the open auction beside a broken deal": (
        request({"pmp": {"deals": [{"id": "d1", "wseat": {}}]}}),
        {},
    ),
    "a deal whose price is fixed": (
        request(pmp({"id": "d1", "at": 3, "bidfloor": 1.25})),
        {},
    ),
    "a deal whose price is fixed and just paid": (
        request(pmp({"id": "d1", "at": 3, "bidfloor": 2.5})),
        {},
    ),
    "an auction that is no test": (request(test=0), {}),
    "a quantity of one": (request({"qty": {"multiplier": 1}}), {}),
    "a video in VAST 4 alone": (of({"video": {**VIDEO, "protocols": [7]}}), {}),
    "a video whose player knows wrappers of VAST 4 alone": (
        of({"video": {**VIDEO, "protocols": [8]}}),
        {},
    ),
    "a native ad without what is not required": (
        native(TITLE, {"id": 8, "required": 0, "data": {"type": 6}}),
        {},
    ),
}

# As above, and the rule that forbids a bid.
DECLINED: dict[str, tuple[Json, Json, str]] = {
    "no id": ({"imp": [{"id": "1", "banner": BANNER}], "site": {}}, {}, "request"),
    "no impressions": ({"id": "1", "imp": [], "site": {}}, {}, "request"),
    "impressions that are no list": ({"id": "1", "imp": {}, "site": {}}, {}, "request"),
    "both site and app": (request(app={}), {}, "request"),
    "neither site nor app": ({"id": "1", "imp": [{"id": "1", "banner": BANNER}]}, {}, "request"),
    "an impression without an id": (request({"id": ""}), {}, "request"),
    "an impression of nothing": (of({}), {}, "request"),
    "a floor that is words": (request({"bidfloor": "one"}), {}, "request"),
    "a floor that is a text and higher": (request({"bidfloor": "2.51"}), {}, "floor"),
    "a floor in another currency in lower case": (
        request({"bidfloor": 1, "bidfloorcur": "eur"}),
        {},
        "floor",
    ),
    "another currency that is a text": (request(cur="EUR"), {}, "currency"),
    "currencies in one text": (request(cur="EUR,USD"), {}, "request"),
    "a seat that is not allowed beside nothing": (request(wseat=["", "seat-0"]), {}, "seat"),
    "an advertiser that is a text": (request(badv="brand.example"), {}, "advertiser"),
    "advertisers in one text": (request(badv="a.example,b.example"), {}, "request"),
    "a test": (request(test=1), {}, "test"),
    "a test as a text": (request(test="1"), {}, "test"),
    "a test that is true": (request(test=True), {}, "test"),
    "a test that is something else": (request(test="yes"), {}, "request"),
    "a multiplier that the bid does not cover": (
        request({"qty": {"multiplier": 14.2}}),
        {},
        "quantity",
    ),
    "a multiplier as a text": (request({"qty": {"multiplier": "14.2"}}), {}, "quantity"),
    "a multiplier as an extension": (
        request({"ext": {"qty": {"multiplier": 2}}}),
        {},
        "quantity",
    ),
    "a quantity that is a number": (request({"qty": 2}), {}, "quantity"),
    "a quantity without a multiplier": (request({"qty": {}}), {}, "quantity"),
    "a multiplier that is words": (request({"qty": {"multiplier": "many"}}), {}, "quantity"),
    "a fixed price that is higher": (
        request(pmp({"id": "d1", "at": 3, "bidfloor": 2.51})),
        {},
        "floor",
    ),
    "a fixed price that is higher by less than a micro": (
        request(pmp({"id": "d1", "at": 3, "bidfloor": 2.5000001})),
        {},
        "floor",
    ),
    "a fixed price that is not named": (request(pmp({"id": "d1", "at": 3})), {}, "deal"),
    "a fixed price in another currency": (
        request(pmp({"id": "d1", "at": 3, "bidfloor": 1, "bidfloorcur": "EUR"})),
        {},
        "floor",
    ),
    "an id that is a fraction": ({**request(), "id": 1.5}, {}, "request"),
    "an id that is true": ({**request(), "id": True}, {}, "request"),
    "one id as a number and as a text": (
        {**request(), "imp": [{"id": 1, "banner": BANNER}, {"id": "1", "banner": BANNER}]},
        {},
        "request",
    ),
    "a floor below nothing": (request({"bidfloor": -1}), {}, "request"),
    "a width that is no whole number": (
        request({"banner": {"w": 300.5, "h": 250}}),
        {},
        "request",
    ),
    "a floor just above": (request({"bidfloor": 2.500001}), {}, "floor"),
    "a floor in another currency": (request({"bidfloor": 1, "bidfloorcur": "EUR"}), {}, "floor"),
    "a floor in dollars by default": (request({"bidfloor": 1}), {"currency_code": "EUR"}, "floor"),
    "a currency that is not allowed": (request(cur=["EUR"]), {}, "currency"),
    "a seat that is not allowed": (request(wseat=["seat-0"]), {}, "seat"),
    "no seat where some are allowed": (request(wseat=["seat-0"]), {"seat": ""}, "seat"),
    "a seat that is blocked": (request(bseat=["seat-1"]), {}, "seat"),
    "the category": (request(bcat=["IAB3-1"]), {}, "category"),
    "the category above": (request(bcat=["IAB3"]), {}, "category"),
    "any category when one's own is not known": (
        request(bcat=["IAB25"]),
        {"categories": ()},
        "category",
    ),
    "categories of a later taxonomy": (request(bcat=["483"], cattax=6), {}, "category"),
    "the advertiser": (request(badv=["brand.example"]), {}, "advertiser"),
    "the advertiser in capitals": (request(badv=["BRAND.EXAMPLE"]), {}, "advertiser"),
    "the domain above the advertiser's": (
        request(badv=["brand.example"]),
        {"domain": "shop.brand.example"},
        "advertiser",
    ),
    "any advertiser when one's own is not known": (
        request(badv=["other.example"]),
        {"domain": ""},
        "advertiser",
    ),
    "the app": (request(bapp=["com.example"]), {"app_bundle": "com.example"}, "app"),
    "an attribute": (
        request({"banner": {**BANNER, "battr": [3]}}),
        {"attributes": (3,)},
        "attribute",
    ),
    "a private auction without deals": (request(pmp()), {}, "deal"),
    "a private auction for others": (request(pmp({"id": "d1", "wseat": ["x"]})), {}, "deal"),
    "a deal for another advertiser": (request(pmp({"id": "d1", "wadomain": ["x"]})), {}, "deal"),
    "a deal without an id": (request(pmp({"bidfloor": 0})), {}, "deal"),
    "a deal whose floor is higher": (request(pmp({"id": "d1", "bidfloor": 3})), {}, "floor"),
    "a deal whose floor is in dollars by default": (
        request({"bidfloorcur": "EUR", **pmp({"id": "d1", "bidfloor": 1})}),
        {"currency_code": "EUR"},
        "floor",
    ),
    "notices over plain http": (
        request({"secure": 1}),
        {"notice_base_url": "http://notices.example"},
        "secure",
    ),
    "another size": (request({"banner": {"format": [{"w": 301, "h": 250}]}}), {}, "size"),
    "no size": (request({"banner": {}}), {}, "size"),
    "a flexible size that is wider": (
        request({"banner": {"format": [{"wratio": 6, "hratio": 5, "wmin": 301}]}}),
        {},
        "size",
    ),
    "another type of banner": (
        request({"banner": {**BANNER, "mimes": ["image/gif"]}}),
        {},
        "format",
    ),
    "banners of HTML blocked": (request({"banner": {**BANNER, "btype": [2]}}), {}, "format"),
    "a longer video": (
        of({"video": {**VIDEO, "minduration": 31, "maxduration": 60}}),
        {},
        "format",
    ),
    "another type of video": (of({"video": {**VIDEO, "mimes": ["video/webm"]}}), {}, "format"),
    "a video without types": (of({"video": {}}), {}, "request"),
    "a player whose protocol is null": (
        of({"video": {**VIDEO, "protocols": [None]}}),
        {},
        "request",
    ),
    "a blocked attribute that is null": (
        request({"banner": {**BANNER, "battr": [None]}}),
        {},
        "request",
    ),
    "a player of DAAST alone": (of({"video": {**VIDEO, "protocols": [9, 10]}}), {}, "format"),
    "a player of overlays": (of({"video": {**VIDEO, "linearity": 2}}), {}, "format"),
    "audio": (of({"audio": {"mimes": ["audio/mp4"]}}), {}, "kind"),
    "a native ad that cannot be read": (of({"native": {"request": "{]"}}), {}, "format"),
    "a native ad with a rating": (
        native({"id": 1, "required": 1, "data": {"type": 3}}),
        {},
        "format",
    ),
    "a native ad with a shorter title": (
        native({"id": 1, "required": 1, "title": {"len": 5}}),
        {},
        "format",
    ),
    "a campaign without creatives": (request(), {"creatives": ()}, "creative"),
}


@pytest.mark.parametrize("case", BID_ON)
def test_it_is_bid_on_by_the_rules(case: str, make_offer: MakeOffer, broken_rules: Judge) -> None:
    asked, otherwise = BID_ON[case]
    response_json = author(json.dumps(asked), make_offer(**otherwise), ASK).response_json
    assert broken_rules(json.dumps(asked), response_json) == []


@pytest.mark.parametrize("case", DECLINED)
def test_it_is_declined_by_the_rule(case: str, make_offer: MakeOffer) -> None:
    asked, otherwise, rule = DECLINED[case]
    with pytest.raises(NoBid) as caught:
        author(json.dumps(asked), make_offer(**otherwise), ASK)
    metadata = caught.value.metadata
    assert metadata["rule"] == rule
    assert metadata["nbr"] == ("2" if rule == "request" else "0")
    if isinstance(asked.get("id"), str):
        response = {"id": asked["id"], "nbr": int(metadata["nbr"])}
        assert json.loads(metadata["bid_response_json"]) == response


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "NaN", '{"id": Infinity}', "[" * 100_000])
def test_what_is_no_json_object_is_the_callers_mistake(text: str, make_offer: MakeOffer) -> None:
    with pytest.raises(InvalidBid, match=r"^open_rtb\.bid_request_json: is not"):
        author(text, make_offer(), ASK)


def test_a_response_says_all_that_it_should(make_offer: MakeOffer) -> None:
    asked = request(pmp({"id": "d1"}))
    authored = author(json.dumps(asked), make_offer(attributes=(3,), app_bundle="com.x"), ASK)
    response = json.loads(authored.response_json)
    (seatbid,) = response.pop("seatbid")
    (bid,) = seatbid.pop("bid")
    assert response == {"id": "auction-1", "bidid": "bid-1", "cur": "USD"}
    assert seatbid == {"seat": "seat-1"}
    notice = "https://notices.example/openrtb/2.5/notice"
    assert [bid.pop(name).split("?")[0] for name in ("nurl", "burl", "lurl")] == [
        f"{notice}/win",
        f"{notice}/billing",
        f"{notice}/loss",
    ]
    assert bid.pop("adm").startswith('<a href="https://www.brand.example/offer"')
    assert bid == {
        "id": "bid-1-1",
        "impid": "imp-1",
        "price": 2.5,
        "adid": "crUSD-300x250",
        "adomain": ["brand.example"],
        "bundle": "com.x",
        "cid": "1001",
        "crid": "crUSD-300x250",
        "cat": ["IAB3-1"],
        "attr": [3],
        "dealid": "d1",
        "w": 300,
        "h": 250,
        "ext": {"kiki": {"request_id": "bid-1", "predicted_ltv_micros": 30_000_000}},
    }


def test_the_caller_chooses_impression_and_creative(make_offer: MakeOffer) -> None:
    asked = request()
    asked["imp"].append({"id": "imp-2", "banner": {"w": 320, "h": 50}})
    chosen = dataclasses.replace(ASK, imp_id="imp-2", creative_id="crUSD-320x50")
    authored = author(json.dumps(asked), make_offer(), chosen)
    assert (authored.imp_id, authored.creative_id) == ("imp-2", "crUSD-320x50")


@pytest.mark.parametrize(
    ("field", "ask"),
    [
        ("imp_id", dataclasses.replace(ASK, imp_id="other")),
        ("creative_id", dataclasses.replace(ASK, creative_id="other")),
    ],
)
def test_a_choice_that_is_not_there_is_the_callers_mistake(
    make_offer: MakeOffer, field: str, ask: Ask
) -> None:
    with pytest.raises(InvalidBid, match=rf"^open_rtb\.{field}: "):
        author(json.dumps(request()), make_offer(), ask)


def test_a_creative_that_loads_plain_http_is_not_shown_where_it_must_be_secure(
    make_offer: MakeOffer,
) -> None:
    first = make_offer().creatives[0]
    plain = Banner('<img src="http://cdn.example/a.png">', "text/html", 300, 250)
    for creative in (
        dataclasses.replace(first, ad=plain),
        dataclasses.replace(first, securable=False),
    ):
        asked, offer = json.dumps(request({"secure": 1})), make_offer(creatives=(creative,))
        with pytest.raises(NoBid) as caught:
            author(asked, offer, ASK)
        assert caught.value.metadata["rule"] == "secure"


def test_a_reason_quotes_nothing_that_could_break_a_log(make_offer: MakeOffer) -> None:
    with pytest.raises(NoBid) as caught:
        author(json.dumps(request(wseat=["x"], cur=["\n\x1b" + "é" * 999])), make_offer(), ASK)
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


# What the judge must see: (request, path into the response, what is put there, what it says).
SPOILT: list[tuple[Json, tuple[str | int, ...], Any, str]] = [
    (request(), ("id",), "other", "id"),
    (request(), ("seatbid", 0, "bid", 0, "impid"), "other", "impid"),
    (request({"bidfloor": 2}), ("seatbid", 0, "bid", 0, "price"), 1.99, "bidfloor"),
    (request({"bidfloor": 2}), ("cur",), "EUR", "bidfloorcur"),
    (request(cur=["USD"]), ("cur",), "EUR", "cur"),
    (request(wseat=["seat-1"]), ("seatbid", 0, "seat"), "x", "wseat"),
    (request(bseat=["x"]), ("seatbid", 0, "seat"), "x", "bseat"),
    (request(badv=["x.com"]), ("seatbid", 0, "bid", 0, "adomain"), ["a.x.com"], "badv"),
    (request(bcat=["IAB9"]), ("seatbid", 0, "bid", 0, "cat"), ["IAB9-1"], "bcat"),
    (request(bapp=["com.x"]), ("seatbid", 0, "bid", 0, "bundle"), "com.x", "bapp"),
    (request({"banner": {**BANNER, "battr": [1]}}), ("seatbid", 0, "bid", 0, "attr"), [1], "battr"),
    (request(pmp({"id": "d1"})), ("seatbid", 0, "bid", 0, "dealid"), "d2", "dealid"),
    (request(), ("seatbid", 0, "bid", 0, "w"), 301, "size"),
    (request({"secure": 1}), ("seatbid", 0, "bid", 0, "burl"), "http://x", "secure"),
    (request(), ("seatbid", 0, "bid", 0, "lurl"), "https://x", "notices"),
    (request(), ("seatbid", 0, "bid", 0, "adm"), "<VAST/>", "adm"),
    (request(), ("seatbid", 0, "bid", 0, "crid"), "", "crid"),
]


@pytest.mark.parametrize(
    ("asked", "path", "value", "rule"), SPOILT, ids=[rule for *_, rule in SPOILT]
)
def test_the_judge_sees_a_spoilt_response(
    make_offer: MakeOffer,
    broken_rules: Judge,
    asked: Json,
    path: tuple[Any, ...],
    value: Any,
    rule: str,
) -> None:
    good = author(json.dumps(asked), make_offer(), ASK).response_json
    spoilt = copy.deepcopy(json.loads(good))
    inner = spoilt
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    found = broken_rules(json.dumps(asked), json.dumps(spoilt))
    assert [broken for broken in found if broken.startswith(rule)]


def test_the_fixed_price_of_a_deal_is_what_is_bid(make_offer: MakeOffer) -> None:
    for agreed, bid in ((1.25, 1_250_000), (0.1234567, 123_457)):
        asked = request(pmp({"id": "d1", "at": 3, "bidfloor": agreed}))
        authored = author(json.dumps(asked), make_offer(), ASK)
        assert authored.price_cpm_micros == bid
        (one,) = json.loads(authored.response_json)["seatbid"][0]["bid"]
        assert (one["price"], one["dealid"]) == (bid / 1_000_000, "d1")


@pytest.mark.parametrize(
    ("multiplier", "committed_micros", "covered"),
    [
        (14.2, 35_500, True),
        (14.2, 35_499, False),
        (14.2001, 35_500, False),
        (0.5, 0, True),
        (2**53, 10**18, False),
    ],
)
def test_an_impression_that_is_billed_more_than_once_is_covered_or_not_bid_on(
    make_offer: MakeOffer, multiplier: float, committed_micros: int, covered: bool
) -> None:
    asked = json.dumps(request({"qty": {"multiplier": multiplier}}))
    ask = dataclasses.replace(ASK, committed_micros=committed_micros)
    if covered:
        author(asked, make_offer(), ask)
        return
    with pytest.raises(NoBid) as caught:
        author(asked, make_offer(), ask)
    assert caught.value.metadata["rule"] == "quantity"


def test_an_impression_that_costs_too_much_does_not_keep_the_next_from_being_bid_on(
    make_offer: MakeOffer,
) -> None:
    asked = request({"qty": {"multiplier": 14.2}})
    asked["imp"].append({"id": "imp-2", "banner": BANNER})
    assert author(json.dumps(asked), make_offer(), ASK).imp_id == "imp-2"
