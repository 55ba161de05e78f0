"""The test's own table: what was asked, what was told of it, and which limits held when."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.simulation.terms import AUCTION, CAMPAIGNS, SHARED, USD, Scope, Terms

from smartconnectors.common.v1 import bid_pb2, campaign_pb2

UNSENT = frozenset(
    {
        "BUDGET_EXCEEDED",
        "BUDGET_PAUSED",
        "CIRCUIT_OPEN_NO_FALLBACK",
        "DEADLINE_TOO_SHORT",
        "INTERNAL",
        "INVALID_BID",
        "LEDGER_UNAVAILABLE",
        "SERVER_DRAINING",
        "NO_BID",
        "OVERLOADED",
        "PLATFORM_REJECTED",
        "PLATFORM_UNAVAILABLE",
        "RATE_LIMITED",
        "TARGET_IN_DOUBT",
        "UNCHANGED",
        "UNKNOWN_TARGET",
        "VALIDATED",
    }
)
"""Who reads one of these has no money held and nothing sent."""
WORTH_A_RETRY = UNSENT - {"VALIDATED"} | {"OUTCOME_UNKNOWN", "REQUEST_IN_PROGRESS", "gave up"}
NO_ANSWER = "no answer"


@dataclass
class Attempt:
    """One time that a bid was sent to the server."""

    at_s: float
    told: str = NO_ANSWER
    told_at_s: float = 0.0

    def tell(self, word: str, now_s: float) -> None:
        """It was answered."""
        self.told, self.told_at_s = word, now_s


@dataclass
class Asked:
    """One bid of the test's table."""

    platform: str
    request_id: str
    bid: bid_pb2.BidRequest | campaign_pb2.CampaignBudgetUpdate
    """The other way to commit money: a campaign's daily budget."""
    greed_micros: int = -1
    """At its first attempt it asks for all that is left, and so much more; -1: it does not."""
    attempts: list[Attempt] = field(default_factory=list)
    final: str = ""
    """What is said of it when all is over."""
    assumed: bool = False
    """It counts, though the platform could not say whether it has it."""
    excused: bool = False
    """The server could not write that it gave it back, so it may have been placed all the same."""

    @property
    def waits(self) -> bool:
        """Whether it may be deferred."""
        return isinstance(self.bid, bid_pb2.BidRequest) and self.bid.campaign_id != AUCTION

    @property
    def most_micros(self) -> int | None:
        """The most that it may commit; None: whatever the server prices it at."""
        if isinstance(self.bid, campaign_pb2.CampaignBudgetUpdate):
            return self.bid.daily_budget_micros
        if self.bid.reduce_only:
            return 0
        return self.bid.bid_micros if self.bid.HasField("bid_micros") else None

    @property
    def told(self) -> list[str]:
        """Every answer, in the order of the attempts."""
        return [attempt.told for attempt in self.attempts]

    def known_at_s(self, after_s: float) -> float:
        """When somebody was first told later than that that it is placed; infinite: never."""
        told_at_s = (a.told_at_s for a in self.attempts if a.told == "PLACED")
        return min((at_s for at_s in told_at_s if at_s > after_s), default=math.inf)

    def admitted_after_s(self) -> float:
        """It was admitted at this instant or later."""
        refused = UNSENT - {"LEDGER_UNAVAILABLE"}
        return min((a.at_s for a in self.attempts if a.told not in refused), default=0.0)


def draw_update(chance: random.Random, platform: str, request_id: str) -> Asked:
    """A new daily budget for a campaign, up or down."""
    update = campaign_pb2.CampaignBudgetUpdate(
        request_id=request_id,
        campaign_id=chance.choice(CAMPAIGNS),
        daily_budget_micros=chance.randrange(1, 40 * USD),
    )
    return Asked(platform, request_id, update)


def draw_bid(chance: random.Random, platform: str, request_id: str, terms: Terms) -> Asked:
    """One bid. Its amount, if it has one, is between a cent and more than any budget."""
    campaigns: tuple[str, ...] = CAMPAIGNS
    if terms.has_auctions:
        campaigns = (*CAMPAIGNS, AUCTION)
    if terms.is_crowded and chance.random() < 0.8:
        campaigns = SHARED
    bid = bid_pb2.BidRequest(
        request_id=request_id,
        campaign_id=chance.choice(campaigns),
        predicted_ltv_micros=chance.choice([0, 10 * USD, 70 * USD]),
        reduce_only=chance.random() < 0.05,
        validate_only=chance.random() < 0.03,
    )
    asked = Asked(platform, request_id, bid)
    if chance.random() < 0.8 or bid.reduce_only:
        bid.bid_micros = chance.randrange(USD // 100, chance.choice([5, 30, 120]) * USD)
        if chance.random() < 0.4:
            asked.greed_micros = chance.choice([0, 1, 1, 5 * USD])
    return asked


class LimitHistory:
    """Which limits each budget may have had when, for all that an operator was told."""

    def __init__(self, scopes: Iterable[Scope]) -> None:
        self._possible = {scope.budget_id: {scope.limits[0].micros} for scope in scopes}
        self._most: dict[str, list[tuple[float, int]]] = {
            budget_id: [(0.0, max(limits))] for budget_id, limits in self._possible.items()
        }

    def asks(self, budget_id: str, micros: int, now_s: float) -> None:
        """From now on it may be this one."""
        self._possible[budget_id].add(micros)
        self._note(budget_id, now_s)

    def has(self, budget_id: str, micros: int, now_s: float) -> None:
        """From now on it is this one."""
        self._possible[budget_id] = {micros}
        self._note(budget_id, now_s)

    def _note(self, budget_id: str, now_s: float) -> None:
        self._most[budget_id].append((now_s, max(self._possible[budget_id])))

    def most(self, budget_id: str, since_s: float, until_s: float) -> int:
        """The largest limit that it may have had between two instants."""
        most = 0
        for at_s, micros in self._most[budget_id]:
            if at_s > until_s:
                break
            most = micros if at_s <= since_s else max(most, micros)
        return most
