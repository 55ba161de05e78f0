"""Plays the scenario with `smartconnectors.sync`: its argument is the file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance.clients.python import lines

from smartconnectors import sync
from smartconnectors.errors import ServiceError, error_of_bid
from smartconnectors.google_ads.v1.google_ads_service_pb2 import StreamBidsRequest
from smartconnectors.money import to_micros


def place(service: sync.Connection, step: dict[str, Any]) -> list[str]:
    try:
        answer = service.bid(lines.request_of(step["bid"], step["platform"]))
    except ServiceError as error:
        return [lines.of_refusal(error), *lines.of_numbers(error, step)]
    return [lines.of_answer(answer)]


def watch(service: sync.Connection, step: dict[str, Any]) -> list[str]:
    said: list[str] = []
    for stats in service.budgets.watch(step["budget"]):
        if not said:
            said = [lines.of_committed(stats), *place(service, step)]
        if stats.committed_micros == to_micros(step["until_committed"]):
            return [*said, lines.of_committed(stats)]
    return said


def stream(service: sync.Connection, step: dict[str, Any]) -> list[str]:
    def requests() -> Iterator[StreamBidsRequest]:
        for bid in step["bids"]:
            yield StreamBidsRequest(bid=lines.request_of(bid))

    said = {}
    for message in service.google_ads.StreamBids(requests()):
        answer = message.answer
        refused = None if answer.HasField("response") else error_of_bid(answer.error)
        said[answer.request_id] = lines.of_answer(refused or answer.response)
    return [f"{bid[0]} {said[bid[0]]}" for bid in step["bids"]]


def batch(service: sync.Connection, step: dict[str, Any]) -> list[str]:
    answers = service.bids([lines.request_of(bid) for bid in step["bids"]])
    both = zip(step["bids"], answers, strict=True)
    return [f"{bid[0]} {lines.of_answer(answer)}" for bid, answer in both]


def budget(service: sync.Connection, step: dict[str, Any]) -> list[str]:
    return [lines.of_stats(service.budgets.get(step["budget"]))]


CALLS = {"place": place, "watch": watch, "stream": stream, "batch": batch, "budget": budget}


def main(scenario: dict[str, Any]) -> None:
    for step in scenario["steps"]:
        how = scenario["connections"][step["on"]]
        with sync.connect(
            how["target"],
            credentials=lines.credentials_of(how),
            token=how["token"],
            retries=how["retries"],
        ) as service:
            for line in CALLS[step["call"]](service, step):
                sys.stdout.write(f"{step['name']}: {line}\n")


main(json.loads(Path(sys.argv[1]).read_text()))
