"""What one seed's world is like: each platform's budget, quota and ways, drawn by chance."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from smartconnectors_server.ledger import ALL

USD = 1_000_000
TOTAL = "total"
TIMEOUT_S = 2.0
LATEST_S = 2 * TIMEOUT_S
"""How long after the end of its call a change may still arrive at a platform."""
WINDOWS_S = (20.0, 60.0, 300.0)
SHARED = ("4", "5")
"""Campaigns that share a bid strategy, which is then the target of both."""
CAMPAIGNS = ("1", "2", "3", *SHARED, *SHARED)
"""Each as often as it is bid on."""
AUCTION = "9"
"""The campaign whose bids answer auctions, where a platform has those."""


@dataclass(frozen=True)
class Limit:
    """One limit of a budget: never more than that inside any window of this length."""

    micros: int
    window_s: float


@dataclass(frozen=True)
class Scope:
    """One budget and what counts in it. The first limit is the one that operators change."""

    budget_id: str
    limits: tuple[Limit, ...]
    platform: str = ""
    """Empty: all of them."""
    campaign_id: str = ""
    """Empty: all of them."""

    def counts(self, platform: str, campaign_id: str) -> bool:
        """Whether a bid on that campaign counts in it."""
        return self.platform in {"", platform} and self.campaign_id in {"", campaign_id}


@dataclass(frozen=True)
class Terms:
    """One platform in one seed."""

    limit_usd: int
    window_s: float
    further_usd: int
    """A second limit, for a window of twice the length; 0: none."""
    campaigns_usd: Mapping[str, int]
    calls: int
    calls_window_s: float
    opens_after: int
    """So many bad calls in a row open its breaker."""
    open_s: float
    """How long its breaker stays open."""
    max_batch: int
    one_call_a_batch: bool
    """False: a batch takes as much of the quota as its bids would alone."""
    has_auctions: bool
    is_crowded: bool
    """Most of its bids are for the campaigns that share a target."""
    knows_targets: bool
    """True: it knows without a call which campaigns share a target."""


@dataclass(frozen=True)
class WorldTerms:
    """All platforms in one seed, and the budget over all."""

    platforms: Mapping[str, Terms]
    total: Limit
    scopes: tuple[Scope, ...] = field(init=False)

    def __post_init__(self) -> None:
        found = [Scope(TOTAL, (self.total,))]
        for name, terms in self.platforms.items():
            limits = [Limit(terms.limit_usd * USD, terms.window_s)]
            if terms.further_usd:
                limits.append(Limit(terms.further_usd * USD, 2 * terms.window_s))
            found.append(Scope(name, tuple(limits), name))
            for campaign_id, usd in terms.campaigns_usd.items():
                limit = Limit(usd * USD, terms.window_s)
                budget_id = f"{name}/campaigns/{campaign_id}"
                found.append(Scope(budget_id, (limit,), name, campaign_id))
        object.__setattr__(self, "scopes", tuple(found))

    @property
    def pausable(self) -> tuple[Scope, ...]:
        """Every budget, every campaign without one, and everything."""
        budgets = {scope.budget_id for scope in self.scopes}
        campaigns = (
            Scope(f"{name}/campaigns/{campaign_id}", (), name, campaign_id)
            for name in self.platforms
            for campaign_id in dict.fromkeys(CAMPAIGNS)
        )
        others = (scope for scope in campaigns if scope.budget_id not in budgets)
        return (*self.scopes, *others, Scope(ALL, ()))

    def longest_window_s(self) -> float:
        """After so long without a bid, every window is empty."""
        return max(limit.window_s for scope in self.scopes for limit in scope.limits)

    def document(self, state_dir: str) -> dict[str, Any]:
        """The server's configuration."""
        return {
            "server": {"state_dir": state_dir},
            "ledger": {"commit_timeout_s": 1},
            "total_budget": {
                "limit": str(self.total.micros // USD),
                "window_s": self.total.window_s,
            },
            "platforms": {name: _section(terms) for name, terms in self.platforms.items()},
        }


def _section(terms: Terms) -> dict[str, Any]:
    further = {"limit": str(terms.further_usd), "window_s": 2 * terms.window_s}
    return {
        "endpoint": "127.0.0.1:1",
        "timeout_ms": round(TIMEOUT_S * 1000),
        "budget": {
            "limit": str(terms.limit_usd),
            "window_s": terms.window_s,
            "further_limits": [further] if terms.further_usd else [],
            "campaigns": {c: str(usd) for c, usd in terms.campaigns_usd.items()},
        },
        "rate_limit": {"calls": terms.calls, "window_s": terms.calls_window_s},
        "circuit_breaker": {"failure_threshold": terms.opens_after, "open_s": terms.open_s},
    }


def draw_terms(chance: random.Random, platforms: Iterable[str]) -> WorldTerms:
    """The terms of one seed. One platform has auctions, one at least takes batches, and one at
    least has a campaign with a budget of its own.
    """
    names = list(platforms)
    auctions, batches, campaigns = (chance.choice(names) for _ in range(3))
    drawn = {}
    for name in names:
        limit_usd = chance.choice([120, 300, 500])
        of_campaign = {
            campaign: limit_usd * chance.choice([1, 2, 4]) // 10
            for campaign in ("1", SHARED[0])
            if name == campaigns or chance.random() < 0.7
        }
        calls, calls_window_s = chance.choice([(12, 30.0), (300, 60.0), (1000, 60.0)])
        drawn[name] = Terms(
            limit_usd=limit_usd,
            window_s=chance.choice(WINDOWS_S),
            further_usd=limit_usd * 3 // 2 if chance.random() < 0.5 else 0,
            campaigns_usd=of_campaign,
            calls=calls,
            calls_window_s=calls_window_s,
            opens_after=chance.choice([1, 3]),
            open_s=chance.choice([1.0, 2.0, 8.0, 20.0]),
            max_batch=chance.choice([2, 3] if name == batches else [1, 1, 3]),
            one_call_a_batch=chance.random() < 0.5,
            has_auctions=name == auctions,
            is_crowded=chance.random() < 0.5,
            knows_targets=chance.random() < 0.5,
        )
    total_usd = sum(terms.limit_usd for terms in drawn.values()) * chance.choice([5, 8]) // 10
    return WorldTerms(drawn, Limit(total_usd * USD, chance.choice(WINDOWS_S)))
