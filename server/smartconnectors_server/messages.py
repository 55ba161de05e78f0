"""Ledger records and errors -> the contract's messages. Pure."""

from __future__ import annotations

from collections.abc import Container

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2, budget_pb2, connector_pb2, errors_pb2
from smartconnectors_server.budget import CampaignOutcome, CampaignStanding, InFlight
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.ledger import (
    Alert,
    AlertKind,
    AlertLevel,
    BudgetState,
    Entry,
    Hold,
    HoldState,
    LimitState,
    ReportedDay,
    Severity,
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
        caller=hold.actor,
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


_ALERT_KINDS = {kind: budgets_pb2.AlertKind.Value(f"ALERT_KIND_{kind.name}") for kind in AlertKind}


_SEVERITIES = {
    severity: budgets_pb2.AlertSeverity.Value(f"ALERT_SEVERITY_{severity.name}")
    for severity in Severity
}


def alert_message(alert: Alert, standing: Container[int]) -> budgets_pb2.Alert:
    """An alert as callers see it. `standing`: the lines by which something stands."""
    message = budgets_pb2.Alert(
        alert_id=alert.id,
        kind=_ALERT_KINDS[alert.kind],
        at=timestamp(alert.at_ns),
        platform=alert.platform,
        budget_ids=alert.budget_ids,
        request_id=alert.request_id,
        amount_micros=alert.amount_micros,
        currency_code=alert.currency_code,
        text=alert.text,
        stands=alert.sequence in standing,
        severity=_SEVERITIES[alert.severity],
    )
    if alert.is_of_level:
        message.level = _ALERT_LEVELS[alert.level]
    return message


_CAMPAIGN_OUTCOMES = {
    CampaignOutcome.PAUSED: budgets_pb2.CAMPAIGN_OUTCOME_PAUSED,
    CampaignOutcome.ALREADY_PAUSED: budgets_pb2.CAMPAIGN_OUTCOME_ALREADY_PAUSED,
    CampaignOutcome.RESUMED: budgets_pb2.CAMPAIGN_OUTCOME_RESUMED,
    CampaignOutcome.ALREADY_RUNNING: budgets_pb2.CAMPAIGN_OUTCOME_ALREADY_RUNNING,
    CampaignOutcome.LEFT: budgets_pb2.CAMPAIGN_OUTCOME_LEFT,
    CampaignOutcome.FAILED: budgets_pb2.CAMPAIGN_OUTCOME_FAILED,
    CampaignOutcome.SHADOWED: budgets_pb2.CAMPAIGN_OUTCOME_SHADOWED,
}


def standing_message(standing: CampaignStanding) -> budgets_pb2.CampaignStanding:
    """A campaign after it was paused or resumed, as callers see it."""
    message = budgets_pb2.CampaignStanding(
        platform=standing.platform,
        campaign_id=standing.campaign_id,
        outcome=_CAMPAIGN_OUTCOMES[standing.outcome],
    )
    if standing.error is not None:
        message.error.CopyFrom(bid_error(standing.error))
    return message


def in_flight_message(flight: InFlight) -> budgets_pb2.PauseBudgetResponse:
    """What a pause does not stop, in its answer."""
    message = budgets_pb2.PauseBudgetResponse(
        in_flight_count=len(flight.held),
        in_doubt_count=flight.in_doubt_count,
        deferred_count=flight.deferred_count,
    )
    currencies = {hold.currency_code for hold in flight.held}
    if len(currencies) == 1:
        message.currency_code = currencies.pop()
        message.in_flight_micros = sum(hold.amount_micros for hold in flight.held)
    if flight.last_ended_ns:
        message.last_dispatch_ended_at.CopyFrom(timestamp(flight.last_ended_ns))
    return message


def bid_error(error: ConnectorError) -> connector_pb2.BidError:
    """A refusal as the answer to one bid of many."""
    message = connector_pb2.BidError(
        code=code_pb2.Code.Value(error.code.value),
        reason=errors_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}"),
        message=error.message,
        metadata=error.metadata,
        violations=[
            connector_pb2.FieldViolation(field=v.field, description=v.description)
            for v in error.violations
        ],
    )
    if error.retry_after_s is not None:
        message.retry_after.CopyFrom(duration(-int(-error.retry_after_s * 10**9 // 1)))
    return message
