"""What a ledger raises. Nothing was changed when it does."""

from __future__ import annotations

from smartconnectors_server.ledger.records import BudgetState, Hold, Pause


class LedgerError(Exception):
    """Base of what a ledger raises."""


class Refused(LedgerError):
    """The amount does not fit.

    Attributes:
        state: the tightest budget that refused, as it was at that instant.
        limit_index: which of its limits.
        amount_micros: what was asked.
        fits_at_ns: the earliest ledger time at which this amount fits every scope if open holds
            stay open and nobody else bids; None when that never happens.
        blocked_by: "limit" (can never fit), "holds" (only open holds are in the way), or "".
    """

    def __init__(
        self,
        state: BudgetState,
        limit_index: int,
        amount_micros: int,
        fits_at_ns: int | None,
        blocked_by: str,
    ) -> None:
        super().__init__(f"{state.budget_id}: {amount_micros} micros do not fit")
        self.state = state
        self.limit_index = limit_index
        self.amount_micros = amount_micros
        self.fits_at_ns = fits_at_ns
        self.blocked_by = blocked_by


class Paused(LedgerError):
    """A scope that the bid is in is paused; `pause` is why and since when."""

    def __init__(self, pause: Pause) -> None:
        super().__init__(f"{pause.scope} is paused")
        self.pause = pause


class DuplicateRequest(LedgerError):
    """The request id is already known; `hold` is what it belongs to."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(f"request {hold.request_id} is known")
        self.hold = hold


class TargetBlocked(LedgerError):
    """An in-doubt hold is on the target; `hold` is that one."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(f"{hold.target} is in doubt")
        self.hold = hold


class HoldNotOpen(LedgerError):
    """The verb does not apply to a hold in this state."""

    def __init__(self, hold: Hold | None, hold_id: str) -> None:
        super().__init__(f"hold {hold_id} is {hold.state.value if hold else 'not known'}")
        self.hold = hold


class Unavailable(LedgerError):
    """The store cannot be read or written; nothing was admitted."""


class Damaged(LedgerError):
    """Committed data is missing from the store; the message says what and what to do."""


class WrongVersion(LedgerError):
    """The store was written by a version of this program that this one cannot read."""


class StateDirectoryLocked(LedgerError):
    """Another server has the state directory; the message names it."""


class TakenOver(LedgerError):
    """Something else writes to the files that this process has open, or has put others in their
    place: nothing may be written any more until the server is started again.
    """


class BoundElsewhere(LedgerError):
    """The state directory belongs to another mode, endpoint or account; the message says which and
    what to do.
    """
