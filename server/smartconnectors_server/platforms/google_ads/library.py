"""Google's own client library, one API version of it, imported on first use.

The import takes about 0.7 s and 75 MiB, so it happens in a thread and never while a bid waits.
The library carries no types: what is taken from it is named here and is `Any` elsewhere.
"""

from __future__ import annotations

import importlib
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


@lru_cache(maxsize=4)
def load(version: str) -> Library:
    """The library for `version`, such as "v26". Slow the first time: call it in a thread.

    Raises ImportError when the library does not ship the version.
    """
    base = f"google.ads.googleads.{version}"
    service = importlib.import_module(f"{base}.services.services.google_ads_service")
    transports = importlib.import_module(f"{base}.services.services.google_ads_service.transports")
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
