"""Who calls, and may they? Asked twice: at the door, before a byte of the request is parsed, for
the role; and in the chain, for each request and each bid of a batch or stream, for what it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from google.protobuf.message import Message

from smartconnectors_server.access import Caller, Credentials, Gatekeeper, Refusals, Role
from smartconnectors_server.access_settings import certificate_name
from smartconnectors_server.budget.refusal import without_figures
from smartconnectors_server.call import Call, Kind, MethodSpec
from smartconnectors_server.errors import (
    BudgetExceeded,
    ConnectorError,
    PermissionDenied,
    Unauthenticated,
)
from smartconnectors_server.interceptors._base import Engines, Next
from smartconnectors_server.interceptors.gate import reading_for

ANSWERS_WHAT_MAY_BE_SEEN = frozenset(
    {
        *("ListBudgetStats", "WatchBudgetStats", "ListHolds", "ResolveHold", "ListLedgerEntries"),
        *("GetBid", "GetConnectorStatus", "ListReportedSpend"),
    }
)
"""Methods that leave out by themselves what their caller may not see. Of any other method, a
request that names nothing is about everything, so that a new one is closed to who is restricted.
"""

TELLS_OF_ALL_CAMPAIGNS = frozenset({"GetShadowReport"})
"""Methods that answer with sums over all campaigns of the platform that a request names."""

_ALTERNATIVE_NAMES = (("peer_dns", "dns"), ("peer_uri", "uri"), ("peer_email", "email"))
"""What grpc has of a certificate's subject alternative names -> the kind that a grant names."""


class Context(Protocol):
    """What is asked of grpc's own context."""

    def invocation_metadata(self) -> Any: ...
    def auth_context(self) -> Any: ...


def shown_by(context: Context) -> Credentials:
    """What a caller shows. Raises Unauthenticated when it shows two tokens."""
    found = ""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            if found:
                raise Unauthenticated("more than one `authorization` metadata; send one")
            found = value
    if found:
        return Credentials(found)
    certificate = context.auth_context()
    if certificate.get("transport_security_type") != [b"ssl"]:
        return Credentials()
    return Credentials(names=_names_in(certificate))


def _names_in(certificate: Mapping[str, Sequence[bytes]]) -> tuple[str, ...]:
    """The names in a certificate, each with its kind. The common name counts only where there is no
    alternative one: many authorities check those alone.
    """
    if not certificate.get("x509_subject_alternative_name"):
        return _named_as("cn", certificate.get("x509_common_name", ()))
    return tuple(
        name
        for key, kind in _ALTERNATIVE_NAMES
        for name in _named_as(kind, certificate.get(key, ()))
    )


