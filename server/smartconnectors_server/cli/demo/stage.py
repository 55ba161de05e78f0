"""What a scenario is, what it is played on, and the rows of the table that it fills."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from smartconnectors.budgets.v1.budget_service_pb2 import (
    GetBudgetStatsRequest,
    ListLedgerEntriesRequest,
    WatchBudgetStatsRequest,
)
from smartconnectors.client import Client, ServiceError
from smartconnectors.common.v1.bid_pb2 import BidSource, BidStatus
from smartconnectors.common.v1.budget_pb2 import BudgetStats
from smartconnectors_server.cli.audit_sources import entry_of
from smartconnectors_server.cli.demo.control import Control
from smartconnectors_server.cli.demo.sent import Applied, SentBid, SentTable
from smartconnectors_server.cli.output import duration_text, share
from smartconnectors_server.ledger.audit import Audit
from smartconnectors_server.money import format_amount

Answer = Any
"""A platform's PlaceBidResponse, or the ServiceError that it ended with."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    scenario: str
    what: str
    expected: str
    observed: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Act:
    """A further part of a scenario: the server anew, on the same state and the same sandboxes.

    Attributes:
        settings: as of a scenario.
        play: as of a scenario.
        adopt: the platforms whose mode is another now, which a start refuses otherwise.
    """

    settings: Mapping[str, Any]
    play: Callable[[Stage], Awaitable[None]]
    adopt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario of the specification.

    Attributes:
        name: a word for the table.
        title: what it shows, in a sentence.
        settings: what it needs beside the defaults, nested as in the settings file.
        play: plays it.
        then: what is played afterwards.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    play: Callable[[Stage], Awaitable[None]]
    then: tuple[Act, ...] = ()

    @property
    def acts(self) -> tuple[Act, ...]:
        """Everything that is played, in order."""
        return (Act(self.settings, self.play), *self.then)


@dataclass(slots=True)
class Stage:
    """A fresh server, fresh sandboxes, and what was seen of them."""

    scenario: Scenario
    client: Client
    control: Control
    sent: SentTable = field(default_factory=SentTable)
    rows: list[Row] = field(default_factory=list)

    def expect(self, what: str, expected: str, observed: str, *, ok: bool | None = None) -> None:
        """Adds a row. `ok` None: what was observed must be what was expected, to the letter."""
        verdict = expected == observed if ok is None else ok
        self.rows.append(Row(self.scenario.name, what, expected, observed, verdict))

    async def place(self, bid: SentBid) -> Answer:
        """Bids once, without retries: the platform's answer, or the refusal."""
        try:
            return await self.client.bid(bid.request, max_attempts=1)
        except ServiceError as error:
            return error

    async def applied(self, platform: str) -> Applied:
        """What the platform's sandbox applied of what was sent."""
        return self.sent.applied(platform, await self.control.journal(platform))

    def expect_retry(self, answer: Answer, window_s: float) -> None:
        """Adds a row: a refusal says when to try again, inside the window."""
        retry_s = answer.retry_after_s if isinstance(answer, ServiceError) else None
        self.expect(
            "retry time",
            f"within {duration_text(window_s)}",
            "none" if retry_s is None else f"in {duration_text(retry_s)}",
            ok=retry_s is not None and 0 < retry_s <= window_s,
        )

    async def stats(self, budget_id: str) -> BudgetStats:
        """A budget now."""
        answer = await self.client.budgets.GetBudgetStats(
            GetBudgetStatsRequest(budget_id=budget_id), timeout=10
        )
        return answer.stats

    async def audited(self) -> Audit:
        """The server's audit ledger, every line checked and every balance derived anew.

        Raises Broken.
        """
        audit = Audit()
        token = ""
        while True:
            request = ListLedgerEntriesRequest(page_size=1000, page_token=token)
            page = await self.client.budgets.ListLedgerEntries(request, timeout=10)
            for line in page.entries:
                audit.take(entry_of(line))
            token = page.next_page_token
            if not token:
                return audit

    async def watch_until(
        self, budget_id: str, reached: Callable[[BudgetStats], bool], *, within_s: float
    ) -> BudgetStats:
        """Subscribes to a budget and returns the first figures that `reached` accepts, or the last
        ones when none came in time.
        """
        stats = BudgetStats()
        stream = self.client.budgets.WatchBudgetStats(
            WatchBudgetStatsRequest(budget_ids=[budget_id])
        )
        try:
            async with asyncio.timeout(within_s):
                async for change in stream:
                    stats = change.stats
                    if reached(stats):
                        break
        except TimeoutError:
            pass  # the caller's row shows how far it came
        finally:
            stream.cancel()
        return stats


def told(answer: Answer) -> str:
    """`PLACED source=ai $75.00`, `refused: BUDGET_EXCEEDED`."""
    if isinstance(answer, ServiceError):
        return f"refused: {answer.reason or answer.code.name}"
    result = answer.result
    status = BidStatus.Name(result.status).removeprefix("BID_STATUS_")
    source = BidSource.Name(result.source).removeprefix("BID_SOURCE_").lower()
    return f"{status} source={source} {format_amount(result.bid_micros, result.currency_code)}"


def committed_text(stats: BudgetStats) -> str:
    """`$275.00 of $500.00 (55 %)`"""
    committed = format_amount(stats.committed_micros, stats.currency_code)
    limit = format_amount(stats.limit_micros, stats.currency_code)
    return f"{committed} of {limit} ({share(stats.committed_micros, stats.limit_micros)})"


def changes_text(applied: Applied) -> str:
    """`3 changes, $275.00`, and how many of them nobody sent."""
    count = len(applied.bids)
    changes = "1 change" if count == 1 else f"{count} changes"
    text = f"{changes}, {format_amount(applied.total_micros, 'USD')}"
    return text + (f", {applied.unknown} that nobody sent" if applied.unknown else "")
