"""Whatever the bid request is: a response by the rules, a no-bid, or the caller's mistake."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.errors import InvalidBid, NoBid
from smartconnectors_server.platforms.trade_desk.open_rtb import Ask, auction_target, author

if TYPE_CHECKING:
    from tests.corpora.conftest import Judge, MakeOffer

CURRENCIES = ["USD", "EUR", "JPY"]
SEATS = ["seat-0", "seat-1"]
PRICES = st.integers(1, 10**12)
FLOORS = st.one_of(st.just(0), st.decimals(0, 30, places=4).map(float), st.integers(0, 30))


def some(*values: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), max_size=2)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


DEALS = st.lists(
    optional(
        id=st.sampled_from(["d1", "d2"]),
        at=st.sampled_from([1, 2, 3]),
        bidfloor=FLOORS,
        bidfloorcur=st.sampled_from(CURRENCIES),
        wseat=some(*SEATS),
        wadomain=some("brand.example", "other.example"),
    ),
    max_size=3,
)
BANNERS = optional(
    format=st.lists(
        st.one_of(
            st.fixed_dictionaries(
                {"w": st.sampled_from([300, 320, 728]), "h": st.sampled_from([50, 90, 250])}
            ),
            st.fixed_dictionaries(
                {"wratio": st.integers(1, 8), "hratio": st.integers(1, 8)},
                optional={"wmin": st.integers(0, 400)},
            ),
        ),
        max_size=3,
    ),
    w=st.sampled_from([300, 320]),
    h=st.sampled_from([50, 250]),
    wmax=st.integers(200, 400),
    hmin=st.integers(0, 300),
    battr=some(1, 3),
    btype=some(1, 2, 3),
    mimes=some("text/html", "image/png"),
)
VIDEOS = st.fixed_dictionaries(
    {"mimes": st.sampled_from([["video/mp4"], ["video/webm"]])},
    optional={
        "minduration": st.integers(0, 40),
        "maxduration": st.integers(0, 40),
        "protocols": some(1, 2, 3, 5, 6, 7, 8, 9),
        "boxingallowed": st.sampled_from([0, 1]),
        "w": st.sampled_from([640, 1280]),
        "h": st.sampled_from([360, 480, 720]),
        "maxbitrate": st.sampled_from([1000, 3000]),
        "delivery": some(1, 2),
        "battr": some(1, 3),
    },
)
IMPRESSIONS = st.builds(
    lambda media, rest: {**media, **rest},
    st.one_of(
        st.fixed_dictionaries({"banner": BANNERS}),
        st.fixed_dictionaries({"video": VIDEOS}),
        st.fixed_dictionaries({"banner": BANNERS, "video": VIDEOS}),
    ),
    optional(
        bidfloor=FLOORS,
        bidfloorcur=st.sampled_from(CURRENCIES),
        secure=st.sampled_from([0, 1]),
        pmp=optional(private_auction=st.sampled_from([0, 1]), deals=DEALS),
    ),
)
REQUESTS = st.builds(
    lambda imps, rest: {
        "id": "auction",
        "site": {},
        "imp": [{"id": f"imp-{index}", **imp} for index, imp in enumerate(imps)],
        **rest,
    },
    st.lists(IMPRESSIONS, min_size=1, max_size=3),
    optional(
        cur=some(*CURRENCIES),
        wseat=some(*SEATS),
        bseat=some("seat-0"),
        bcat=some("IAB3", "IAB9", "IAB3-2"),
        badv=some("brand.example", "other.example"),
        bapp=some("com.brand", "com.other"),
    ),
)
OFFERS = st.fixed_dictionaries(
    {
        "currency_code": st.sampled_from(CURRENCIES),
        "attributes": st.sampled_from([(), (3,)]),
        "app_bundle": st.sampled_from(["", "com.brand"]),
        "notice_base_url": st.sampled_from(["https://notices.example", "http://notices.example"]),
    }
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(request=REQUESTS, otherwise=OFFERS, price_cpm_micros=PRICES)
def test_a_response_keeps_every_rule_of_its_request(
    make_offer: MakeOffer,
    broken_rules: Judge,
    request: dict[str, Any],
    otherwise: dict[str, Any],
    price_cpm_micros: int,
) -> None:
    asked = json.dumps(request)
    try:
        authored = author(
            asked, make_offer(**otherwise), Ask("bid", price_cpm_micros, "", "", {"k": 1})
        )
    except NoBid:
        return
    assert broken_rules(asked, authored.response_json) == []


def respelt(value: Any, key: str = "") -> Any:
    """The request as other exchanges write it: numbers as texts, currencies in lower case."""
    match value:
        case dict():
            return {name: respelt(inner, name) for name, inner in value.items()}
        case list():
            return [respelt(inner, key) for inner in value]
        case str() if key in ("cur", "bidfloorcur"):
            return value.lower()
        case int() | float() if not isinstance(value, bool):
            return str(value)
        case _:
            return value


@given(request=REQUESTS, otherwise=OFFERS, price_cpm_micros=PRICES)
def test_another_spelling_of_a_request_has_the_same_answer(
    make_offer: MakeOffer,
    request: dict[str, Any],
    otherwise: dict[str, Any],
    price_cpm_micros: int,
) -> None:
    answers = []
    for asked in (request, respelt(request)):
        try:
            authored = author(
                json.dumps(asked), make_offer(**otherwise), Ask("bid", price_cpm_micros, "", "", {})
            )
            answers.append(authored.response_json)
        except NoBid as no_bid:
            answers.append(no_bid.message)
    assert answers[0] == answers[1]


@given(quantity=JSON, committed_micros=st.integers(0, 10**12), price_cpm_micros=PRICES)
def test_an_impression_never_costs_more_than_its_bid_commits(
    make_offer: MakeOffer, quantity: Any, committed_micros: int, price_cpm_micros: int
) -> None:
    imp = {"id": "1", "banner": {"w": 300, "h": 250}, "qty": {"multiplier": quantity}}
    asked = json.dumps({"id": "1", "site": {}, "imp": [imp]})
    ask = Ask("bid", price_cpm_micros, "", "", {}, committed_micros)
    try:
        author(asked, make_offer(), ask)
    except (NoBid, InvalidBid):
        return
    billed = max(Decimal(str(quantity)), Decimal(1))
    assert billed == 1 or price_cpm_micros * billed <= committed_micros * 1000


@given(price_cpm_micros=PRICES)
def test_a_price_is_on_the_wire_to_the_micro(make_offer: MakeOffer, price_cpm_micros: int) -> None:
    asked = json.dumps(
        {"id": "1", "site": {}, "imp": [{"id": "1", "banner": {"w": 300, "h": 250}}]}
    )
    response_json = author(
        asked, make_offer(), Ask("bid", price_cpm_micros, "", "", {})
    ).response_json
    (written,) = re.findall(r'"price":([0-9.]+),', response_json)
    assert Decimal(written) * 1_000_000 == price_cpm_micros


@given(request=REQUESTS, price_cpm_micros=PRICES)
def test_who_bids_at_a_price_also_bids_at_a_higher_one(
    make_offer: MakeOffer, request: dict[str, Any], price_cpm_micros: int
) -> None:
    asked = json.dumps(request)
    try:
        author(asked, make_offer(), Ask("bid", price_cpm_micros, "", "", {}))
    except NoBid:
        return
    author(asked, make_offer(), Ask("bid", price_cpm_micros + 1, "", "", {}))


@given(request=REQUESTS, broken=JSON, key=st.sampled_from(["imp", "cur", "bcat", "site", "wseat"]))
def test_a_field_that_is_something_else_ends_in_a_no_bid_or_in_a_bid(
    make_offer: MakeOffer, request: dict[str, Any], broken: Any, key: str
) -> None:
    asked = json.dumps({**request, key: broken})
    try:
        author(asked, make_offer(), Ask("bid", 1_000_000, "", "", {}))
    except (NoBid, InvalidBid):
        return


@given(media=JSON, kind=st.sampled_from(["banner", "video", "native", "audio", "pmp", "bidfloor"]))
def test_a_part_of_an_impression_that_is_something_else_ends_likewise(
    make_offer: MakeOffer, media: Any, kind: str
) -> None:
    imp = {"id": "1", "banner": {"w": 300, "h": 250}, kind: media}
    asked = json.dumps({"id": "1", "site": {}, "imp": [imp]})
    try:
        author(asked, make_offer(), Ask("bid", 1_000_000, "", "", {}))
    except (NoBid, InvalidBid):
        return


@given(native=JSON)
def test_a_native_request_that_is_something_else_ends_likewise(
    make_offer: MakeOffer, native: Any
) -> None:
    for text in (json.dumps(native), json.dumps({"assets": [native]})):
        imp = {"id": "1", "native": {"request": text}}
        asked = json.dumps({"id": "1", "site": {}, "imp": [imp]})
        try:
            author(asked, make_offer(), Ask("bid", 1_000_000, "", "", {}))
        except (NoBid, InvalidBid):
            continue


@given(text=st.text())
def test_any_text_is_a_target_and_a_mistake_at_worst(make_offer: MakeOffer, text: str) -> None:
    target = auction_target(text)
    assert target.isascii()
    assert len(target) <= 80
    try:
        author(text, make_offer(), Ask("bid", 1_000_000, "", "", {}))
    except (NoBid, InvalidBid):
        return
