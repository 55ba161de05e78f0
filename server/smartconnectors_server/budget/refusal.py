"""What a refused caller reads: which budget, the numbers, and until when. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from smartconnectors_server.access import ANYBODY
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.errors import (
    BudgetExceeded,
    BudgetPaused,
    LedgerUnavailable,
    TargetInDoubt,
)
from smartconnectors_server.ledger import (
    ALL,
    Hold,
    Pause,
    Refused,
    SlidingWindow,
    Unavailable,
    Window,
)
from smartconnectors_server.money import format_amount


def duration_text(seconds: float) -> str:
    """A duration for people: `6 min 12 s`, `45 s`, `2 h 5 min`. Rounded up: never too early."""
    whole = int(-(-seconds // 1))
    if whole > 3600:
        whole = -(-whole // 60) * 60  # no seconds are shown beside hours
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "min"), (secs, "s")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n) or "0 s"


def window_text(window: Window) -> str:
    """A window for people: `10 min`, `the current day (UTC)`."""
    if isinstance(window, SlidingWindow):
        return duration_text(window.seconds)
    return f"the current {window.unit} ({window.time_zone})"


def unavailable(error: Unavailable) -> LedgerUnavailable:
    """The refusal while the ledger cannot be read or written."""
    return LedgerUnavailable(f"{error}. Nothing is admitted.", retry_after_s=1.0)


@contextmanager
def spoken() -> Iterator[None]:
    """The ledger being away, in the words that callers read."""
    try:
        yield
    except Unavailable as error:
        raise unavailable(error) from error


def exceeded(refused: Refused) -> BudgetExceeded:
    """The veto for an amount that does not fit."""
    state, index = refused.state, refused.limit_index
    limit = state.limits[index]
    currency = state.currency_code

    def amount(micros: int) -> str:
        return format_amount(micros, currency)

    metadata = {
        "budget_id": state.budget_id,
        "amount_micros": str(refused.amount_micros),
        "limit_micros": str(limit.limit.limit_micros),
        "committed_micros": str(limit.committed_micros),
        "held_micros": str(state.held_micros),
        "deferred_micros": str(state.deferred_micros),
        "in_doubt_micros": str(state.in_doubt_micros),
        "remaining_micros": str(max(0, limit.limit.limit_micros - state.used_micros(index))),
        "currency_code": currency,
    }
    head = f"{state.budget_id}: {amount(refused.amount_micros)} "
    tail = " Platform setting unchanged."
    if refused.blocked_by == "limit":
        metadata["blocked_by"] = "limit"
        return BudgetExceeded(
            f"{head}can never fit; the limit is {amount(limit.limit.limit_micros)}.{tail}",
            metadata=metadata,
            quota_subject=state.budget_id,
        )
    others = [
        f" + {amount(micros)} {name}"
        for name, micros in (
            ("held", state.held_micros),
            ("deferred", state.deferred_micros),
            ("in doubt", state.in_doubt_micros),
        )
        if micros or name == "held"
    ]
    text = (
        f"{head}does not fit: {amount(limit.committed_micros)} committed{''.join(others)} of "
        f"{amount(limit.limit.limit_micros)} in {window_text(limit.limit.window)}."
    )
    if refused.fits_at_ns is None:
        metadata["blocked_by"] = "holds"
        return BudgetExceeded(
            f"{text} Only open holds are in the way; it fits when they are given back.{tail}",
            metadata=metadata,
            quota_subject=state.budget_id,
        )
    wait_s = (refused.fits_at_ns - state.at_ns) / NANOS_PER_SECOND
    return BudgetExceeded(
        f"{text} Fits in {duration_text(wait_s)} if nothing else is bid.{tail}",
        retry_after_s=wait_s,
        metadata=metadata,
        quota_subject=state.budget_id,
    )


def without_figures(error: BudgetExceeded) -> BudgetExceeded:
    """The same veto for a caller who may not see the budget's figures: its name, and when to try
    again.
    """
    kept = ("budget_id", "amount_micros", "currency_code", "blocked_by")
    budget_id = error.metadata["budget_id"]
    return BudgetExceeded(
        f"{budget_id}: the amount does not fit. Its figures are not for this caller. Platform "
        "setting unchanged.",
        retry_after_s=error.retry_after_s,
        metadata={key: value for key, value in error.metadata.items() if key in kept},
        quota_subject=error.quota_subject,
    )


def paused(pause: Pause) -> BudgetPaused:
    """The veto for a scope that an operator paused."""
    return _paused(
        pause,
        f"{_pause_text(pause)}. New bids are refused until it is resumed; nothing was held. "
        "Campaigns that are live keep spending.",
    )


def paused_campaign(pause: Pause, campaign_id: str) -> BudgetPaused:
    """The refusal to resume a campaign in a scope that an operator paused."""
    return _paused(
        pause,
        f"{_pause_text(pause)}. Until it is resumed, only the role `operate` may resume campaign "
        f"{campaign_id}; nothing was sent.",
    )


def _pause_text(pause: Pause) -> str:
    what = "every platform" if pause.scope == ALL else pause.scope
    who = "an operator" if pause.actor in ("", ANYBODY.name) else pause.actor
    why = f": {pause.reason}" if pause.reason else ""
    return f"{what} is paused by {who}{why}"


def _paused(pause: Pause, message: str) -> BudgetPaused:
    return BudgetPaused(
        message,
        metadata={"budget_id": pause.scope, "blocked_by": "pause"},
        quota_subject=pause.scope,
    )


def target_in_doubt(blocking: Hold, actor: str) -> TargetInDoubt:
    """The veto for a target whose last change has an unknown outcome. It names that change to the
    caller that asked for it, and to no other.
    """
    own = actor == blocking.actor
    named = f"(request {blocking.request_id}) " if own else ""
    metadata = {"target": blocking.target}
    if own:
        metadata["hold_id"] = blocking.hold_id
    return TargetInDoubt(
        f"{blocking.platform}: an earlier change of {blocking.target} {named}has an unknown "
        "outcome; nothing more is sent to it until that is known.",
        retry_after_s=2.0,
        metadata=metadata,
    )
