"""The rate limiter: no more calls to a platform than its quota, and what makes that hold.

`limiter` decides, exactly, over any window of the configured length. `burst` keeps calls from going
out all at once, `floor` is what the platform itself has ordered, and `claims` makes the count
survive a crash. `low_priority` is the share of calls that can wait.
"""

from smartconnectors_server.ratelimit.claims import CallStore
from smartconnectors_server.ratelimit.limiter import EVERYONE, RateLimiter
from smartconnectors_server.ratelimit.low_priority import LowPriority

__all__ = ["EVERYONE", "CallStore", "LowPriority", "RateLimiter"]
