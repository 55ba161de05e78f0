"""What metrics say of the present: read from the engines whenever somebody looks, never kept."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from smartconnectors_server.access import Gatekeeper
from smartconnectors_server.alerts import Deliveries
from smartconnectors_server.budget import Watch
from smartconnectors_server.circuitbreaker import State
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.connector import Traffic
from smartconnectors_server.interceptors import Engines, PlatformState, standing_of
from smartconnectors_server.ledger import (
    OPEN_STATES,
    BudgetState,
    Hold,
    HoldState,
    SlidingWindow,
    Window,
    alert_level,
    platform_and_campaign,
    real_of,
)
from smartconnectors_server.telemetry import Metrics, names
from smartconnectors_server.telemetry.metrics import Samples
from smartconnectors_server.telemetry.names import Metric

Sample = tuple[tuple[str, ...], float]


def export(metrics: Metrics, engines: Engines, watch: Watch, deliveries: Deliveries) -> None:
    """Has `metrics` read the engines. A budget that is not open yet is left out."""
    metrics.read_with(partial(_read, engines, watch, deliveries))


def export_access(metrics: Metrics, gatekeeper: Gatekeeper) -> None:
    """Has `metrics` say whether the files can be used that say who callers are."""
    metrics.read_with(
        lambda: {
            names.ACCESS_FILE_USABLE: [((key,), not why) for key, why in gatekeeper.files().items()]
        }
    )


def _read(engines: Engines, watch: Watch, deliveries: Deliveries) -> Samples:
    keeper = engines.keeper
    samples: dict[Metric, list[Sample]] = {
        names.WATCHERS: [((), watch.subscribers)],
        names.LEDGER_AVAILABLE: [((), keeper.available)],
        names.ALERTS_PENDING: [((sink,), count) for sink, count in deliveries.pending().items()],
    }
    for budget_id in filter(partial(_is_named, engines), keeper.budget_ids()):
        for metric, labels, value in _of_budget(keeper.state(budget_id)):
            samples.setdefault(metric, []).append((labels, value))
    for metric, labels, value in (*_of_platforms(engines), *_of_holds(engines)):
        samples.setdefault(metric, []).append((labels, value))
    return samples


def _is_named(engines: Engines, budget_id: str) -> bool:
    """False for the budget that a campaign got because it had none: there may be many of those."""
    campaign = platform_and_campaign(real_of(budget_id))
    if campaign is None:
        return True
    settings = engines.settings.platforms.get(campaign[0])
    return settings is not None and campaign[1] in settings.budget.campaigns


def _of_budget(state: BudgetState) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
    budget, currency = (state.budget_id,), state.currency_code
    for one in state.limits:
        labels = (*budget, currency, _window_text(one.limit.window))
        yield names.BUDGET_LIMIT, labels, one.limit.limit_micros
        yield names.BUDGET_COMMITTED, labels, one.committed_micros
    for hold_state, micros in (
        (HoldState.HELD, state.held_micros),
        (HoldState.DEFERRED, state.deferred_micros),
        (HoldState.IN_DOUBT, state.in_doubt_micros),
    ):
        yield names.BUDGET_OPEN, (*budget, currency, hold_state.value), micros
    yield names.BUDGET_REMAINING, (*budget, currency), state.remaining_micros()
    first_micros = state.limits[0].limit.limit_micros
    if first_micros:
        yield names.BUDGET_UTILIZATION, budget, state.used_micros() / first_micros
    yield names.BUDGET_VETOES, budget, state.vetoed_count
    if bids := state.accepted_count + state.vetoed_count:
        yield names.BUDGET_VETO_RATIO, budget, state.vetoed_count / bids
    if state.reported is not None:
        yield names.BUDGET_REPORTED, (*budget, currency), state.reported.spend_micros
        age_s = (state.at_ns - state.reported.as_of_ns) / NANOS_PER_SECOND
        yield names.BUDGET_REPORTED_AGE, budget, max(0.0, age_s)
    yield names.BUDGET_PAUSED, budget, state.paused
    yield names.BUDGET_ALERT_LEVEL, budget, alert_level(state)


def _window_text(window: Window) -> str:
    if isinstance(window, SlidingWindow):
        return f"{window.seconds:g}s"
    return f"{window.unit} {window.time_zone}"


def _of_platforms(engines: Engines) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
    for name, runtime in engines.runtimes.items():
        platform = (name,)
        yield names.RATE_LIMIT, platform, runtime.limiter.limit
        yield names.RATE_LIMIT_USED, platform, runtime.limiter.used()
        yield names.RATE_LIMIT_HEADROOM, platform, runtime.limiter.headroom()
        for traffic in Traffic:
            yield names.THROTTLED, (name, traffic.value), runtime.throttled_s(traffic)
        for state in State:
            yield names.CIRCUIT_STATE, (name, state.value), runtime.breaker.state is state
        yield names.CONNECTED, (name, runtime.mode.value), runtime.is_connected
        present = standing_of(runtime, engines.keeper).state
        for one in PlatformState:
            yield names.PLATFORM_STATE, (name, one.value), present is one


def _of_holds(engines: Engines) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
    now_ns = engines.keeper.now_ns()
    by_place: dict[tuple[str, str], list[Hold]] = {
        (name, state.value): [] for name in engines.runtimes for state in OPEN_STATES
    }
    for hold in engines.keeper.open_holds():
        by_place.setdefault((hold.platform, hold.state.value), []).append(hold)
    for place, holds in sorted(by_place.items()):
        yield names.HOLDS, place, len(holds)
        if holds:
            oldest_ns = min(hold.created_ns for hold in holds)
            yield names.OLDEST_HOLD, place, (now_ns - oldest_ns) / NANOS_PER_SECOND
