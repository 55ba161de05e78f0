"""What a refused caller reads, to the letter."""

from __future__ import annotations

import pytest

from smartconnectors_server.budget import duration_text
from smartconnectors_server.budget.refusal import (
    exceeded,
    paused,
    spoken,
    window_text,
    without_figures,
)
from smartconnectors_server.errors import BudgetExceeded, LedgerUnavailable
from smartconnectors_server.ledger import (
    ALL,
    BudgetState,
    CalendarWindow,
    Limit,
    LimitState,
    Pause,
    Refused,
    SlidingWindow,
    Unavailable,
)

USD = 1_000_000
TEN_MINUTES = SlidingWindow(600.0)


def state(
    *limits: tuple[int, int],
    held: int = 0,
    deferred: int = 0,
    in_doubt: int = 0,
    currency: str = "USD",
) -> BudgetState:
    """A budget with (committed, limit) in whole units for each of its limits."""
    return BudgetState(
        budget_id="google_ads",
        currency_code=currency,
        limits=tuple(
            LimitState(Limit(limit * USD, TEN_MINUTES), committed * USD, None)
            for committed, limit in limits
        ),
        held_micros=held * USD,
        deferred_micros=deferred * USD,
        in_doubt_micros=in_doubt * USD,
        accepted_count=0,
        vetoed_count=0,
        paused=False,
        at_ns=1000,
        sequence=1,
    )


def refused(
    of: BudgetState, amount: int, wait_s: float | None, blocked_by: str = "", index: int = 0
) -> Refused:
    fits_at_ns = None if wait_s is None else of.at_ns + round(wait_s * 1e9)
    return Refused(of, index, amount * USD, fits_at_ns, blocked_by)


def test_a_veto_says_the_numbers_and_until_when() -> None:
    error = exceeded(refused(state((275, 500)), 300, 372.0))
    assert error.message == (
        "google_ads: $300.00 does not fit: $275.00 committed + $0.00 held of $500.00 in 10 min. "
        "Fits in 6 min 12 s if nothing else is bid. Platform setting unchanged."
    )
    assert error.retry_after_s == 372.0
    assert error.quota_subject == "google_ads"
    assert error.metadata == {
        "budget_id": "google_ads",
        "amount_micros": "300000000",
        "limit_micros": "500000000",
        "committed_micros": "275000000",
        "held_micros": "0",
        "deferred_micros": "0",
        "in_doubt_micros": "0",
        "remaining_micros": "225000000",
        "currency_code": "USD",
    }


def test_a_veto_for_ever_says_so_and_names_no_time() -> None:
    error = exceeded(refused(state((0, 500)), 501, None, "limit"))
    assert error.message == (
        "google_ads: $501.00 can never fit; the limit is $500.00. Platform setting unchanged."
    )
    assert error.retry_after_s is None
    assert error.quota_subject == "google_ads"
    assert error.metadata["blocked_by"] == "limit"


def test_a_veto_by_open_holds_names_no_time() -> None:
    of = state((100, 500), held=300, deferred=50, in_doubt=25)
    error = exceeded(refused(of, 150, None, "holds"))
    assert error.message == (
        "google_ads: $150.00 does not fit: $100.00 committed + $300.00 held + $50.00 deferred "
        "+ $25.00 in doubt of $500.00 in 10 min. Only open holds are in the way; it fits when they "
        "are given back. Platform setting unchanged."
    )
    assert error.retry_after_s is None
    assert error.quota_subject == "google_ads"
    assert error.metadata["blocked_by"] == "holds"
    assert error.metadata["remaining_micros"] == "25000000"


def test_the_numbers_are_those_of_the_limit_that_refused() -> None:
    error = exceeded(refused(state((0, 500), (45, 50)), 10, 30.0, index=1))
    assert "$45.00 committed + $0.00 held of $50.00" in error.message
    assert error.metadata["limit_micros"] == "50000000"


def test_what_is_over_the_limit_leaves_nothing_and_not_less() -> None:
    error = exceeded(refused(state((700, 500)), 1, 30.0))
    assert error.metadata["remaining_micros"] == "0"


def test_amounts_are_in_the_currency_of_the_budget() -> None:
    error = exceeded(refused(state((1500, 2000), currency="JPY"), 600, 60.0))
    assert error.message.startswith(
        "google_ads: ¥600 does not fit: ¥1,500 committed + ¥0 held of ¥2,000 in 10 min."
    )


def test_a_paused_budget_says_why_and_that_live_campaigns_go_on() -> None:
    assert "is paused by alice: x." in paused(Pause("meta", "x", 0, "alice")).message
    error = paused(Pause("google_ads", "too fast", 0))
    assert error.message == (
        "google_ads is paused by an operator: too fast. New bids are refused until it is resumed; "
        "nothing was held. Campaigns that are live keep spending."
    )
    assert error.retry_after_s is None
    assert error.quota_subject == "google_ads"
    assert error.metadata == {"budget_id": "google_ads", "blocked_by": "pause"}


def test_a_pause_of_everything_says_so_and_needs_no_reason() -> None:
    error = paused(Pause(ALL, "", 0))
    assert error.message.startswith("every platform is paused by an operator. New bids")
    assert error.metadata["budget_id"] == "all"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.001, "1 s"),
        (1, "1 s"),
        (45, "45 s"),
        (59.01, "1 min"),
        (372, "6 min 12 s"),
        (600, "10 min"),
        (3599.5, "1 h"),
        (3600, "1 h"),
        (3601, "1 h 1 min"),
        (7505, "2 h 6 min"),
        (7500, "2 h 5 min"),
        (7199.2, "2 h"),
        (86_400, "24 h"),
    ],
)
def test_a_duration_is_never_said_too_short(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_window_is_said_as_people_say_it() -> None:
    assert window_text(SlidingWindow(600.0)) == "10 min"
    assert window_text(CalendarWindow("day", "Europe/Berlin")) == (
        "the current day (Europe/Berlin)"
    )


def test_a_ledger_that_is_away_is_said_and_soon_asked_again() -> None:
    with (
        pytest.raises(LedgerUnavailable, match=r"the disk is full\. Nothing is admitted\.") as said,
        spoken(),
    ):
        raise Unavailable("the disk is full")
    assert said.value.retry_after_s == 1.0
    with spoken():
        pass


@pytest.mark.parametrize("blocked_by", ["", "limit"])
def test_who_may_not_see_the_figures_reads_which_budget_and_until_when(blocked_by: str) -> None:
    kept = {"budget_id": "google_ads", "amount_micros": "300000000", "currency_code": "USD"}
    kept |= {"blocked_by": blocked_by} if blocked_by else {}
    figures = {"limit_micros": "500000000", "committed_micros": "1", "held_micros": "2"}
    seen = BudgetExceeded(
        "google_ads: $300.00 does not fit",
        retry_after_s=7.5,
        metadata={**kept, **figures},
        quota_subject="google_ads",
    )
    said = without_figures(seen)
    assert said.message == (
        "google_ads: the amount does not fit. Its figures are not for this caller. Platform "
        "setting unchanged."
    )
    assert said.metadata == kept
    assert (said.retry_after_s, said.quota_subject) == (7.5, "google_ads")
