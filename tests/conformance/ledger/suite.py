"""Every promise of a ledger, by name. A ledger of one's own is tried with `keeps`:

await keeps(PROMISES["two_hundred_at_once_never_exceed_the_limit"], make, directory)
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import ModuleType

from tests.conformance.ledger import (
    admission,
    alerts,
    audit,
    campaigns,
    erasing,
    holds,
    reports,
    restarts,
    windows,
)
from tests.conformance.ledger.bench import Bench, Maker

Promise = Callable[[Bench], Awaitable[None]]


def _promises_of(module: ModuleType) -> dict[str, Promise]:
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.iscoroutinefunction(function)
        and function.__module__ == module.__name__
        and tuple(inspect.signature(function).parameters) == ("bench",)
    }


PROMISES: Mapping[str, Promise] = {
    f"{module.__name__.rpartition('.')[2]}-{name}": promise
    for module in (
        admission,
        holds,
        windows,
        restarts,
        audit,
        alerts,
        reports,
        erasing,
        campaigns,
    )
    for name, promise in _promises_of(module).items()
}


async def keeps(promise: Promise, make: Maker, directory: Path) -> None:
    """Tries one promise on a fresh ledger. Raises whatever breaks it."""
    bench = Bench(make, directory)
    try:
        await promise(bench)
    finally:
        await bench.finish()
