"""Which modules are tried, and which tests have to notice. The tests of a later stage are asked
only when those before noticed nothing.
"""

from __future__ import annotations

Stages = tuple[tuple[str, ...], ...]

_LEDGERS = "tests/conformance/ledger"
_LEDGER = "tests/server/ledger"
_ALERTS = "tests/server/alerts"
_BUDGET = "tests/server/budget"
_LIMITER = "tests/server/ratelimit"
_ADOPTION = "tests/server/interceptors/test_adoption.py"
_BREAKER = "tests/server/circuitbreaker"

MODULES: dict[str, Stages] = {
    "window.py": (("tests/server/test_window.py",),),
    "budget/resolution.py": ((f"{_BUDGET}/test_resolution.py",), (_BUDGET,)),
    "budget/refusal.py": ((f"{_BUDGET}/test_refusal.py",),),
    "budget/keeper.py": ((f"{_BUDGET}/test_keeper.py",), (_BUDGET, "tests/server/services")),
    "budget/reconciler.py": ((f"{_BUDGET}/test_reconciler.py",),),
    "budget/pricing.py": ((f"{_BUDGET}/test_pricing.py",),),
    "budget/dispatches.py": ((f"{_BUDGET}/test_dispatches.py",),),
    "circuitbreaker/breaker.py": ((_BREAKER,),),
    "ratelimit/limiter.py": ((_LIMITER,),),
    "ratelimit/claims.py": ((_LIMITER,),),
    "ratelimit/low_priority.py": ((f"{_LIMITER}/test_low_priority.py",),),
    "ratelimit/burst.py": ((_LIMITER,),),
    "ratelimit/floor.py": ((_LIMITER,),),
    "ledger/book.py": ((f"{_LEDGER}/test_book.py", _LEDGERS), (f"{_LEDGER}/test_book_model.py",)),
    "ledger/scopes.py": (
        (f"{_LEDGER}/test_scopes.py",),
        (_LEDGERS,),
        (f"{_LEDGER}/test_book_model.py",),
    ),
    "ledger/targets.py": (
        (f"{_LEDGER}/test_targets.py",),
        (_LEDGERS,),
        (f"{_LEDGER}/test_book_model.py",),
    ),
    "ledger/prices.py": ((f"{_LEDGER}/test_prices.py",),),
    "ledger/store.py": (
        (f"{_LEDGER}/test_store.py", f"{_LEDGER}/test_taken_over.py"),
        (f"{_LEDGER}/test_bindings.py", "tests/server/test_private.py"),
        (f"{_LEDGER}/test_sqlite.py", _LEDGERS),
    ),
    "ledger/sqlite.py": (
        (f"{_LEDGER}/test_embedded.py", f"{_LEDGER}/test_unwritten.py"),
        (_LEDGERS, f"{_LEDGER}/test_commits.py"),
        (f"{_LEDGER}/test_damage.py", f"{_LEDGER}/test_sqlite.py"),
        (_BUDGET,),
    ),
    "ledger/known_ids.py": ((f"{_LEDGER}/test_known_ids.py",),),
    "ledger/request_ids.py": ((f"{_LEDGER}/test_store.py",), (f"{_LEDGER}/test_sqlite.py",)),
    "ledger/group_commit.py": (
        (f"{_LEDGER}/test_group_commit.py",),
        (f"{_LEDGER}/test_commits.py", f"{_LEDGER}/test_taken_over.py"),
        (_LEDGERS,),
    ),
    "ledger/alerts.py": ((f"{_LEDGER}/test_alerts.py",), (f"{_BUDGET}/test_alerts.py", _LEDGERS)),
    "ledger/audit_alerts.py": ((f"{_LEDGER}/test_audit_alerts.py",),),
    "alerts/edges.py": ((f"{_ALERTS}/test_edges.py",),),
    "ledger/lines.py": ((f"{_LEDGER}/test_book.py", _LEDGERS),),
    "ledger/telling.py": ((f"{_LEDGER}/test_book.py", f"{_LEDGER}/test_alerts.py", _LEDGERS),),
    "ledger/figures.py": ((f"{_LEDGER}/test_book.py", _LEDGERS),),
    "ledger/configured.py": ((f"{_LEDGER}/test_configured.py",), (f"{_LEDGER}/test_audit.py",)),
    "ledger/forgetting.py": ((f"{_LEDGER}/test_sqlite.py",), (f"{_LEDGER}/test_embedded.py",)),
    "ledger/reader.py": ((f"{_LEDGER}/test_reader.py",),),
    "ledger/rows.py": ((f"{_LEDGER}/test_store.py",), (f"{_LEDGER}/test_sqlite.py", _LEDGERS)),
    "ledger/chain.py": ((f"{_LEDGER}/test_chain.py",), (f"{_LEDGER}/test_damage.py", _LEDGERS)),
    "ledger/recovery.py": (
        (f"{_LEDGER}/test_recovery.py",),
        (f"{_LEDGER}/test_bindings.py", _LEDGERS, f"{_LEDGER}/test_sqlite.py"),
    ),
    "ledger/totals.py": (
        (f"{_LEDGER}/test_totals.py",),
        (f"{_LEDGER}/test_store.py", _LEDGERS),
    ),
    "clock.py": (("tests/server/test_clock.py",), (_LEDGERS,)),
    "ledger/mark.py": (
        (f"{_LEDGER}/test_mark.py",),
        (f"{_LEDGER}/test_damage.py", f"{_LEDGER}/test_sqlite.py"),
    ),
    "threads.py": (("tests/server/test_threads.py",), (f"{_LEDGER}/test_group_commit.py",)),
    "ledger/lock.py": ((f"{_LEDGER}/test_lock.py",), (_LEDGERS,)),
    "ledger/same_files.py": ((f"{_LEDGER}/test_taken_over.py",),),
    "ledger/bindings.py": ((f"{_LEDGER}/test_bindings.py",), (_ADOPTION,)),
    "ledger/adopting.py": ((f"{_LEDGER}/test_bindings.py",), (_ADOPTION,)),
    "private.py": (("tests/server/test_private.py",), (f"{_LEDGER}/test_lock.py",)),
}

