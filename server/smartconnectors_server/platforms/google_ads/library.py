"""Google's own client library, one API version of it, imported on first use.

The import takes about 0.7 s and 75 MiB, so it happens in a thread and never while a bid waits.
The library carries no types: what is taken from it is named here and is `Any` elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Library:
    """What connector and sandbox use of one API version. The message classes are protobuf's."""

    version: str
    client: Any
    """GoogleAdsServiceAsyncClient"""
    transport: Any
    """GoogleAdsServiceGrpcAsyncIOTransport"""
    mutate_request_wrapper: Any
    """The proto-plus class that the client takes."""
    mutate_request: Any
    mutate_response: Any
    search_request: Any
    search_response: Any
    row: Any
    failure: Any
    """GoogleAdsFailure"""

    @property
    def failure_key(self) -> str:
        """The trailing metadata key that carries a GoogleAdsFailure."""
        return f"google.ads.googleads.{self.version}.errors.googleadsfailure-bin"


_ROOTS = (
    *("google.ads", "google.api_core", "google.auth", "google.oauth2"),
    *("proto", "requests", "requests_oauthlib", "oauthlib", "urllib3", "certifi"),
)
"""What the library brings along and nothing else here imports."""


@contextlib.contextmanager
def whole_or_not_at_all(roots: Sequence[str]) -> Iterator[None]:
    """Around imports of packages whose names begin with one of `roots`. When an import fails in the
    block (no more files can be opened, say), Python keeps the modules that were complete, but their
    packages no longer have them as attributes, so that every later attempt fails too. Therefore all
    that the block imported is dropped again.
    """
    before = set(sys.modules)
    try:
        yield
    except BaseException:
        for name in set(sys.modules) - before:
            if any(name == root or name.startswith(f"{root}.") for root in roots):
                del sys.modules[name]
        raise


@lru_cache(maxsize=4)
def load(version: str) -> Library:
    """The library for `version`, such as "v26". Slow the first time: call it in a thread.

    Raises ImportError when the library does not ship the version.
    """
    base = f"google.ads.googleads.{version}"
    with whole_or_not_at_all(_ROOTS):
        service = importlib.import_module(f"{base}.services.services.google_ads_service")
        transports = importlib.import_module(
            f"{base}.services.services.google_ads_service.transports"
        )
        messages = importlib.import_module(f"{base}.services.types.google_ads_service")
        errors = importlib.import_module(f"{base}.errors.types.errors")
    return Library(
        version=version,
        client=service.GoogleAdsServiceAsyncClient,
        transport=transports.GoogleAdsServiceGrpcAsyncIOTransport,
        mutate_request_wrapper=messages.MutateGoogleAdsRequest,
        mutate_request=messages.MutateGoogleAdsRequest.pb(),
        mutate_response=messages.MutateGoogleAdsResponse.pb(),
        search_request=messages.SearchGoogleAdsStreamRequest.pb(),
        search_response=messages.SearchGoogleAdsStreamResponse.pb(),
        row=messages.GoogleAdsRow.pb(),
        failure=errors.GoogleAdsFailure.pb(),
    )
