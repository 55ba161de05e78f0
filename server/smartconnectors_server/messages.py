"""Ledger records -> the contract's messages. Pure."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2, budget_pb2
from smartconnectors_server.ledger import (
    AlertLevel,
    BudgetState,
    Entry,
    Hold,
    HoldState,
    LimitState,
    ReportedDay,
    SlidingWindow,
    alert_level,
)

NANOS_PER_SECOND = 1_000_000_000

_ALERT_LEVELS = {
    AlertLevel.NONE: budget_pb2.ALERT_LEVEL_NONE,
    AlertLevel.WARNING: budget_pb2.ALERT_LEVEL_WARNING,
    AlertLevel.CRITICAL: budget_pb2.ALERT_LEVEL_CRITICAL,
    AlertLevel.EXHAUSTED: budget_pb2.ALERT_LEVEL_EXHAUSTED,
}

SOURCES = {"ai": bid_pb2.BID_SOURCE_AI, "fallback": bid_pb2.BID_SOURCE_FALLBACK}

_HOLD_STATES = {
    HoldState.HELD: budgets_pb2.HOLD_STATE_HELD,
    HoldState.DEFERRED: budgets_pb2.HOLD_STATE_DEFERRED,
    HoldState.IN_DOUBT: budgets_pb2.HOLD_STATE_IN_DOUBT,
    HoldState.SETTLED: budgets_pb2.HOLD_STATE_SETTLED,
}


def timestamp(at_ns: int) -> Timestamp:
    """Nanoseconds since the epoch as a Timestamp."""
    seconds, nanos = divmod(at_ns, NANOS_PER_SECOND)
    return Timestamp(seconds=seconds, nanos=nanos)


def duration(length_ns: int) -> Duration:
    """Nanoseconds as a Duration."""
    seconds, nanos = divmod(length_ns, NANOS_PER_SECOND)
    return Duration(seconds=seconds, nanos=nanos)


def _limit_message(state: BudgetState, index: int, limit: LimitState) -> budget_pb2.BudgetLimit:
    message = budget_pb2.BudgetLimit(
        limit_micros=limit.limit.limit_micros,
        committed_micros=limit.committed_micros,
        remaining_micros=max(0, limit.limit.limit_micros - state.used_micros(index)),
    )
    if isinstance(limit.limit.window, SlidingWindow):
        message.window.CopyFrom(duration(round(limit.limit.window.seconds * NANOS_PER_SECOND)))
    else:
        message.calendar = limit.limit.window.unit
    return message


def stats_message(state: BudgetState) -> budget_pb2.BudgetStats:
    """A budget as callers see it."""
    message = budget_pb2.BudgetStats()
    fill_stats(message, state)
    return message


def fill_stats(message: budget_pb2.BudgetStats, state: BudgetState) -> None:
    """Says in an empty message what `stats_message` says. Every bid's answer carries one, and field
    by field in place costs half of making one and copying it.
    """
    first = state.limits[0]
    limit_micros = first.limit.limit_micros
    message.budget_id = state.budget_id
    message.limit_micros = limit_micros
    message.committed_micros = first.committed_micros
    message.held_micros = state.held_micros
    message.deferred_micros = state.deferred_micros
    message.in_doubt_micros = state.in_doubt_micros
    message.remaining_micros = state.remaining_micros()
    # A limit of 0 admits nothing, so it always counts as full.
    message.utilization = state.used_micros() / limit_micros if limit_micros else 1.0
    message.currency_code = state.currency_code
    message.accepted_count = state.accepted_count
    message.vetoed_count = state.vetoed_count
    message.alert_level = _ALERT_LEVELS[alert_level(state)]
    message.paused = state.paused
    message.sequence = state.sequence
    _fill_time(message.as_of, state.at_ns)
    if isinstance(first.limit.window, SlidingWindow):
        _fill_time(message.window, round(first.limit.window.seconds * NANOS_PER_SECOND))
    if first.next_release_ns is not None:
        _fill_time(message.next_release_at, first.next_release_ns)
    if state.reported is not None:
        message.reported_spend_micros = state.reported.spend_micros
        message.reported_period = state.reported.period
        _fill_time(message.reported_as_of, state.reported.as_of_ns)
    for index, limit in enumerate(state.limits):
        if index > 0:
            message.further_limits.append(_limit_message(state, index, limit))


def _fill_time(message: Timestamp | Duration, nanos: int) -> None:
    message.seconds, message.nanos = divmod(nanos, NANOS_PER_SECOND)


def hold_message(hold: Hold) -> budgets_pb2.Hold:
    """A hold as callers see it. Rejected, expired and superseded ones read as released."""
    message = budgets_pb2.Hold(
        hold_id=hold.hold_id,
        request_id=hold.request_id,
        platform=hold.platform,
        budget_ids=hold.budget_ids,
        target=hold.target,
        amount_micros=hold.amount_micros,
        currency_code=hold.currency_code,
        state=_HOLD_STATES.get(hold.state, budgets_pb2.HOLD_STATE_RELEASED),
        source=SOURCES[hold.source],
        created_at=timestamp(hold.created_ns),
        updated_at=timestamp(hold.updated_ns),
        note=hold.note,
    )
    if hold.state is HoldState.DEFERRED:
        message.expires_at.CopyFrom(timestamp(hold.expires_ns))
    return message


def reported_message(day: ReportedDay) -> budgets_pb2.ReportedSpend:
    """What a platform reported, as callers see it."""
    return budgets_pb2.ReportedSpend(
        platform=day.platform,
        campaign_id=day.campaign_id,
        day=day.day,
        spend_micros=day.spend_micros,
        currency_code=day.currency_code,
        time_zone=day.time_zone,
        as_of=timestamp(day.as_of_ns),
    )


def entry_message(entry: Entry) -> budgets_pb2.LedgerEntry:
    """An audit line as callers see it."""
    return budgets_pb2.LedgerEntry(
        sequence=entry.sequence,
        at=timestamp(entry.at_ns),
        verb=entry.verb,
        budget_ids=entry.budget_ids,
        hold_id=entry.hold_id,
        request_id=entry.request_id,
        amount_micros=entry.amount_micros,
        currency_code=entry.currency_code,
        note=entry.note,
        platform=entry.platform,
        hash=entry.hash,
        actor=entry.actor,
        customer_hash=entry.customer,
    )
