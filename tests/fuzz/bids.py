"""Requests: any bytes and any message for every platform, through the whole chain, in process.

A typed refusal that names what is wrong, or an answer; never our own fault, never money that is
still held after a refusal, never a line in the log or a word to the caller with a secret in it.
The platforms are their sandboxes, and one of their answers may be spoilt.
"""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from hypothesis import strategies as st
from tests.fuzz.messages import CHANGES, METHODS, Change, base_of, change, spec_of
from tests.fuzz.middle import POISONS, Poison, patience
from tests.fuzz.mutations import RAW_EDITS, RawEdit, raw_edited
from tests.fuzz.promises import MOST_TRAILER_BYTES, check_no_secret, logs
from tests.fuzz.stage import Stage

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.app import load_settings
from smartconnectors_server.budget import Verb
from smartconnectors_server.call import Call, MethodSpec
from smartconnectors_server.core import Core
from smartconnectors_server.interceptors import compose
from smartconnectors_server.interceptors.status import STATUS_DETAILS_KEY, StatusError
from smartconnectors_server.ledger import BudgetState
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.telemetry import Telemetry

DAY_S = 25 * 3600
LIMIT = "1000000000"
PLANTED = "planted-secret-hunter2"
OPTIONS = {
    "google_ads": {"api_key": PLANTED, "client_secret": PLANTED, "refresh_token": PLANTED},
    "meta": {"access_token": PLANTED, "app_secret": PLANTED},
    "trade_desk": {"api_token": PLANTED, "password": PLANTED, "partner_id": "partner-1"},
}
REFUSED = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.ABORTED,
        StatusCode.ALREADY_EXISTS,
        StatusCode.NOT_FOUND,
        StatusCode.UNAVAILABLE,
    }
)


class Request(Protocol):
    """What `House` sends."""

    @property
    def platform(self) -> str: ...

    @property
    def method(self) -> str: ...

    @property
    def poison(self) -> Poison | None: ...

    def content(self, request_id: str) -> bytes:
        """The bytes of the request."""
        ...


@dataclass(frozen=True)
class Case:
    """A request near one that is taken, its bytes spoilt perhaps, and an answer spoilt perhaps."""

    platform: str
    method: str
    changes: tuple[Change, ...] = ()
    auction: bool = False
    raw: RawEdit | None = None
    poison: Poison | None = None

    def content(self, request_id: str) -> bytes:
        spec = spec_of(self.platform, self.method)
        request = base_of(spec, request_id, auction=self.auction)
        for one in self.changes:
            change(request, one)
        return raw_edited(request.SerializeToString(), self.raw)


CASES = st.builds(
    Case,
    platform=st.sampled_from(sorted(PLATFORMS)),
    method=st.sampled_from(METHODS),
    changes=st.lists(CHANGES, max_size=3).map(tuple),
    auction=st.booleans(),
    raw=st.sampled_from([False] * 4 + [True]).flatmap(lambda yes: RAW_EDITS if yes else st.none()),
    poison=st.none() | POISONS,
)


