"""The specification's own figures, platform by platform: what fits a budget, and what does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from smartconnectors.client import ServiceError
from smartconnectors_server.cli.demo.stage import (
    Scenario,
    Stage,
    changes_text,
    committed_text,
    told,
)
from smartconnectors_server.platforms import PLATFORMS

WINDOW_S = 600.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Bids on one platform with its default budget.

    Attributes:
        platform: where.
        bids: (campaign, amount, ROAS) of each that fits.
        refused: the one that does not.
        total: the sum of those that fit.
        limit: the budget.
        share: of the budget.
    """

    platform: str
    bids: tuple[tuple[str, str, str], ...]
    refused: tuple[str, str, str]
    total: str
    limit: str
    share: str

    @property
    def scenario(self) -> Scenario:
        """What the table calls it, and how it is played."""
        amounts = " + ".join(f"${amount.removesuffix('.00')}" for _, amount, _ in self.bids)
        limit, refused = self.limit.removesuffix(".00"), self.refused[1].removesuffix(".00")
        title = PLATFORMS[self.platform].title
        return Scenario(
            f"{self.platform}-figures",
            f"{title}: {amounts} fit {limit}, ${refused} more does not.",
            {},
            self._play(),
        )

    def _play(self) -> Callable[[Stage], Awaitable[None]]:
        async def play(stage: Stage) -> None:
            committed = f"{self.total} of {self.limit} ({self.share})"
            for campaign, amount, roas in self.bids:
                sent = stage.sent.bid(self.platform, campaign, amount, roas)
                answer = await stage.place(sent)
                stage.expect(f"bid ${amount}", f"PLACED source=ai ${amount}", told(answer))
            stats = await stage.stats(self.platform)
            stage.expect("committed", committed, committed_text(stats))
            await self._refuse(stage)
            stats = await stage.stats(self.platform)
            stage.expect("committed after it", committed, committed_text(stats))
            stage.expect(
                "at the sandbox",
                f"{len(self.bids)} changes, {self.total}",
                changes_text(await stage.applied(self.platform)),
            )

        return play

    async def _refuse(self, stage: Stage) -> None:
        campaign, amount, roas = self.refused
        refused = await stage.place(stage.sent.bid(self.platform, campaign, amount, roas))
        stage.expect(f"bid ${amount}", "refused: BUDGET_EXCEEDED", told(refused))
        message = refused.message if isinstance(refused, ServiceError) else ""
        numbers = (f"${amount}", self.total, self.limit)
        stage.expect(
            "the refusal names",
            ", ".join(numbers),
            ", ".join(number for number in numbers if number in message),
        )
        stage.expect_retry(refused, WINDOW_S)


FIGURES = (
    Figures(
        "google_ads",
        (("1001", "150.00", "2.0"), ("1002", "75.00", "3.0"), ("1003", "50.00", "5.0")),
        ("1004", "300.00", "2.5"),
        "$275.00",
        "$500.00",
        "55 %",
    ),
    Figures(
        "meta",
        (("1001", "120.00", "2.0"), ("1002", "100.00", "3.0")),
        ("1003", "200.00", "2.5"),
        "$220.00",
        "$400.00",
        "55 %",
    ),
    Figures(
        "trade_desk",
        (("1001", "150.00", "2.0"), ("1002", "150.00", "3.0"), ("1003", "150.00", "5.0")),
        ("1004", "200.00", "2.5"),
        "$450.00",
        "$600.00",
        "75 %",
    ),
)

SCENARIOS = tuple(one.scenario for one in FIGURES)
