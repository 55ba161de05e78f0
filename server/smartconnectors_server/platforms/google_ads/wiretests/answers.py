"""A refusal of a document as grpc hands it to a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import json_format
from grpc.aio import AioRpcError, Metadata

from smartconnectors_server.platforms.google_ads.library import Library


def rpc_error(answer: Mapping[str, Any], library: Library) -> AioRpcError:
    """The error with the document's status and, in its trailing metadata, the GoogleAdsFailure."""
    failure = json_format.ParseDict(answer["failure"], library.failure())
    trailing = Metadata(
        ("request-id", answer["request_id"]),
        (library.failure_key, failure.SerializeToString()),
    )
    status = grpc.StatusCode[answer["status"]]
    return AioRpcError(status, Metadata(), trailing, details=answer["details"])
