"""The state machine and the permits it hands out. For one event loop; not thread-safe."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from smartconnectors_server.clock import NANOS_PER_MILLI, NANOS_PER_SECOND, Clock


class State(enum.Enum):
    """Where a breaker stands."""

    CLOSED = "closed"
    """Calls pass."""
    OPEN = "open"
    """Nothing passes."""
    HALF_OPEN = "half_open"
    """A few probes pass."""


class Verdict(enum.Enum):
    """What a permit says of its call."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    READ = "read"
    """A read succeeded: hides no bad change before it and closes nothing; a slow one is bad."""
    NOTHING = "nothing"


# A call asks for these a dozen times, and an enumeration's members are slow to look up in 3.11.
_CLOSED, _OPEN, _HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN
_SUCCEEDED, _FAILED, _NOTHING = Verdict.SUCCEEDED, Verdict.FAILED, Verdict.NOTHING
_READ = Verdict.READ


class CircuitOpen(Exception):
    """No permit now.

    Attributes:
        retry_after_s: while open, seconds until probes pass; while every probe is under way, the
            seconds after which the oldest one counts as slow.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"the circuit breaker is open for another {retry_after_s:.3f} s")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a platform counts as sick, and as well again.

    Attributes:
        failure_threshold: so many bad calls in a row open the breaker.
        slow_call_ms: a call that takes longer is bad, even when it succeeds.
        open_s: how long nothing passes.
        half_open_probes: how many probes may be under way at once.
        close_after_successes: so many good probes close the breaker.
        permit_max_age_s: a probe that has not come back by then counts as failed.

    Raises:
        ValueError: one of them is not positive.
    """

    failure_threshold: int = 3
    slow_call_ms: int = 500
    open_s: float = 30.0
    half_open_probes: int = 1
    close_after_successes: int = 2
    permit_max_age_s: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")


class Permit:
    """The right to make one call, and the duty to say how it went.

    Exactly one of `succeed`, `succeed_as_read`, `fail` and `release` counts: the first. Later ones
    do nothing, so a `finally: permit.release()` may stand behind any of the others. What a permit
    of an earlier state says does nothing either.

    Attributes:
        generation: how often the breaker had changed its state when it was handed out.
        acquired_ns: when it was handed out, monotonic.
        started_ns: from when on its call is timed, monotonic.
    """

    __slots__ = ("_now_ns", "_tell", "acquired_ns", "generation", "started_ns")

    def __init__(
        self,
        generation: int,
        acquired_ns: int,
        now_ns: Callable[[], int],
        tell: Callable[[Permit, Verdict], None],
    ) -> None:
        self.generation = generation
        self.acquired_ns = acquired_ns
        self.started_ns = acquired_ns
        self._now_ns = now_ns
        self._tell: Callable[[Permit, Verdict], None] | None = tell

    def restart(self) -> None:
        """Measures the call's duration from now on: to be said right before it goes out."""
        self.started_ns = self._now_ns()

    def succeed(self) -> None:
        """The platform answered; a slow answer still counts as bad."""
        if (tell := self._tell) is not None:
            self._tell = None
            tell(self, _SUCCEEDED)

    def succeed_as_read(self) -> None:
        """The platform answered a read: bad when it was slow, else it says nothing of changes."""
        if (tell := self._tell) is not None:
            self._tell = None
            tell(self, _READ)

    def fail(self) -> None:
        """The platform is at fault."""
        if (tell := self._tell) is not None:
            self._tell = None
            tell(self, _FAILED)

    def release(self) -> None:
        """Says nothing about the platform: the call was not made, or it was not its fault."""
        if (tell := self._tell) is not None:
            self._tell = None
            tell(self, _NOTHING)


