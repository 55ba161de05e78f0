"""Batches: a platform's PlaceBids call made of its bids, and their answers made of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from smartconnectors.client import new_request_id, place_bid_of
from smartconnectors.errors import error_of_bid


def request_of(requests: Sequence[Any]) -> tuple[MethodDescriptor, Any]:
    """The PlaceBids method of the platform of these PlaceBidRequests, and its request. Requests
    without an id get a random one, in place.

    Raises:
        ValueError: there is no request.
        TypeError: they are no platform's PlaceBidRequests, or of several platforms.
    """
    if not requests:
        raise ValueError("a batch has at least one bid")
    for request in requests:
        if request.DESCRIPTOR != requests[0].DESCRIPTOR:
            raise TypeError("the bids of a batch are all for one platform")
        if not request.bid.request_id:
            request.bid.request_id = new_request_id()
    service = place_bid_of(requests[0]).containing_service
    method: MethodDescriptor = service.methods_by_name["PlaceBids"]
    return method, GetMessageClass(method.input_type)(bids=requests)


def answers_of(response: Any) -> list[Any]:
    """For each bid its PlaceBidResponse, or the error that it was refused with."""
    return [
        answer.response if answer.HasField("response") else error_of_bid(answer.error)
        for answer in response.answers
    ]
