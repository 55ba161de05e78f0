"""A second reading of what a platform answered to a change, by its documentation alone.

A judge knows nothing of our connectors. It says DONE or REFUSED only when the answer says so; what
is neither is UNCLEAR, and then nothing but "in doubt" is the truth.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from tests.fuzz.middle import Exchange
from tests.fuzz.mutations import strict_json

from smartconnectors_server.platforms.google_ads.library import load
from smartconnectors_server.platforms.google_ads.options import DEFAULT_VERSION


class Verdict(enum.Enum):
    """What an answer to a change says."""

    DONE = "done"
    REFUSED = "refused"
    UNCLEAR = "unclear"


def meta(exchange: Exchange) -> list[Verdict]:
    """One for each part of a batch."""
    try:
        document = strict_json(exchange.body)
    except ValueError:
        return [Verdict.UNCLEAR]
    head, _, body = exchange.request.partition(b"\r\n\r\n")
    posted = dict(parse_qsl(body.decode()))
    if isinstance(document, list) and 200 <= exchange.status < 300:
        parts = [*json.loads(posted.get("batch", "[]")), *([{}] * len(document))]
        return [_meta_part(part, asked) for part, asked in zip(document, parts, strict=False)]
    path = head.split(b" ", 2)[1].decode().partition("?")[0]
    return [_meta_one(exchange.status, document, path.rpartition("/")[2], posted)]


def _meta_part(part: Any, asked: Any) -> Verdict:
    if not isinstance(part, dict) or type(part.get("code")) is not int:
        return Verdict.UNCLEAR
    try:
        return _meta_one(
            part["code"],
            strict_json(str(part.get("body")).encode("utf-8", "replace")),
            str(asked.get("relative_url")),
            dict(parse_qsl(str(asked.get("body", "")))),
        )
    except ValueError:
        return Verdict.UNCLEAR


def _meta_one(status: int, document: Any, object_id: str, posted: Mapping[str, str]) -> Verdict:
    """With `fields`, Meta answers a change with these fields of the object as they are then."""
    if not isinstance(document, dict):
        return Verdict.UNCLEAR
    error = document.get("error")
    if error is not None:
        readable = isinstance(error, dict) and type(error.get("code")) is int and error["code"] > 0
        return Verdict.REFUSED if readable else Verdict.UNCLEAR
    asked = [name for name in posted.get("fields", "").split(",") if name]
    shown = [name for name in asked if name in document]
    read_back = document.get("id") == object_id and bool(asked) and shown == asked
    right = all(_as_posted(posted[name], document[name]) for name in shown)
    success = document.get("success")
    done = right and (
        success is True or (success is None and "success" not in document and read_back)
    )
    return Verdict.DONE if done and 200 <= status < 300 else Verdict.UNCLEAR


def _as_posted(posted: str, shown: Any) -> bool:
    """Text and whole numbers are shown as posted, objects with what was posted in them."""
    if posted.startswith("{"):
        return isinstance(shown, dict) and json.loads(posted).items() <= shown.items()
    return type(shown) in (int, str) and str(shown) == posted


def trade_desk(exchange: Exchange) -> list[Verdict]:
    """REST, and the exchange that bid responses are submitted to."""
    path = exchange.request.split(b" ", 2)[1]
    status = exchange.status
    if 400 <= status < 500 and status != 408:
        return [Verdict.REFUSED]
    if path.startswith(b"/exchange"):
        return [Verdict.DONE if status in (200, 204) else Verdict.UNCLEAR]
    if not 200 <= status < 300:
        return [Verdict.UNCLEAR]
    asked = json.loads(exchange.request.partition(b"\r\n\r\n")[2])
    try:
        document = strict_json(exchange.body)
    except ValueError:
        return [Verdict.UNCLEAR]
    if not isinstance(document, dict):
        return [Verdict.UNCLEAR]
    key = "CampaignFlightId" if "CampaignFlightId" in asked else "AdGroupId"
    same = document.get(key) == asked[key] and type(document[key]) is not bool
    return [_trade_desk_values(asked, document) if same else Verdict.UNCLEAR]


# What the sandbox's ad groups and flights have before anything is changed.
_FIRST = {"BaseBidCPM": 2.5, "MaxBidCPM": 100_000, "DailyTargetInAdvertiserCurrency": 100}


def _trade_desk_values(asked: Any, document: Any) -> Verdict:
    """By the values alone: a status and an id come with a change that is ignored as well."""
    returned = [(name, sent, _value(document, path)) for path, name, sent in _leaves(asked)]
    if all(_as_money(found) == _as_money(sent) for _, sent, found in returned):
        return Verdict.DONE
    before = {"IsEnabled": not asked.get("IsEnabled"), "AudienceId": None, **_FIRST}
    as_before = [
        _as_money(found) == _as_money(before.get(name, sent)) for name, sent, found in returned
    ]
    return Verdict.REFUSED if all(as_before) else Verdict.UNCLEAR


def _leaves(asked: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """(path, name, value) of what a change sets; an amount has the name of what it is for."""
    for name, value in asked.items():
        path = (*above, name)
        if isinstance(value, dict):
            yield from _leaves(value, path)
        elif name not in ("AdGroupId", "CampaignFlightId"):
            yield path, above[-1] if name == "Amount" else name, value


def _value(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if document is None:
            return None
        if not isinstance(document, dict) or name not in document:
            return ...
        document = document[name]
    return document


def _as_money(value: Any) -> Any:
    """Numbers to the micro, and nothing else as a number."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        exact = Decimal(str(value))
        return round(exact * 10**6) if abs(exact) < 10**20 else ...
    return type(value), value


