"""The corpus, an account to bid from, and the judge of what is bid."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from smartconnectors_server.platforms.trade_desk.open_rtb import Offer
from smartconnectors_server.platforms.trade_desk.open_rtb.creative import creative_of
from smartconnectors_server.platforms.trade_desk.sandbox.accounts import account

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "openrtb"

Judge = Callable[[str, str], list[str]]
MakeOffer = Callable[..., Offer]


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def broken_rules() -> Judge:
    """(bid request, bid response) -> the rules that the response breaks."""
    judge: Judge = _beside("openrtb_rules").broken_rules
    return judge


@pytest.fixture(scope="session")
def make_offer() -> MakeOffer:
    """A campaign of the sandbox's, with what the test says otherwise."""
    entities = account()["creative"].values()
    creatives = tuple(
        creative
        for entity in entities
        if entity["AdvertiserId"] == "adv-usd"
        for creative in [creative_of(entity)]
        if creative is not None
    )

    def make(**otherwise: Any) -> Offer:
        fields: dict[str, Any] = {
            "campaign_id": "1001",
            "currency_code": "USD",
            "seat": "seat-1",
            "domain": "brand.example",
            "categories": ("IAB3-1",),
            "attributes": (),
            "app_bundle": "",
            "notice_base_url": "https://notices.example",
            "creatives": creatives,
        }
        return Offer(**{**fields, **otherwise})

    return make


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    """Bid requests as they are sent to bidders, one JSON text each."""
    return _read("requests.jsonl").splitlines()


@pytest.fixture(scope="session")
def response_schema() -> Any:
    """A JSON schema of OpenRTB 2.5 bid responses that is not ours."""
    return json.loads(_read("response25.schema.json"))


def _read(name: str) -> str:
    file = CORPUS / name
    if not file.exists():
        pytest.skip(f"the OpenRTB corpus is not beside this repository: {file}")
    return file.read_text(encoding="utf-8")
