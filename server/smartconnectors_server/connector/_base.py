"""The kit that a platform is built on: what it must say of itself, and what it is handed.

A platform never sees money, limits or breakers. It plans (reads the platform, decides what it
would send), sends exactly one planned change when the chain lets it, and can be asked afterwards
what became of a change that it sent. It raises the errors of `smartconnectors_server.errors`, whose
classes say what each means for money.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict

from smartconnectors_server.budget import Finding, SpendReport
from smartconnectors_server.call import Call, Plan, Priced
from smartconnectors_server.clock import Clock
from smartconnectors_server.connector.facts import AccountCampaigns, AccountFacts
from smartconnectors_server.connector.sandbox import Sandbox
from smartconnectors_server.connector.stated import Stated
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.outgoing_proxy import Outgoing

if TYPE_CHECKING:
    from smartconnectors_server.connector.command_line import CommandLine


SANDBOXS_OWN = "the sandbox's own"
"""Shown of a setting in whose place the sandbox has something."""


class Mode(enum.Enum):
    """What is done with a platform's bids."""

    SANDBOX = "sandbox"
    """Sent to the platform's protocol on a local socket, or to an endpoint of one's own."""
    SHADOW = "shadow"
    """The real platform is read, nothing is changed on it."""
    LIVE = "live"
    """The real platform."""


class Traffic(enum.Enum):
    """The kinds of calls that a platform may limit apart from each other."""

    BIDS = "bids"
    """Bids, and every change and read. What limits bids limits the reads below too."""
    READS = "reads"
    """Reads that bids are planned by, where the platform limits them apart from changes."""
    REPORTS = "reports"
    """Reports of what was billed."""
    LOGIN = "login"
    """Fetching a token."""


@dataclass(frozen=True, slots=True)
class QuotaSignal:
    """What a platform said of its own quota. It only ever tightens our limits.

    Attributes:
        retry_after_s: no call before this many seconds have passed; 0: no such order.
        usage_percent: how much of its quota the platform says is used; None: it did not say.
        detail: the platform's own words, for logs.
        binds: the traffic that it is about; empty: reports when a report was answered, logins when
            a login was, else bids. The answer to a report or a login binds reports or logins alone,
            whatever is said here.
        every_account: whether it is about the application or the token, and so about every account
            of the platform, and not about the account that was called alone.
    """

    retry_after_s: float = 0.0
    usage_percent: float | None = None
    detail: str = ""
    binds: tuple[Traffic, ...] = ()
    every_account: bool = False


class Gate(Protocol):
    """The way to the wire for everything that is not the bid itself, of one account."""

    def read(
        self, what: str, traffic: Traffic = Traffic.READS
    ) -> AbstractAsyncContextManager[None]:
        """Around one wire call that is not the bid itself (`what` names it for telemetry): takes
        one call of the platform's quota and one permit of its breaker, and tells the breaker how
        it went. `traffic`: BIDS for a further change, LOGIN for fetching a token.

        Raises RateLimited, or PlatformUnavailable while the breaker is open.
        """
        ...

    def report(self, what: str) -> AbstractAsyncContextManager[None]:
        """As `read`, around one wire call for a report: it takes its quota from the small share
        that reports have, and the breaker hears nothing of it, neither slowness nor failure.
        Raises RateLimited while that share is not free, or PlatformUnavailable while the breaker
        is not closed.
        """
        ...

    def urgent(self) -> AbstractContextManager[None]:
        """Inside of it reads pass an open breaker, may use the reserved share of the quota if the
        caller's role is `operate`, and are made although the platform asks for patience: for what a
        campaign cannot be paused without. For a dry run they are ordinary reads.
        """
        ...

    def tighten(self, signal: QuotaSignal) -> None:
        """Hands on what the platform said of its quota, on success as on failure. Called inside
        `read` or `report` for what was said there.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """A change that was sent, as the ledger remembers it, for `lookup`."""

    request: Message
    priced: Priced
    target: str
    before: str


class Options(BaseModel):
    """Base of a platform's own settings: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Context:
    """What a connector is handed when it is made.

    Attributes:
        mode: where calls go: SANDBOX whenever `endpoint` is set, whatever is done with bids there;
            else SHADOW or LIVE, the real platform.
        options: the platform's own settings.
        endpoint: where to connect instead of the real platform: a local sandbox, or an override.
            None: the real platform.
        timeout_ms: the longest that one wire call may take.
        gate: the way to the wire for reads.
        clock: time.
        report_timeout_ms: the longest that one wire call for a report may take.
        outgoing: through which proxy an address is reached, and whose certificates are believed.
    """

    mode: Mode
    options: Any
    endpoint: str | None
    timeout_ms: int
    gate: Gate
    clock: Clock
    report_timeout_ms: int = 60_000
    outgoing: Outgoing = field(default_factory=Outgoing)


