"""The recorded wire documents of every platform, as scenarios and as answers to give."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import grpc
from google.protobuf import json_format

from smartconnectors_server.connector.wire_documents import Document, priced_of, request_of
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.platforms.google_ads.library import load
from smartconnectors_server.platforms.google_ads.options import DEFAULT_VERSION


@dataclass(frozen=True)
class Scenario:
    """One exemplary document: a request of ours, in front of the sandbox's first state."""

    platform: str
    name: str
    document: Document

    @property
    def method(self) -> str:
        return str(self.document["method"])

    def request(self) -> Any:
        return request_of(PLATFORMS[self.platform], self.document)

    def priced(self, request: Any) -> Any:
        return priced_of(self.document, request)

    def options(self) -> dict[str, Any]:
        return dict(self.document.get("options") or {})


def _documents(platform: str, folder: str) -> Iterator[tuple[str, Document]]:
    package = resources.files(f"smartconnectors_server.platforms.{platform}.wiretests")
    for file in sorted((package / folder).iterdir(), key=lambda file: file.name):
        yield file.name.removesuffix(".json"), json.loads(file.read_text(encoding="utf-8"))


@functools.lru_cache
def scenarios() -> Mapping[str, Scenario]:
    """Every exemplary document of every platform, by `platform/name`."""
    return {
        f"{platform}/{name}": Scenario(platform, name, document)
        for platform in sorted(PLATFORMS)
        for name, document in _documents(platform, "exemplary")
    }


@functools.lru_cache
def http_answers(platform: str) -> tuple[tuple[int, Mapping[str, str], bytes], ...]:
    """What the documents of a platform that speaks HTTP answer changes with."""
    found = []
    for folder in ("exemplary", "supplemental"):
        for _, document in _documents(platform, folder):
            answer = document.get("platform_answer")
            if answer is None:
                continue
            body = answer.get("body")
            text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
            headers = {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in answer.get("headers", {}).items()
            }
            found.append((int(answer["status"]), headers, text.encode()))
    return tuple(found)


@functools.lru_cache
def grpc_refusals(platform: str) -> tuple[tuple[grpc.StatusCode, str, bytes], ...]:
    """What the documents of Google Ads refuse mutates with."""
    library = load(DEFAULT_VERSION)
    found = []
    for _, document in _documents(platform, "supplemental"):
        answer = document.get("platform_answer", {})
        if "failure" in answer:
            failure = json_format.ParseDict(answer["failure"], library.failure())
            status = grpc.StatusCode[answer["status"]]
            found.append((status, answer["details"], failure.SerializeToString()))
    return tuple(found)