_GRPC_REFUSING = {3, 5, 6, 7, 9, 11, 12, 16}
_GRPC_EXHAUSTED = 8


def google_ads(exchange: Exchange) -> list[Verdict]:
    """A mutate; with `partial_failure` one verdict for each operation."""
    asked = load(DEFAULT_VERSION).mutate_request.FromString(exchange.request)
    count = len(asked.mutate_operations)
    refused = exchange.status in _GRPC_REFUSING
    if exchange.status == _GRPC_EXHAUSTED:
        refused = _is_failure(exchange.failure)
    if refused:
        return [Verdict.REFUSED] * count
    unclear = [Verdict.UNCLEAR] * count
    return (
        _google_operations(exchange, asked, count) or unclear if exchange.status == 0 else unclear
    )


def _google_operations(exchange: Exchange, asked: Any, count: int) -> list[Verdict]:
    """Of an answer that is no refusal; empty: it says nothing."""
    try:
        answer = load(DEFAULT_VERSION).mutate_response.FromString(exchange.body)
    except DecodeError:
        return []
    answers = answer.mutate_operation_responses
    made = [_google_names(one) for one in answers]
    failed = answer.HasField("partial_failure_error")
    if len(made) != count or (failed and not asked.partial_failure):
        return []
    if failed:
        return [Verdict.UNCLEAR if each else Verdict.REFUSED for each in made]
    shown = [_google_shows(*one) for one in zip(asked.mutate_operations, answers, strict=True)]
    if asked.partial_failure:
        return [Verdict.DONE if each else Verdict.UNCLEAR for each in shown]
    return [Verdict.DONE] * count if all(shown) else []


def _google_names(answer: Any) -> bool:
    kind = answer.WhichOneof("response")
    return kind is not None and bool(getattr(answer, kind).resource_name)


def _google_shows(operation: Any, answer: Any) -> bool:
    """With MUTABLE_RESOURCE an answer has the resource as it is after the change."""
    asked, told = MessageToDict(operation), MessageToDict(answer)
    ((name, change),) = asked.items()
    result = told.get(f"{name.removesuffix('Operation')}Result", {})
    if "update" not in change:
        return bool(result.get("resourceName"))
    now = result.get(name.removesuffix("Operation"))
    if now is None or result.get("resourceName") != change["update"]["resourceName"]:
        return False
    paths = change["updateMask"].split(",")
    return all(_google_same(_at(change["update"], path), _at(now, path)) for path in paths)


def _at(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _google_same(sent: Any, now: Any) -> bool:
    if isinstance(sent, float) and isinstance(now, float | int):
        return abs(sent - now) <= max(sent, now) * 1e-4 + 5e-5
    if isinstance(sent, list):
        return isinstance(now, list) and sorted(map(str, sent)) == sorted(map(str, now))
    return bool(sent == now)


def _is_failure(content: bytes | None) -> bool:
    try:
        return content is not None and bool(load(DEFAULT_VERSION).failure.FromString(content))
    except DecodeError:
        return False


JUDGES: Mapping[str, Callable[[Exchange], list[Verdict]]] = {
    "google_ads": google_ads,
    "meta": meta,
    "trade_desk": trade_desk,
}