class _Listening(Telemetry):
    """Keeps what would be logged of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    def event(self, name: str, **values: Any) -> None:
        self.events.append(f"{name} {values}")


class House:
    """An application whose chain is called directly, in front of every platform's sandbox."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._stages: dict[str, Stage] = {}
        self.core: Core
        self._clock: Any = None
        self._telemetry = _Listening()
        self._sent = 0

    async def open(self) -> None:
        document: dict[str, Any] = {
            "server": {"state_dir": self._directory},
            "platforms": {},
        }
        for name in PLATFORMS:
            stage = self._stages[name] = Stage(name)
            await stage.open()
            document["platforms"][name] = {
                "endpoint": stage.endpoint,
                "budget": {"limit": LIMIT},
                "rate_limit": {"calls": 10_000_000, "window_s": 1},
                "circuit_breaker": {"failure_threshold": 1000, "slow_call_ms": 600_000},
                "options": OPTIONS[name],
            }
        self._clock = next(iter(self._stages.values())).clock
        settings = load_settings(None, {}, document)
        core = self.core = Core(settings, PLATFORMS, self._clock, self._telemetry)
        await core.ledger.open(core.budgets)
        core.customers.open()
        for runtime in core.runtimes.values():
            await runtime.limiter.open()
        core.connections.begin()
        for runtime in core.runtimes.values():
            await runtime.connector()

    async def close(self) -> None:
        await self.core.connections.close()
        await self.core.ledger.close()
        for stage in self._stages.values():
            await stage.close()

    async def send(self, case: Request) -> Any:
        """Sends the request and looks at what is held; what was said."""
        stage = self._stages[case.platform]
        await stage.begin()
        self._clock.ahead_ns += DAY_S * 10**9
        if case.poison is not None:
            poison = dataclasses.replace(case.poison, phase="call")
            stage.middle.begin("call", poison)
        else:
            stage.middle.begin("call", None)
        self._sent += 1
        self._telemetry.events.clear()
        spec = spec_of(case.platform, case.method)
        with logs() as kept:
            async with patience():
                said = await self._said(case, spec)
        self._check_money(case, spec, said)
        secrets = {PLANTED, *(one.secret for one in stage.middle.exchanges)}
        told = said.message if isinstance(said, StatusError) else str(said)
        for text in (told, *kept.lines, *self._telemetry.events):
            check_no_secret(text, secrets)
        assert not kept.errors, kept.errors
        assert self.core.ledger.available
        return said

    async def _said(self, case: Request, spec: MethodSpec) -> Any:
        """The response, or the status that the call ends with."""
        content = case.content(f"bid-{self._sent}")
        handler = getattr(self.core.servicers[case.platform], spec.name)
        chain = compose(self.core.chain, spec, handler)
        call = Call(spec=spec, started_ns=self._clock.monotonic_ns())
        try:
            raw: Any = await chain(content, call)
        except StatusError as error:
            check_status(error)
            return error
        return spec.response_class.FromString(raw)

    def _check_money(self, case: Request, spec: MethodSpec, said: Any) -> None:
        after = self._money(case.platform)
        assert after.held_micros == 0, "it is still held"
        assert after.deferred_micros == 0
        spent = after.limits[0].committed_micros
        unknown = spec.name == "PlaceBids" or (
            isinstance(said, StatusError) and said.code is StatusCode.UNKNOWN
        )
        assert unknown or after.in_doubt_micros == 0, "in doubt, and the caller was not told"
        if isinstance(said, StatusError) or not spec.spends:
            assert spent == 0, f"{spent} micros are committed by a refusal"
        applied = [one for one in self._stages[case.platform].middle.exchanges if one.applied]
        if isinstance(said, StatusError) and said.code in REFUSED and case.poison is None:
            assert not applied, "it was refused, and the platform has it"
        result = getattr(said, "result", None)
        if spec.name == "PlaceBid" and result is not None:
            if result.status == bid_pb2.BID_STATUS_PLACED:
                assert spent in (0, result.bid_micros)
            else:
                assert spent == 0

    async def end_doubts(self) -> None:
        """Ends what is in doubt, as an operator would, so that no later case meets it."""
        for hold in self.core.keeper.open_holds():
            await self.core.keeper.resolve(hold, Verb.RELEASE, note="fuzzed")

    def _money(self, platform: str) -> BudgetState:
        return self.core.keeper.state(platform)


def check_status(error: StatusError) -> None:
    """It is no fault of ours, it fits, and it names what is wrong."""
    assert error.code is not StatusCode.INTERNAL, error.message
    error.message.encode()
    trailers = dict(error.trailers)
    assert sum(len(name) + len(value) for name, value in error.trailers) <= MOST_TRAILER_BYTES
    raw = trailers[STATUS_DETAILS_KEY]
    assert isinstance(raw, bytes)
    status = status_pb2.Status.FromString(raw)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    found = {detail.type_url.rpartition(".")[2]: detail for detail in status.details}
    assert found["ErrorInfo"].Unpack(info)
    assert info.reason
    if info.reason == "INVALID_BID":
        assert found["BadRequest"].Unpack(bad), "which field?"
        assert all(one.field and one.description for one in bad.field_violations)


@contextmanager
def open_house() -> Iterator[Callable[[Request], Any]]:
    """`House.send`, with everything that it needs open."""
    with tempfile.TemporaryDirectory() as directory, asyncio.Runner() as runner:
        house = House(directory)
        runner.run(house.open())

        def send(request: Request) -> Any:
            try:
                return runner.run(house.send(request))
            finally:
                runner.run(house.end_doubts())

        try:
            yield send
        finally:
            runner.run(house.close())


@contextmanager
def open_bids() -> Iterator[Callable[[Case], None]]:
    """`fuzz_bids`, with everything that it needs open."""
    with open_house() as send:

        def fuzz_bids(case: Case) -> None:
            send(case)

        yield fuzz_bids
