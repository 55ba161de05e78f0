"""The rate limiter: no more calls to a platform than its quota, and what makes that hold.

`limiter` decides, exactly, over any window of the configured length. `burst` keeps calls from going
out all at once, `floor` is what the platform itself has ordered, and `claims` makes the count
survive a crash. `low_priority` is the share of calls that can wait. `shares` divides the quota
between callers, and `slots` the calls and streams that they hold at once.
"""

from smartconnectors_server.ratelimit.claims import CallStore
from smartconnectors_server.ratelimit.limiter import EVERYONE, THE_SERVER, Asker, RateLimiter
from smartconnectors_server.ratelimit.low_priority import LowPriority
from smartconnectors_server.ratelimit.shares import ACTIVE_FOR_S
from smartconnectors_server.ratelimit.slots import Slots

__all__ = [
    "ACTIVE_FOR_S",
    "EVERYONE",
    "THE_SERVER",
    "Asker",
    "CallStore",
    "LowPriority",
    "RateLimiter",
    "Slots",
]