Placed = Message | ConnectorError
"""What became of one bid of a batch."""


class Connector(Protocol):
    """One platform, connected. It also has one method per RPC of its service, called with the
    request and the `Call` (whose `plan` is set for methods that spend) after every check.
    """

    async def connect(self) -> None:
        """Imports what is slow and opens channels; sends nothing that counts as a call."""
        ...

    async def close(self) -> None:
        """Closes channels."""
        ...

    async def plan(self, request: Message, priced: Priced) -> Plan:
        """What the request would change. Reads through the gate; may use a fresh cache.

        Raises:
            InvalidBid, UnknownTarget, CurrencyMismatch, PlatformRejected: it can never be sent.
            NoBid: an auction that must not be bid on.
            RateLimited, PlatformUnavailable: it could not be read.
        """
        ...

    async def moved_by(self, request: Message, plan: Plan) -> frozenset[str] | None:
        """The ids of all campaigns that the plan of this request moves, as the platform says now.
        Asked of plans that may move others. Reads through the gate. None: it cannot be told.

        Raises RateLimited, PlatformUnavailable, PlatformRejected.
        """
        ...

    def defers(self, request: Message) -> bool:
        """Whether a bid can wait for the circuit breaker. False for one that is an answer to an
        auction, which does not wait: such a bid is refused while the breaker is open.
        """
        ...

    def offline_target(self, request: Message) -> str:
        """The target of a request without asking the platform, for a bid that is deferred."""
        ...

    max_batch: int
    """The most bids that `place_many` takes at once; 1: the platform has no batch."""

    def batch_calls(self, count: int) -> int:
        """How many calls of the platform's quota a batch of `count` bids takes."""
        ...

    async def prefetch(self, requests: Sequence[Message]) -> None:
        """Reads what `plan` will need for these requests, in as few calls as the platform allows.
        What cannot be read is left to `plan` to fail on. Raises RateLimited, PlatformUnavailable.
        """
        ...

    async def place_many(self, planned: Sequence[tuple[Message, Call]]) -> Sequence[Placed]:
        """Sends many planned bids as one platform mutate or batch; a result for each, in order: the
        response, or the error that the bid would have raised alone. Called with `max_batch` at
        most, each on a target of its own. Raises only what holds for all of them.
        """
        ...

    async def running(self, campaign_ids: Sequence[str]) -> Mapping[str, bool]:
        """Which of these campaigns run now, of those that could be read; the others are left out.
        As last seen when it cannot be read, and that was a moment ago. Raises RateLimited,
        PlatformUnavailable, PlatformRejected.
        """
        ...

    async def lookup(self, sent: Sent) -> Finding:
        """Looks what became of a change. Reads through the gate, never from a cache.

        NOT_APPLIED only when the marker or the state recorded before the dispatch is unchanged.
        Raises RateLimited, PlatformUnavailable.
        """
        ...

    async def account(self) -> AccountFacts:
        """What the platform says of the account, as it is now. Reads through the gate.

        Raises UnknownTarget, PlatformRejected, RateLimited, PlatformUnavailable.
        """
        ...

    async def campaigns(self) -> AccountCampaigns | None:
        """The account's campaigns as they are now, each with what a bid on it would move, decided
        by what plans a bid. Reads through the gate, a few calls however many there are. None: the
        account cannot be asked for them.

        Raises UnknownTarget, PlatformRejected, RateLimited, PlatformUnavailable.
        """
        ...

    async def reported_spend(self, since: date) -> SpendReport | None:
        """What the account says it billed, by campaign and day, from `since` to its present day.
        Reads through the gate's `report`. None: the account is not set up for reports.

        Raises RateLimited, PlatformUnavailable, PlatformRejected.
        """
        ...


