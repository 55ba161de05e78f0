"""What a server is put through before it dies: the budgets, the weather at the platforms, and who
acts. Each failpoint has the mixes in which it is met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.failpoints import FAILPOINTS, Place, Write

TIMEOUT_MS = 300
LATEST_MS = 500
"""A change may still arrive this late; the server waits for twice the timeout."""
CAMPAIGNS = tuple(str(1001 + number) for number in range(8))
"""On every platform's sandbox these are campaigns of one target each."""
SHARING: Mapping[str, tuple[str, ...]] = {"google_ads": ("1009", "1010")}
"""Platform -> campaigns that share a target: a bid on one moves the others."""
LIMITED_CAMPAIGN = CAMPAIGNS[0]
TOTAL = "total"
LOSSES = (
    FaultKind.HANG,
    FaultKind.APPLY_THEN_HANG,
    FaultKind.APPLY_THEN_RESET,
    FaultKind.APPLY_LATE,
    FaultKind.MALFORMED,
    FaultKind.SLOW,
)


@dataclass(frozen=True)
class Mix:
    """One way to have a bad day.

    Attributes:
        faults: what befalls changes, one at a time.
        every_s: how often, for each platform.
        outages: platforms refuse connections for a while.
        outage_s: how long.
        open_s: how long a breaker stays open.
        window_s: of every budget.
        limit_usd: of each platform's budget; far below what is bid, mostly.
        removals: campaigns disappear, so that platforms reject bids on them.
        operator: how many acts of an operator a second; `acts` are which.
        gather_ms: how long a busy ledger collects, and so how long bids are held before their call.
    """

    faults: tuple[FaultKind, ...] = ()
    every_s: float = 0.15
    outages: bool = False
    outage_s: float = 0.5
    open_s: float = 0.3
    window_s: float = 600.0
    limit_usd: int = 200
    removals: bool = False
    operator: float = 4.0
    acts: tuple[str, ...] = ("limit", "pause")
    gather_ms: float = 3.0


MIXES: Mapping[str, Mix] = {
    "crowd": Mix(),
    "short window": Mix(window_s=2.0, limit_usd=100, faults=(FaultKind.SLOW,)),
    "lossy": Mix(faults=LOSSES),
    "outage": Mix(outages=True, faults=(FaultKind.SERVER_ERROR, FaultKind.QUOTA)),
    "caught": Mix(outages=True, faults=(FaultKind.SERVER_ERROR,), gather_ms=30.0),
    "long outage": Mix(outages=True, outage_s=3.0, open_s=5.0, window_s=1.0, limit_usd=100),
    "quarrel": Mix(removals=True, every_s=0.2, limit_usd=600),
    "operator": Mix(faults=LOSSES, operator=15.0, acts=("limit", "pause", "settle")),
    "stops": Mix(operator=10.0, acts=("campaigns",)),
    "erasures": Mix(operator=10.0, acts=("erase",)),
    "second thoughts": Mix(outages=True, operator=15.0, acts=("late",)),
}

_ANY = ("crowd", "short window", "lossy", "outage")
_OPERATED = ("crowd", "operator", "short window")
_MIXES_OF: Mapping[Place | Write, tuple[str, ...]] = {
    **dict.fromkeys([*Place, *Write], _ANY),
    Place.DEFERRED_DISPATCH: ("outage",),
    Write.DEFER_NEW: ("outage",),
    Write.DEFER: ("caught",),
    Write.DISPATCH: ("outage",),
    Write.SUPERSEDE: ("outage", "long outage"),
    Write.EXPIRE: ("long outage",),
    Write.RELEASE: ("outage",),
    Write.REJECT: ("quarrel",),
    Write.DOUBT: ("lossy", "operator"),
    Write.RESOLVE_BY_RECONCILER: ("lossy",),
    Write.RESOLVE_BY_OPERATOR: ("operator",),
    Write.SETTLE_LATE: ("second thoughts",),
    Write.LIMIT: _OPERATED,
    Write.PAUSE: _OPERATED,
    Write.RESUME: _OPERATED,
    Write.PAUSE_CAMPAIGN: ("stops",),
    Write.RESUME_CAMPAIGN: ("stops",),
    Write.ERASE: ("erasures",),
    Write.ALERT_END: _OPERATED,
}
_OFTEN = {Write.RESERVE, Write.SETTLE, Write.CALLS, Place.HELD, Place.ANSWERED, Place.MARK}

ANYWHEN = "anywhen"
"""Not a failpoint: SIGKILL from outside at a random time."""
POINTS = (*FAILPOINTS, ANYWHEN)
IN_RECOVERY = (
    *(f"doubt_{moment}" for moment in ("in_memory", "before_commit", "after_commit")),
    *(f"resolve_by_reconciler_{m}" for m in ("in_memory", "before_commit", "after_commit")),
    "mark",
    "calls_after_commit",
    "settle_before_commit",
    "dispatch_after_commit",
)
"""Where a server may die a second time, while it recovers."""


def mixes_of(point: str) -> tuple[str, ...]:
    """The names of the mixes in which the point is met."""
    if point == ANYWHEN:
        return tuple(MIXES)
    return _MIXES_OF[_subject(point)]


def happens_often(point: str) -> bool:
    """Whether a run can wait for the point to be reached several times."""
    return point != ANYWHEN and _subject(point) in _OFTEN


def _subject(point: str) -> Place | Write:
    found = FAILPOINTS[point]
    return found if isinstance(found, Place) else found[0]


def campaigns_of(platform: str) -> tuple[str, ...]:
    """Every campaign that is bid on."""
    return CAMPAIGNS + SHARING.get(platform, ())


def limits_usd(mix: Mix) -> dict[str, int]:
    """Budget -> its limit at the start, in dollars."""
    return {
        "platform": mix.limit_usd,
        LIMITED_CAMPAIGN: mix.limit_usd * 3 // 10,
        TOTAL: mix.limit_usd * 9 // 4,
    }


def document(mix: Mix, endpoints: Mapping[str, str], state_dir: str) -> dict[str, Any]:
    """Settings, as a configuration file has them."""
    limits = limits_usd(mix)
    platform = {
        "timeout_ms": TIMEOUT_MS,
        "rate_limit": {"calls": 100_000},
        "circuit_breaker": {"failure_threshold": 3, "slow_call_ms": 200, "open_s": mix.open_s},
        "budget": {
            "limit": str(limits["platform"]),
            "window_s": mix.window_s,
            "campaigns": {LIMITED_CAMPAIGN: str(limits[LIMITED_CAMPAIGN])},
        },
    }
    return {
        "server": {
            "state_dir": state_dir,
            "grpc_port": 0,
            "drain_pause_s": 0,
            "log_format": "json",
        },
        "ledger": {"gather_ms": mix.gather_ms},
        "reconciler": {"interval_s": 0.05},
        "total_budget": {"limit": str(limits[TOTAL]), "window_s": mix.window_s},
        "platforms": {
            name: {**platform, "endpoint": endpoint} for name, endpoint in endpoints.items()
        },
    }