class CircuitBreaker:
    """The breaker of one platform.

    Time alone moves it from OPEN to HALF_OPEN and from HALF_OPEN back to OPEN (a probe that never
    came back). It notices when it is next asked anything, and then acts as of the instant at which
    it was due.
    """

    def __init__(
        self,
        settings: BreakerSettings,
        clock: Clock,
        on_change: Callable[[State, State], None] | None = None,
    ) -> None:
        """`on_change(old, new)` is called after each change and must not raise."""
        self._now_ns = clock.monotonic_ns
        self._on_change = on_change
        self._end = self._hear  # bound once: a permit is made for every call
        self.follow(settings)
        self._state = _CLOSED
        self._generation = 0
        self._bad_in_a_row = 0
        self._good_probes = 0
        self._probes: dict[Permit, None] = {}  # in the order they were handed out
        self._opened_at_ns = 0
        self._open_count = 0
        self.has_answered = False
        """True once a call of the platform, a change or a read, was good."""

    def follow(self, settings: BreakerSettings) -> None:
        """Goes by these settings from now on. Stays where it stands: what it has seen so far is
        measured by them when it next hears or is asked anything.
        """
        self._settings = settings
        self._slow_ns = settings.slow_call_ms * NANOS_PER_MILLI
        self._open_ns = round(settings.open_s * NANOS_PER_SECOND)
        self._max_age_ns = round(settings.permit_max_age_s * NANOS_PER_SECOND)

    @property
    def state(self) -> State:
        """Where it stands now."""
        self._catch_up(self._now_ns())
        return self._state

    @property
    def open_count(self) -> int:
        """How often it has opened."""
        self._catch_up(self._now_ns())
        return self._open_count

    @property
    def opened_at_ns(self) -> int | None:
        """When it last opened, in monotonic nanoseconds; None if it never did."""
        self._catch_up(self._now_ns())
        return self._opened_at_ns if self._open_count else None

    @property
    def bad_in_a_row(self) -> int:
        """How many bad calls in a row it has seen while closed."""
        return self._bad_in_a_row

    def would_admit(self) -> bool:
        """Whether `acquire` would give a permit now."""
        return self.retry_after_s() == 0.0

    def retry_after_s(self) -> float:
        """As `CircuitOpen.retry_after_s`; 0 when `acquire` would give a permit now."""
        if self._state is _CLOSED:
            return 0.0
        now_ns = self._now_ns()
        self._catch_up(now_ns)
        return self._wait_ns(now_ns) / NANOS_PER_SECOND

    def acquire(self) -> Permit:
        """A permit for one call. Raises CircuitOpen when there is none now."""
        now_ns = self._now_ns()
        if self._state is _CLOSED:
            return Permit(self._generation, now_ns, self._now_ns, self._end)
        self._catch_up(now_ns)
        wait_ns = self._wait_ns(now_ns)
        if wait_ns:
            raise CircuitOpen(wait_ns / NANOS_PER_SECOND)
        probe = Permit(self._generation, now_ns, self._now_ns, self._end)
        self._probes[probe] = None
        return probe

    def _wait_ns(self, now_ns: int) -> int:
        if self._state is _OPEN:
            return self._opened_at_ns + self._open_ns - now_ns
        if len(self._probes) < self._settings.half_open_probes:
            return 0
        # The oldest probe is either back by then, or slow and about to open the breaker again.
        return max(self._slow_ns - (now_ns - self._oldest_probe().started_ns), NANOS_PER_MILLI)

    def _oldest_probe(self) -> Permit:
        return next(iter(self._probes))

    def _catch_up(self, now_ns: int) -> None:
        """Makes the changes that time alone has made due by `now_ns`."""
        while self._state is not _CLOSED:
            if self._state is _OPEN:
                if now_ns < self._opened_at_ns + self._open_ns:
                    return
                self._change(_HALF_OPEN)
            else:
                if not self._probes:
                    return
                overdue_ns = self._oldest_probe().acquired_ns + self._max_age_ns
                if now_ns < overdue_ns:
                    return
                self._open(overdue_ns)

    def _hear(self, permit: Permit, verdict: Verdict) -> None:
        """Takes what a permit says, once."""
        now_ns = self._now_ns()
        if self._state is not _CLOSED:
            self._catch_up(now_ns)
            self._probes.pop(permit, None)
        if permit.generation != self._generation or verdict is _NOTHING:
            return
        if verdict is _FAILED or now_ns - permit.started_ns > self._slow_ns:
            self._bad_in_a_row += 1
            is_closed = self._state is _CLOSED
            if not is_closed or self._bad_in_a_row >= self._settings.failure_threshold:
                self._open(now_ns)
            return
        self.has_answered = True
        if verdict is _READ:
            return
        if self._state is _CLOSED:
            self._bad_in_a_row = 0
        else:
            self._good_probes += 1
            if self._good_probes >= self._settings.close_after_successes:
                self._change(_CLOSED)

    def _open(self, at_ns: int) -> None:
        self._opened_at_ns = at_ns
        self._open_count += 1
        self._change(_OPEN)

    def _change(self, new: State) -> None:
        old, self._state = self._state, new
        self._generation += 1
        self._bad_in_a_row = 0
        self._good_probes = 0
        self._probes.clear()
        if self._on_change is not None:
            self._on_change(old, new)
