"""Reflection finds what tools ask it for."""

from __future__ import annotations

import pytest

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as google_ads
from smartconnectors_server.services.symbols import Symbols

PACKAGE = "smartconnectors.google_ads.v1"


@pytest.mark.parametrize(
    "symbol",
    ["GoogleAdsService", "GoogleAdsService.PlaceBid", "PlaceBidRequest", "PlaceBidRequest.bid"],
)
def test_the_file_of_a_symbol_is_found(symbol: str) -> None:
    assert Symbols().FindFileContainingSymbol(f"{PACKAGE}.{symbol}") == google_ads.DESCRIPTOR


@pytest.mark.parametrize("symbol", ["", "PlaceBid", f"{PACKAGE}.GoogleAdsService.Nothing"])
def test_what_is_not_there_is_a_key_error(symbol: str) -> None:
    with pytest.raises(KeyError):
        Symbols().FindFileContainingSymbol(symbol)


def test_everything_else_is_asked_of_protobuf() -> None:
    assert Symbols().FindFileByName(google_ads.DESCRIPTOR.name) == google_ads.DESCRIPTOR
