"""What the sandbox answers, and what it writes down: no sockets, no faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smartconnectors_server.connector.sandbox import Billed, Journal
from smartconnectors_server.platforms.trade_desk import amounts
from smartconnectors_server.platforms.trade_desk.sandbox import exchange, my_reports
from smartconnectors_server.platforms.trade_desk.sandbox.changes import facts_ignored
from smartconnectors_server.platforms.trade_desk.sandbox.refusals import Refused
from smartconnectors_server.platforms.trade_desk.sandbox.rest import Rest, Route, parsed, route_of
from smartconnectors_server.platforms.trade_desk.sandbox_access import EXCHANGE_PATH

_HEADERS = ("ttd-auth", "ttd-strict-mode", "content-type", "x-openrtb-version")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived. Header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_bid(self) -> bool:
        """For the exchange."""
        return self.path == EXCHANGE_PATH

    def route(self) -> Route:
        """Where it goes. Raises Refused."""
        if self.is_bid and self.method == "POST":
            return Route(exchange.METHOD, changes=True)
        return route_of(self.method, self.path)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Answers:
    """Does what is asked, and writes it into the journal."""

    def __init__(self, journal: Journal, billed: Billed) -> None:
        self._journal = journal
        self._billed = billed
        self.rest = Rest()

    def answer(self, asked: Asked) -> Reply:
        """Does it, and says what came of it."""
        try:
            route = asked.route()
        except Refused as refused:
            return self._refuse(Route(f"{asked.method} {asked.path}"), refused, {})
        facts: dict[str, Any] = {"headers": [name for name in _HEADERS if name in asked.headers]}
        applied = True
        try:
            body = parsed(asked.body)
            if asked.is_bid:
                facts.update(exchange.check(asked.headers, body))
                reply = Reply(204)
            elif route.kind == my_reports.KIND:
                reply = self._report(route, asked, body)
            else:
                facts.update(self.rest.facts_of(route, body))
                token = asked.headers.get("ttd-auth", "")
                strict = asked.headers.get("ttd-strict-mode", "").lower() == "true"
                document, ignored, applied = self.rest.answer(route, token, body, strict=strict)
                facts = _without(facts, ignored)
                reply = _json(200, document)
        except Refused as refused:
            return self._refuse(route, refused, facts)
        self._journal.append(
            route.name, changes=route.changes, applied=applied, facts=_plain(facts)
        )
        return reply

    def refuse(self, asked: Asked, refused: Refused, headers: Mapping[str, str]) -> Reply:
        """Says no without looking, and writes that into the journal."""
        try:
            route = asked.route()
        except Refused:
            route = Route(f"{asked.method} {asked.path}")
        reply = self._refuse(route, refused, {})
        return Reply(reply.status, reply.body, headers)

    def _report(self, route: Route, asked: Asked, body: Any) -> Reply:
        if route.entity_id:  # fetched from a store, which knows no tokens
            text = my_reports.csv_of(self.rest.campaigns_of(route.entity_id), self._billed)
            return Reply(200, text.encode(), {"Content-Type": "text/csv"})
        self.rest.check_token(asked.headers.get("ttd-auth", ""))
        return _json(200, my_reports.executions(body, asked.headers.get("host", "")))

    def _refuse(self, route: Route, refused: Refused, facts: Mapping[str, Any]) -> Reply:
        said = {**facts, "status": refused.status, "errors": list(refused.problems)}
        self._journal.append(route.name, changes=route.changes, applied=False, facts=_plain(said))
        return _json(refused.status, refused.body())


def _without(facts: dict[str, Any], ignored: list[str]) -> dict[str, Any]:
    """The facts without what was ignored: a journal that had them would count what is not set."""
    if not ignored:
        return facts
    untrue = facts_ignored(ignored)
    return {
        **{name: value for name, value in facts.items() if name not in untrue},
        "ignored": ignored,
    }


def _json(status: int, document: Any) -> Reply:
    return Reply(status, amounts.write(document).encode(), {"Content-Type": "application/json"})


def _plain(value: Any) -> Any:
    """As anybody's JSON writer takes it: a Decimal becomes a float."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case bool() | int() | str() | None:
            return value
        case _:
            return float(value)
