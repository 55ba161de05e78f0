"""Which modules are tried, and which tests have to notice. The tests of a later stage are asked
only when those before noticed nothing.
"""

from __future__ import annotations

Stages = tuple[tuple[str, ...], ...]

_LEDGERS = "tests/conformance/ledger"
_LEDGER = "tests/server/ledger"
_BUDGET = "tests/server/budget"
_LIMITER = "tests/server/ratelimit"
_BREAKER = "tests/server/circuitbreaker"
_CHAIN = "tests/server/interceptors"

MODULES: dict[str, Stages] = {
    "window.py": (("tests/server/test_window.py",),),
    "budget/resolution.py": ((f"{_BUDGET}/test_resolution.py",), (_BUDGET,)),
    "budget/refusal.py": ((f"{_BUDGET}/test_refusal.py",), (_BUDGET,)),
    "budget/keeper.py": ((f"{_BUDGET}/test_keeper.py",), (_BUDGET, _CHAIN)),
    "circuitbreaker/breaker.py": ((f"{_BREAKER}/test_breaker.py",), (_BREAKER,)),
    "ratelimit/limiter.py": ((f"{_LIMITER}/test_limiter.py",), (_LIMITER,)),
    "ratelimit/claims.py": ((f"{_LIMITER}/test_claims.py",), (_LIMITER,)),
    "ratelimit/burst.py": ((f"{_LIMITER}/test_burst.py",), (_LIMITER,)),
    "ratelimit/floor.py": ((f"{_LIMITER}/test_floor.py",), (_LIMITER,)),
    "ledger/book.py": ((_LEDGERS,), (_LEDGER, _BUDGET)),
    "ledger/scopes.py": ((_LEDGERS,), (_LEDGER, _BUDGET)),
    "ledger/targets.py": ((_LEDGERS,), (_LEDGER,)),
    "ledger/store.py": ((f"{_LEDGER}/test_sqlite.py", _LEDGERS),),
    "ledger/sqlite.py": ((f"{_LEDGER}/test_sqlite.py", _LEDGERS), (_BUDGET,)),
    "ledger/group_commit.py": ((f"{_LEDGER}/test_group_commit.py",), (_LEDGERS, _LEDGER)),
    "ledger/alerts.py": ((f"{_BUDGET}/test_alerts.py", _LEDGERS), (_LEDGER, _BUDGET)),
    "ledger/chain.py": ((f"{_LEDGER}/test_damage.py", _LEDGERS), (_LEDGER,)),
    "ledger/recovery.py": ((_LEDGERS, f"{_LEDGER}/test_sqlite.py"), (_LEDGER,)),
    "ledger/mark.py": ((f"{_LEDGER}/test_damage.py", f"{_LEDGER}/test_sqlite.py"), (_LEDGERS,)),
    "ledger/lock.py": ((_LEDGERS,), (_LEDGER,)),
}

SAMPLE: dict[str, tuple[str, ...]] = {}
