"""What the specification says of load, quota and failure, on Google Ads."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from smartconnectors.client import ServiceError
from smartconnectors.common.v1.bid_pb2 import CircuitState
from smartconnectors_server.cli.demo.stage import (
    Answer,
    Scenario,
    Stage,
    changes_text,
    committed_text,
    told,
)
from smartconnectors_server.money import format_amount

NAME = "google_ads"
CAMPAIGNS = [str(number) for number in range(1001, 1011)]
"""The last two share a portfolio, which each of them moves in turn."""
RATE_WINDOW_S = 60.0
OPEN_S = 2.0


async def play_crowd(stage: Stage) -> None:
    """100 callers at once on a budget for 66 of them."""
    bids = [
        stage.sent.bid(NAME, CAMPAIGNS[number % len(CAMPAIGNS)], "15.00", f"{2 + number / 100:.2f}")
        for number in range(100)
    ]
    answers = await asyncio.gather(*(stage.place(bid) for bid in bids))
    counts = Counter(told(answer) for answer in answers)
    stage.expect(
        "100 bids of $15.00 at once",
        "66 PLACED source=ai $15.00, 34 refused: BUDGET_EXCEEDED",
        ", ".join(f"{count} {what}" for what, count in sorted(counts.items())),
    )
    stats = await stage.stats(NAME)
    stage.expect("committed", "$990.00 of $1,000.00 (99 %)", committed_text(stats))
    stage.expect("at the sandbox", "66 changes, $990.00", changes_text(await stage.applied(NAME)))


async def play_quota(stage: Stage) -> None:
    """100 calls inside a minute, reads included, and not one more."""
    accepted = 0
    refused: ServiceError | None = None
    for number in range(150):
        answer = await stage.place(stage.sent.bid(NAME, "1001", "10.00", f"{2 + number / 100:.2f}"))
        if isinstance(answer, ServiceError):
            refused = answer
            break
        accepted += 1
    journal = await stage.control.journal(NAME)
    calls = _wire_calls(journal)
    reads = sum(not entry["changes"] for entry in calls)
    stage.expect("calls that the sandbox saw", "100", str(len(calls)))
    stage.expect(
        "bids placed",
        f"{100 - reads} and {reads} read(s) of the campaign",
        f"{accepted} and {reads} read(s) of the campaign",
    )
    stage.expect(
        "the next bid", "refused: RATE_LIMITED", "none" if refused is None else told(refused)
    )
    stage.expect_retry(refused, RATE_WINDOW_S)
    sent = f"{accepted} changes, {format_amount(accepted * 10_000_000, 'USD')}"
    stage.expect("at the sandbox", sent, changes_text(stage.sent.applied(NAME, journal)))


async def play_breaker(stage: Stage) -> None:
    """Three slow calls open the breaker; bids are priced by rule and wait; recovery places them."""
    await stage.control.add_fault(
        NAME, {"kind": "slow", "times": 3, "delay_ms": 700, "method": "change"}
    )
    # One campaign, so that it is read once: a quick read in between would end the slow row.
    for amount, roas in (("20.00", "5.0"), ("25.00", "6.0"), ("30.00", "7.0")):
        slow = await stage.place(stage.sent.bid(NAME, "1001", amount, roas))
        stage.expect(f"slow bid ${amount}", f"PLACED source=ai ${amount}", told(slow))
    waiting = [
        stage.sent.bid(NAME, "1004", "40.00", "3.0"),
        stage.sent.bid(NAME, "1005", "35.00", "2.0"),
    ]
    for bid in waiting:
        amount = format_amount(bid.amount_micros, "USD")
        answer = await stage.place(bid)
        stage.expect(
            f"bid {amount} now",
            f"DEFERRED source=fallback {amount}, circuit open",
            f"{told(answer)}, circuit {_circuit(answer)}",
        )
    stage.expect("at the sandbox", "3 changes, $75.00", changes_text(await stage.applied(NAME)))
    before = await stage.stats(NAME)
    stage.expect("deferred", "$75.00", format_amount(before.deferred_micros, "USD"))
    after = await stage.watch_until(
        NAME,
        lambda stats: stats.committed_micros >= 150_000_000 and not stats.deferred_micros,
        within_s=OPEN_S + 8,
    )
    stage.expect("committed once recovered", "$150.00 of $500.00 (30 %)", committed_text(after))
    for bid in waiting:
        amount = format_amount(bid.amount_micros, "USD")
        stage.expect(
            f"ask again for {amount}",
            f"PLACED source=fallback {amount}",
            told(await stage.place(bid)),
        )
    healthy = await stage.place(stage.sent.bid(NAME, "1006", "10.00", "2.5"))
    stage.expect(
        "bid $10.00 at last",
        "PLACED source=ai $10.00, circuit closed",
        f"{told(healthy)}, circuit {_circuit(healthy)}",
    )
    stage.expect("at the sandbox", "6 changes, $160.00", changes_text(await stage.applied(NAME)))


def _wire_calls(journal: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The calls of the Google Ads API. Access tokens come from another service, without a quota."""
    return [entry for entry in journal if entry["method"] != "oauth_token"]


def _circuit(answer: Answer) -> str:
    if isinstance(answer, ServiceError):
        return "not told"
    return CircuitState.Name(answer.result.circuit_state).removeprefix("CIRCUIT_STATE_").lower()


def _settings(**sections: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"platforms": {NAME: sections}}


SCENARIOS = (
    Scenario(
        "crowd",
        "100 callers bid $15 at once on a budget of $1,000.",
        _settings(budget={"limit": "1000.00"}, rate_limit={"calls": 1000}),
        play_crowd,
    ),
    Scenario(
        "quota",
        "Google's 100 calls a minute: the 101st call is not made.",
        _settings(budget={"limit": "100000.00"}),
        play_quota,
    ),
    Scenario(
        "breaker",
        "Three slow calls open the circuit breaker; recovery closes it and places what waited.",
        _settings(circuit_breaker={"open_s": OPEN_S}),
        play_breaker,
    ),
)
