"""Every document of every platform's `wiretests/`: what is sent for which request."""

from __future__ import annotations

import importlib
import json
from importlib import resources
from typing import Any

import pytest

from smartconnectors_server.platforms import PLATFORMS

REQUIRED = (
    "timeout_after_send",
    "connection_refused",
    "status_400",
    "status_401",
    "status_429",
    "status_500",
    "malformed_body",
    "duplicate",
)
EQUIVALENTS = {
    # A platform that is not plain HTTP, or does not use this status of it, says "too many" in its
    # own words.
    "status_429": "quota",
}


def _package(platform: str) -> str:
    return f"smartconnectors_server.platforms.{platform}.wiretests"


def _documents(*folders: str) -> list[Any]:
    documents = []
    for name in sorted(PLATFORMS):
        for folder in folders:
            files = resources.files(_package(name)) / folder
            for file in sorted(files.iterdir(), key=lambda file: file.name):
                test_id = f"{name}/{folder}/{file.name.removesuffix('.json')}"
                documents.append(pytest.param(name, file, id=test_id))
    return documents


@pytest.mark.parametrize(("platform", "file"), _documents("exemplary", "supplemental"))
def test_the_document_comes_true(platform: str, file: Any) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["about"], "a document says what it shows"
    assert importlib.import_module(_package(platform)).replay(document) == document["expect"]


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_a_platform_shows_ordinary_and_odd_cases(platform: str) -> None:
    files = resources.files(_package(platform))
    assert list((files / "exemplary").iterdir())
    assert list((files / "supplemental").iterdir())


@pytest.mark.parametrize("case", REQUIRED)
@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_a_platform_shows_every_way_in_which_a_change_can_fail(platform: str, case: str) -> None:
    supplemental = resources.files(_package(platform)) / "supplemental"
    names = {file.name for file in supplemental.iterdir()}
    assert names & {f"{case}.json", f"{EQUIVALENTS.get(case, case)}.json"}


@pytest.mark.parametrize(("platform", "file"), _documents("accounts"))
def test_what_is_said_of_the_account_comes_true(platform: str, file: Any) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["about"], "a document says what it shows"
    told = importlib.import_module(_package(platform)).told_of_account(document)
    assert told == document["expect"]


@pytest.mark.parametrize(("platform", "file"), _documents("campaigns"))
def test_what_is_told_of_campaigns_comes_true(platform: str, file: Any) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["about"], "a document says what it shows"
    told = importlib.import_module(_package(platform)).told_of_campaigns(document)
    assert told == document["expect"]


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_a_platform_shows_a_knob_a_refusal_and_a_listing_that_cannot_be_read(platform: str) -> None:
    files = (resources.files(_package(platform)) / "campaigns").iterdir()
    expected = [json.loads(file.read_text(encoding="utf-8"))["expect"] for file in files]
    told = [campaign for one in expected for campaign in one.get("told", ())]
    assert any(campaign.get("knobs") for campaign in told)
    assert any(campaign.get("why_not") for campaign in told)
    assert {"unreadable": True} in expected


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_a_platform_shows_an_account_and_one_that_cannot_be_read(platform: str) -> None:
    files = (resources.files(_package(platform)) / "accounts").iterdir()
    expected = [json.loads(file.read_text(encoding="utf-8"))["expect"] for file in files]
    assert any(one.get("currency_code") for one in expected)
    assert {"unreadable": True} in expected
