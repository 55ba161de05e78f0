"""What the ledger calls things in shadow mode.

A platform in shadow mode has a book of its own, `shadow/<platform>`, in which its holds stand and
its budgets count. Everything that the ledger keeps by platform is apart by that name alone: what is
committed, which request ids are taken, which targets are blocked or wait, the history that prices
and intervals come from. So nothing of it counts, answers, blocks or teaches once the platform is
live, nor the other way round. Only a pause of the real one holds in its shadow too.
"""

from __future__ import annotations

SHADOW = "shadow/"


def shadow_of(name: str) -> str:
    """The shadow of a platform or of a scope: `shadow/google_ads`, `shadow/total`."""
    return SHADOW + name


def is_shadow(name: str) -> bool:
    """Whether it is the name of a shadow."""
    return name.startswith(SHADOW)


def real_of(name: str) -> str:
    """What it is the shadow of; of a real one itself."""
    return name.removeprefix(SHADOW)