SAMPLE: dict[str, tuple[str, ...]] = {
    "window.py": (
        "module: SMALLEST_BUCKET_NS = 1000000 => SMALLEST_BUCKET_NS = 1000001",
        "SlidingSum.add: self._weight_so_far += weight => pass",
        "SlidingSum.add: self._weight_so_far += weight => self._weight_so_far = weight",
        "SlidingSum.add: buckets[-1] = entry => pass",
        "SlidingSum.fits_at_ns: if weight > room => if weight >= room",
        "SlidingSum.fits_at_ns: if excess <= 0 => if excess <= 1",
        "SlidingSum._advance: now_ns - self._width_ns => now_ns + self._width_ns",
        "SlidingSum._advance: buckets[-1][0] <= horizon_ns => buckets[-1][0] < horizon_ns",
        "CalendarSum.fits_at_ns: self._weight + weight <= room => self._weight + weight < room",
        "CalendarSum._advance: now_ns >= self._end_ns => now_ns > self._end_ns",
    ),
    "budget/resolution.py": (
        "outcome_of: Outcome.UNKNOWN if dispatched else Outcome.NOT_SENT => Outcome.NOT_SENT",
        "resolution_of_doubt: if not quiet => if False",
        "resolution_of_doubt: finding is Finding.NOT_APPLIED => finding is not Finding.NOT_APPLIED",
        "resolution_of_doubt: return Verb.SETTLE => return None",
    ),
    "circuitbreaker/breaker.py": (
        "Permit.fail: self._tell = None => pass",
        "CircuitBreaker._hear: verdict is _FAILED => verdict is not _FAILED",
        "CircuitBreaker._hear: self._bad_in_a_row += 1 => pass",
        "CircuitBreaker._hear: self._bad_in_a_row = 0 => pass",
        "CircuitBreaker._catch_up: now_ns < overdue_ns => now_ns <= overdue_ns",
        "CircuitBreaker._change: self._generation += 1 => pass",
    ),
}