def _named_as(kind: str, names: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(certificate_name(kind, name.decode(errors="replace")) for name in names)


class Auth:
    """Refuses who is not known, and whatever a caller may not do."""

    name: ClassVar[str] = "auth"

    def __init__(self, engines: Engines) -> None:
        """Raises StartupError when the files that say who is who cannot be used."""
        self._gatekeeper = Gatekeeper(engines.settings, engines.clock)
        self._refusals = Refusals(engines.telemetry, engines.clock)
        self._platforms = {
            runtime.platform.service.full_name: name for name, runtime in engines.runtimes.items()
        }

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        del spec
        return True

    @property
    def gatekeeper(self) -> Gatekeeper:
        """Who knows callers, for those who do not come by gRPC."""
        return self._gatekeeper

    @property
    def refusals(self) -> Refusals:
        """Where refused callers are logged and counted, by HTTP too."""
        return self._refusals

    @property
    def open(self) -> bool:
        """True without access control."""
        return self._gatekeeper.open

    def admit(self, call: Call, context: Context) -> None:
        """At the door: says in the call who it is. Raises Unauthenticated or PermissionDenied."""
        if self._gatekeeper.open:
            return
        streams = call.spec.client_streaming or call.spec.server_streaming
        try:
            shown = shown_by(context)
            self._enter(call, shown)
        except ConnectorError as error:
            self._tell(call.spec.path, call.actor, error)
            raise
        call.shown = shown if streams else None

    def again(self, call: Call) -> None:
        """Later in a stream: who it was may have been revoked or restricted since. A watch was
        begun with what its caller might see then, so it ends when that changes. Raises as `admit`.
        """
        if call.shown is None:
            return
        before = call.caller.scope
        try:
            self._enter(call, call.shown)
            if call.spec.server_streaming and call.caller.scope != before:
                raise PermissionDenied(
                    f"what {call.actor} may see has changed since this stream began",
                    metadata={"needs": "a new stream"},
                )
        except ConnectorError as error:
            self._tell(call.spec.path, call.actor, error)
            raise

    def knows(self, context: Context) -> bool:
        """True when a caller shows something by which it is known; always without access
        control.
        """
        if self._gatekeeper.open:
            return True
        try:
            self._gatekeeper.identify(shown_by(context))
        except ConnectorError:
            return False
        return True

    def admit_to_other(self, path: str, context: Context, role: Role) -> Caller:
        """The same for a method that no guard describes: it takes a known caller with `role`.
        Returns the caller.
        """
        name = ""
        try:
            caller = self._gatekeeper.identify(shown_by(context))
            name = caller.name
            _check_role(caller, role)
        except ConnectorError as error:
            self._tell(path, name, error)
            raise
        return caller

    async def intercept(self, call_next: Next, request: Message, call: Call) -> Message:
        self.again(call)
        self.check(request, call)
        try:
            with reading_for(call):
                response: Message = await call_next(request, call)
        except BudgetExceeded as error:
            if call.caller.scope.sees_budget(error.metadata.get("budget_id", "")):
                raise
            raise without_figures(error) from None
        return response

    def check(self, request: Any, call: Call) -> None:
        """Raises PermissionDenied when a request names what its caller is not let at."""
        if call.caller.scope.unrestricted:
            return
        for missing in self._missing(request, call):
            denied = PermissionDenied(
                f"{call.actor} may not {call.spec.name} here: it is restricted, and not let at "
                f"{missing}",
                metadata={"needs": missing},
            )
            self._tell(call.spec.path, call.actor, denied)
            raise denied

    def _enter(self, call: Call, shown: Credentials) -> None:
        call.caller = self._gatekeeper.identify(shown)
        _check_role(call.caller, Role(call.spec.role))

    def _missing(self, request: Any, call: Call) -> Iterator[str]:
        """What a request names and its caller is not let at."""
        spec, scope = call.spec, call.caller.scope
        platform = self._platforms.get(spec.path.split("/")[1])
        if platform is None:
            yield from _missing_in_service(request, call)
            return
        if not scope.has_platform(platform):
            yield platform
            return
        common = getattr(request, "bid" if spec.kind is Kind.BID else "update", request)
        campaigns = _named(common, "campaign_id")
        for campaign_id in campaigns:
            if not scope.has_campaign(platform, campaign_id):
                yield f"{platform}/campaigns/{campaign_id}"
        if not campaigns and not scope.has_all_of(platform) and not _looks_itself(spec):
            yield f"all campaigns of {platform}"

    def _tell(self, path: str, actor: str, error: ConnectorError) -> None:
        self._refusals.tell("grpc", path, actor, error)


def _check_role(caller: Caller, needed: Role) -> None:
    if caller.role >= needed:
        return
    has = f"has `{caller.role.word}`" if caller.role else "has no role"
    raise PermissionDenied(
        f"this needs the role `{needed.word}`, and {caller.name} {has}",
        metadata={"needs": needed.word},
    )


def _missing_in_service(request: Any, call: Call) -> Iterator[str]:
    """The same for a service of no platform: by the fields that name budgets, platforms and
    campaigns.
    """
    scope = call.caller.scope
    changes = call.spec.role > Role.READ
    of_all = changes or call.spec.name in TELLS_OF_ALL_CAMPAIGNS
    budgets = _named(request, "budget_id")
    for budget_id in budgets:
        if not (scope.changes_budget(budget_id) if changes else scope.sees_budget(budget_id)):
            yield budget_id
    platforms = _named(request, "platform")
    campaigns = _named(request, "campaign_id")
    for platform in platforms:
        if not campaigns and not (
            scope.has_all_of(platform) if of_all else scope.has_platform(platform)
        ):
            yield platform
        for campaign_id in campaigns:
            if not scope.has_campaign(platform, campaign_id):
                yield f"{platform}/campaigns/{campaign_id}"
    if not budgets and not platforms and not _looks_itself(call.spec):
        yield "everything"


def _looks_itself(spec: MethodSpec) -> bool:
    return spec.kind is Kind.MANY or spec.name in ANSWERS_WHAT_MAY_BE_SEEN


def _named(request: Any, field: str) -> list[str]:
    """What a request says in `field` or `fields`; empty names left out."""
    plural = getattr(request, f"{field}s", ())
    return [name for name in (getattr(request, field, ""), *plural) if name]
