"""What exchanges send instead of what OpenRTB 2.5 says, and that it is read as what is meant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.corpora.openrtb_requests import ASK, BANNER, VIDEO, Json, of, pmp, request

from smartconnectors_server.errors import NoBid
from smartconnectors_server.platforms.trade_desk.open_rtb import author

if TYPE_CHECKING:
    from tests.corpora.conftest import Judge, MakeOffer

# What exchanges send instead of what OpenRTB 2.5 says: read as what is meant.
SPELT: dict[str, tuple[Json, Json]] = {
    "a secure flag that is a text": (request({"secure": "1"}), request({"secure": 1})),
    "a secure flag that is true": (request({"secure": True}), request({"secure": 1})),
    "a floor that is a text": (request({"bidfloor": "0.5"}), request({"bidfloor": 0.5})),
    "a floor that is an empty text": (request({"bidfloor": ""}), request()),
    "sizes that are texts": (
        request({"banner": {"w": "300", "h": "250"}}),
        request({"banner": {"w": 300, "h": 250}}),
    ),
    "a currency that is a text": (request(cur="USD"), request(cur=["USD"])),
    "a currency in lower case": (request(cur=["usd"]), request(cur=["USD"])),
    "a floor's currency in lower case": (
        request({"bidfloor": 1, "bidfloorcur": "usd"}),
        request({"bidfloor": 1, "bidfloorcur": "USD"}),
    ),
    "a seat that is no name": (request(wseat=[""]), request()),
    "a seat that is null": (request(wseat=[None]), request()),
    "blocked names that are none": (request(bcat=[""], badv=[None], bapp=[""]), request()),
    "a deal's seat that is no name": (
        request(pmp({"id": "d1", "wseat": [""], "wadomain": [""]})),
        request(pmp({"id": "d1"})),
    ),
    "ids that are integers": (
        {**request({"id": 7, **pmp({"id": 9})}), "id": 12345},
        {**request({"id": "7", **pmp({"id": "9"})}), "id": "12345"},
    ),
    "one protocol that is a number": (
        of({"video": {**VIDEO, "protocols": 2}}),
        of({"video": {**VIDEO, "protocols": [2]}}),
    ),
    "protocols that are texts": (
        of({"video": {**VIDEO, "protocols": ["2"]}}),
        of({"video": {**VIDEO, "protocols": [2]}}),
    ),
    "one type that is a text": (
        of({"video": {**VIDEO, "mimes": "video/mp4"}}),
        of({"video": {**VIDEO, "mimes": ["video/mp4"]}}),
    ),
    "a fixed price that is a text": (
        request(pmp({"id": "d1", "at": "3", "bidfloor": "1.25"})),
        request(pmp({"id": "d1", "at": 3, "bidfloor": 1.25})),
    ),
    "everything that is not there as null": (
        {
            **request(
                dict.fromkeys(
                    ("video", "native", "audio", "pmp", "bidfloor", "bidfloorcur", "secure", "qty"),
                    None,
                )
            ),
            **dict.fromkeys(
                ("app", "cur", "wseat", "bseat", "bcat", "badv", "bapp", "cattax", "test", "tmax"),
                None,
            ),
        },
        request(),
    ),
    "everything of a banner and a deal as null": (
        request(
            {
                "banner": {**BANNER, **dict.fromkeys(("w", "h", "mimes", "btype", "battr"), None)},
                **pmp(
                    {
                        "id": "d1",
                        **dict.fromkeys(
                            ("at", "bidfloor", "bidfloorcur", "wseat", "wadomain"), None
                        ),
                    }
                ),
            }
        ),
        request(pmp({"id": "d1"})),
    ),
}


@pytest.mark.parametrize("case", SPELT)
def test_another_spelling_is_answered_as_what_is_meant(
    case: str, make_offer: MakeOffer, broken_rules: Judge
) -> None:
    spelt, meant = SPELT[case]
    response_json = author(json.dumps(spelt), make_offer(), ASK).response_json
    assert response_json == author(json.dumps(meant), make_offer(), ASK).response_json
    assert broken_rules(json.dumps(meant), response_json) == []


def test_a_no_bid_on_an_auction_whose_id_is_an_integer_has_its_response(
    make_offer: MakeOffer,
) -> None:
    with pytest.raises(NoBid) as caught:
        author(json.dumps({**request(cur=["EUR"]), "id": 12345}), make_offer(), ASK)
    assert caught.value.metadata["bid_response_json"] == '{"id":"12345","nbr":0}'
