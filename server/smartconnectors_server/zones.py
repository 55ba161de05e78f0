"""Time zones by name: one way to look them up, and one error where a name is not known.

Names come from settings, from platforms, and from a ledger that another system may have written;
which names there are depends on the system, and on the package tzdata where the system has none.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo


class UnknownZone(Exception):
    """A time zone cannot be looked up here. The message says what to do; it ends without a full
    stop.

    Attributes:
        name: the zone's.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the time zone {name[:64]!r} is not known on this system: update the package tzdata, "
            "or install the system's time zone data"
        )
        self.name = name


def zone_of(name: str) -> ZoneInfo:
    """The time zone with an IANA name. Raises UnknownZone."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, TypeError, OSError):
        # No such name, no name at all, or a file that is none.
        raise UnknownZone(str(name)) from None
