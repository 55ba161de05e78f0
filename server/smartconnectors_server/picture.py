"""What the dashboard shows, as JSON values: the engines as they are now, and the last minutes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from smartconnectors_server.budget import Course
from smartconnectors_server.budget.refusal import window_text
from smartconnectors_server.clock import NANOS_PER_MILLI, NANOS_PER_SECOND
from smartconnectors_server.connector import Traffic
from smartconnectors_server.interceptors import Engines, PlatformRuntime, Standing, standing_of
from smartconnectors_server.ledger import AlertLog, BudgetState, Hold, alert_level
from smartconnectors_server.telemetry.recent import STEP_NS

MOST_BUDGETS = 100
MOST_HOLDS = 50
MOST_REFUSALS = 20
VERSION = version("smart-connectors")


def picture(engines: Engines, alerts: AlertLog, *, ready: bool) -> dict[str, Any]:
    """Everything, in micros, milliseconds since the epoch and seconds."""
    now_ns = engines.clock.wall_ns()
    keeper, recent = engines.keeper, engines.telemetry.recent
    budgets = {budget_id: _budget(keeper.state(budget_id)) for budget_id in keeper.budget_ids()}
    holds = keeper.open_holds()
    shown = {runtime.book for runtime in engines.runtimes.values()}
    return {
        "now_ms": now_ns // NANOS_PER_MILLI,
        "version": VERSION,
        "ready": ready,
        "paused": keeper.pause_of(()) is not None,
        "platforms": [
            _platform(
                runtime,
                standing_of(runtime, keeper),
                budgets,
                holds,
                engines.courses.of(runtime.book),
                recent.refused_lately(runtime.name, now_ns),
            )
            for runtime in engines.runtimes.values()
        ],
        "budgets": [budget for budget_id, budget in budgets.items() if budget_id not in shown][
            :MOST_BUDGETS
        ],
        "holds": [_hold(hold, keeper.now_ns()) for hold in holds[:MOST_HOLDS]],
        "hold_count": len(holds),
        "alerts": _alerts(alerts),
        "refusals": [
            {
                "at_ms": refusal.at_ns // NANOS_PER_MILLI,
                "platform": refusal.platform,
                "campaign_id": refusal.campaign_id,
                "reason": refusal.reason,
                "message": refusal.message,
                "retry_at_ms": _ms(refusal.retry_at_ns),
            }
            for refusal, _ in zip(recent.refusals(), range(MOST_REFUSALS), strict=False)
        ],
        "step_s": STEP_NS // NANOS_PER_SECOND,
        "steps": [
            {
                "at_ms": step.start_ns // NANOS_PER_MILLI,
                "bids": dict(step.bids),
            }
            for step in recent.steps(now_ns)
        ],
    }


def states(engines: Engines) -> dict[str, str]:
    """Platform -> how it is, in one word."""
    keeper = engines.keeper
    return {
        name: standing_of(runtime, keeper).state.value for name, runtime in engines.runtimes.items()
    }


def _alerts(alerts: AlertLog) -> list[dict[str, Any]]:
    """The newest, newest first."""
    standing = alerts.standing()
    return [
        {
            "id": alert.id,
            "at_ms": alert.at_ns // NANOS_PER_MILLI,
            "kind": alert.kind.value,
            "text": alert.text,
            "ends": alert.ends,
            "severity": alert.severity.value,
            "stands": alert.sequence in standing,
        }
        for alert in alerts.recent()
    ]


def _budget(state: BudgetState) -> dict[str, Any]:
    first = state.limits[0]
    limit_micros = first.limit.limit_micros
    return {
        "budget_id": state.budget_id,
        "currency": state.currency_code,
        "limit_micros": limit_micros,
        "window": window_text(first.limit.window),
        "committed_micros": first.committed_micros,
        "held_micros": state.held_micros,
        "deferred_micros": state.deferred_micros,
        "in_doubt_micros": state.in_doubt_micros,
        "remaining_micros": state.remaining_micros(),
        "used_ratio": state.used_micros() / limit_micros if limit_micros else None,
        "further_limits": [
            {
                "limit_micros": one.limit.limit_micros,
                "committed_micros": one.committed_micros,
                "window": window_text(one.limit.window),
            }
            for one in state.limits[1:]
        ],
        "accepted_count": state.accepted_count,
        "vetoed_count": state.vetoed_count,
        "alert_level": alert_level(state).name.lower(),
        "paused": state.paused,
        "reported": None
        if state.reported is None
        else {
            "micros": state.reported.spend_micros,
            "period": state.reported.period,
            "as_of_ms": state.reported.as_of_ns // NANOS_PER_MILLI,
        },
    }


def _platform(
    runtime: PlatformRuntime,
    standing: Standing,
    budgets: Mapping[str, dict[str, Any]],
    holds: Iterable[Hold],
    course: Course,
    refused: Mapping[str, int],
) -> dict[str, Any]:
    limiter, breaker = runtime.limiter, runtime.breaker
    state = breaker.state.value
    return {
        "name": runtime.name,
        "title": runtime.platform.title,
        "mode": runtime.mode.value,
        "state": standing.state.value,
        "down": standing.state.is_down,
        "state_reason": standing.reason,
        "state_retry_s": standing.retry_after_s,
        "connected": runtime.is_connected,
        "circuit": state,
        "circuit_retry_s": breaker.retry_after_s() if state == "open" else None,
        "rate_limit": {
            "calls": limiter.limit,
            "window_s": limiter.window_s,
            "used": limiter.used(),
            "headroom": limiter.headroom(),
        },
        "throttled_s": {traffic.value: runtime.throttled_s(traffic) for traffic in Traffic},
        "fallback_count": runtime.fallback_count,
        "refused": [{"reason": reason, "count": count} for reason, count in refused.items()],
        "deferred_count": sum(
            hold.platform == runtime.book and hold.state.value == "deferred" for hold in holds
        ),
        "budget": budgets[runtime.book],
        "course": {
            "from_ms": course.from_ns // NANOS_PER_MILLI,
            "step_s": course.step_ns / NANOS_PER_SECOND,
            "steps": course.steps,
            "micros": course.micros,
        },
    }


def _hold(hold: Hold, now_ns: int) -> dict[str, Any]:
    return {
        "hold_id": hold.hold_id,
        "platform": hold.platform,
        "target": hold.target,
        "amount_micros": hold.amount_micros,
        "currency": hold.currency_code,
        "state": hold.state.value,
        "age_s": max(0, now_ns - hold.created_ns) // NANOS_PER_SECOND,
        "note": hold.note,
    }


def _ms(at_ns: int | None) -> int | None:
    return None if at_ns is None else at_ns // NANOS_PER_MILLI
