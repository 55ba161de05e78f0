"""The documents of `wiretests/` against the sandbox: it takes every exemplary request and answers
like its fixture.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from smartconnectors_server.platforms.meta.state import TARGETING_FIELDS, campaigns_query
from smartconnectors_server.platforms.meta.wiretests import account_of

if TYPE_CHECKING:
    from tests.server.platforms.meta.conftest import Raw

FOLDER = resources.files("smartconnectors_server.platforms.meta.wiretests")

REQUIRED = {
    "timeout_after_send",
    "connection_refused",
    "status_400",
    "status_401",
    "quota",
    "status_500",
    "malformed_body",
    "duplicate",
}


def documents(folder: str) -> dict[str, Any]:
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
        for file in (FOLDER / folder).iterdir()
    }


EXEMPLARY = documents("exemplary")


def test_every_odd_case_that_must_be_there_is_there() -> None:
    assert set(documents("supplemental")) >= REQUIRED


@pytest.mark.parametrize("name", sorted(EXEMPLARY))
async def test_the_sandbox_answers_the_read_like_the_fixture(raw: Raw, name: str) -> None:
    document = EXEMPLARY[name]
    ids = [campaign["id"] for campaign in document["platform_state"]["campaigns"]["data"]]
    targeting = document["method"] == "UpdateTargetAudience"
    query = campaigns_query(ids, TARGETING_FIELDS) if targeting else campaigns_query(ids)
    assert await raw.get(f"/{account_of(document)}", fields=query) == (
        200,
        document["platform_state"],
    )


def read_back_of(part: dict[str, str]) -> dict[str, Any]:
    """The ad set that a part of a batch sets a ROAS floor of, as it is answered."""
    form = dict(parse_qsl(part["body"]))
    shown = {name: form[name] for name in form["fields"].split(",")}
    shown["bid_constraints"] = json.loads(form["bid_constraints"])
    return {**shown, "id": part["relative_url"]}


@pytest.mark.parametrize("name", sorted(EXEMPLARY))
async def test_the_sandbox_takes_the_change_and_answers_like_the_fixture(
    raw: Raw, name: str
) -> None:
    document = EXEMPLARY[name]
    for sent in document["expect"]["sent"]:
        path = sent["path"].removeprefix("/v26.0")
        form = {
            field: value if isinstance(value, str) else json.dumps(value)
            for field, value in sent["form"].items()
        }
        if "batch" in form:
            form["include_headers"] = "false"
        status, body = await raw.post(path, **form)
        if isinstance(body, list):
            answers = [(part["code"], json.loads(part["body"])) for part in body]
            assert answers == [(200, read_back_of(part)) for part in sent["form"]["batch"]]
            continue
        expected = document["platform_answer"]
        assert (status, body) == (expected["status"], expected["body"])
