"""One change on a platform, as it is sent and as the journal keeps it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One change that took effect, or is to."""

    platform: str
    request_id: str
    campaign_id: str
    target: str
    amount: int
    value: int = 0
    """What the target is set to, in its own unit."""
    at_s: float = 0.0
    """When it took effect, or will."""