@dataclass(frozen=True, slots=True)
class Defaults:
    """A platform's defaults, before configuration."""

    budget_micros: int
    rate_limit_calls: int
    rate_limit_window_s: float
    fallback_multiplier_milli: int
    """The heuristic's multiplier in thousandths: 750 is 0.75."""


class OneByOne:
    """What a connector inherits whose platform takes one bid at a time, lets every bid wait, and
    says nothing of its account, of its campaigns or of what was billed.
    """

    max_batch = 1

    def batch_calls(self, count: int) -> int:
        """One call for each bid."""
        return count

    async def moved_by(self, request: Message, plan: Plan) -> frozenset[str] | None:
        """No plan moves other campaigns."""
        del request, plan
        return None

    def defers(self, request: Message) -> bool:
        """Every bid may wait for the circuit breaker."""
        del request
        return True

    async def account(self) -> AccountFacts:
        """Nothing is known."""
        return AccountFacts()

    async def campaigns(self) -> AccountCampaigns | None:
        """They are not told."""
        return None

    async def reported_spend(self, since: date) -> SpendReport | None:
        """It is not set up for reports."""
        del since
        return None

    async def prefetch(self, requests: Sequence[Message]) -> None:
        """Each plan reads for itself."""
        del requests

    async def running(self, campaign_ids: Sequence[str]) -> Mapping[str, bool]:
        """Of a platform that cannot say, nothing is known."""
        del campaign_ids
        return {}

    async def place_many(self, planned: Sequence[tuple[Message, Call]]) -> Sequence[Placed]:
        """One after another."""
        place: Any = self
        placed: list[Placed] = []
        for request, call in planned:
            try:
                placed.append(await place.PlaceBid(request, call))
            except ConnectorError as error:
                placed.append(error)
        return placed


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything the server knows of a platform: the one line in the registry points here.

    Attributes:
        name: the budget id, for example `google_ads`.
        title: the name for people.
        service: the descriptor of its gRPC service.
        defaults: what holds without configuration.
        options: the class of its own settings.
        environment: variable name -> (key of `options`), each a string.
        budget_variable: the variable that sets its budget in decimal units.
        endpoint_variable: the variable that overrides its endpoint.
        missing_credentials: what `options` lacks to reach the real platform, as variable names;
            empty when it has everything.
        connector: makes the connector.
        register: adds the connector to a gRPC server (the generated function).
        sandbox: makes its sandbox.
        command_line: its own part of the command line, imported when asked for. None: it has none,
            and `bid` cannot name it.
        account_options: the keys of `options` that identify an ad account, which several accounts
            differ in; empty: it has one account only.
        place_options: the keys of `options` that say whose money a bid commits and where it goes. A
            state directory is bound to their values.
        warnings: what to say on a day of settings that are going to stop working, such as an API
            version whose end is announced.
        effective_options: what counts in the place of `options` that are absent, by key, for
            `check-config`; the mode is the one that calls are made in.
        real_hosts: the host names of the real platform, each with all names below it.
        sandbox_hosts: those below them that are a sandbox of the platform's own.
        real_ways_out: which keys of `options` lead to something real, beside the platform itself,
            when calls go to a sandbox at this endpoint (None: the one in the process).
        stated: what a bid's request says of its setting in money. Pure.
        alone: a request that spends, so that it moves no campaign but its own. Pure.
    """

    name: str
    title: str
    service: ServiceDescriptor
    defaults: Defaults
    options: type[Options]
    environment: Mapping[str, str]
    budget_variable: str
    endpoint_variable: str
    missing_credentials: Callable[[Any], tuple[str, ...]]
    connector: Callable[[Context], Connector]
    register: Callable[[Any, Any], None]
    sandbox: Callable[[], Sandbox]
    command_line: Callable[[], CommandLine] | None = None
    account_options: tuple[str, ...] = ()
    warnings: Callable[[Any, date], tuple[str, ...]] = lambda _options, _today: ()
    place_options: tuple[str, ...] = ()
    effective_options: Callable[[Any, Mode], Mapping[str, Any]] = lambda _options, _mode: {}
    real_hosts: tuple[str, ...] = ()
    sandbox_hosts: tuple[str, ...] = ()
    real_ways_out: Callable[[Any, str | None], tuple[str, ...]] = lambda _options, _endpoint: ()
    stated: Callable[[Any], Stated] = lambda _request: Stated()
    alone: Callable[[Any], Any] = lambda request: request
