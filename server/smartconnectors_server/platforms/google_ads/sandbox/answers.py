"""What the sandbox answers to a request, and what that changes: no sockets, no faults."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from smartconnectors_server.connector.sandbox import Billed, Journal
from smartconnectors_server.platforms.google_ads.library import Library
from smartconnectors_server.platforms.google_ads.sandbox import facts as wire_facts
from smartconnectors_server.platforms.google_ads.sandbox import gaql, mutate
from smartconnectors_server.platforms.google_ads.sandbox.accounts import (
    FORBIDDEN_CUSTOMER,
    Account,
    open_account,
)
from smartconnectors_server.platforms.google_ads.sandbox.failures import (
    Problem,
    Refused,
    partial_failure_error,
    refuse,
    trailing_metadata,
)
from smartconnectors_server.platforms.google_ads.sandbox.routes import MUTATE
from smartconnectors_server.platforms.google_ads.sandbox.rules import mutable_fields

_MUTABLE_RESOURCE = 2

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    method: str
    payload: bytes
    metadata: Metadata
    library: Library
    request_id: str

    @property
    def authorization(self) -> str:
        """The header, or empty."""
        return next((str(value) for key, value in self.metadata if key == "authorization"), "")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The status of a request that was refused."""

    status: grpc.StatusCode
    details: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The messages to send, serialized, or a refusal."""

    payloads: tuple[bytes, ...]
    trailing: Metadata
    refused: Refusal | None = None


class Answers:
    """The accounts and the rules by which they change."""

    def __init__(
        self,
        journal: Journal,
        knows_token: Callable[[str], bool],
        extra_campaigns: int,
        billed: Billed,
    ) -> None:
        self._journal = journal
        self._billed = billed
        self._extra_campaigns = extra_campaigns
        self._knows_token = knows_token
        self._accounts: dict[str, Account] = {}
        self.ignored: set[str] = set()
        """As in Account, of every account."""
        self._request_numbers = itertools.count(1)

    def next_request_id(self) -> str:
        """A fresh id, in Google's form."""
        return f"sandbox-{next(self._request_numbers):012d}"

    def reset(self) -> None:
        """Every account as it was at first."""
        self._accounts.clear()
        self.ignored.clear()

    def remove_campaign(self, campaign_id: str) -> None:
        """Removes it from every account that was asked for, and so that has it."""
        found = False
        for account in self._accounts.values():
            campaign = account.entities.get(account.name("campaigns", campaign_id))
            if campaign is not None:
                found = True
                account.entities[campaign.resource_name] = campaign.changed({"status": "REMOVED"})
        if not found:
            raise KeyError(campaign_id)

    def answer(self, asked: Asked) -> Answer:
        """Does what is asked, writes it into the journal, and says what came of it."""
        changes = asked.method == MUTATE
        library = asked.library
        facts: dict[str, Any] = {
            "headers": wire_facts.header_facts(asked.metadata),
            **wire_facts.trace_facts(asked.metadata),
        }
        try:
            self._authenticate(asked)
            if changes:
                request = _parsed(library.mutate_request, asked.payload)
                facts.update(wire_facts.mutate_facts(request))
                applied, message = self._mutate(asked, request, facts)
                payloads: tuple[bytes, ...] = (message,)
            else:
                request = _parsed(library.search_request, asked.payload)
                facts.update(customer_id=request.customer_id, query=request.query)
                applied, payloads = True, (self._search(asked, request),)
        except Refused as refused:
            return self.refusal(asked, refused, facts)
        self._journal.append(asked.method, changes=changes, applied=applied, facts=facts)
        return Answer(payloads, (("request-id", asked.request_id),))

    def refusal(
        self, asked: Asked, refused: Refused, facts: Mapping[str, Any] | None = None
    ) -> Answer:
        """Says no, changes nothing, and writes that into the journal."""
        if facts is None:
            facts = {"headers": wire_facts.header_facts(asked.metadata)}
        self._journal.append(
            asked.method,
            changes=asked.method == MUTATE,
            applied=False,
            facts={**facts, "errors": refused.codes},
        )
        trailing = trailing_metadata(asked.library, refused, asked.request_id)
        return Answer((), trailing, Refusal(refused.status, str(refused)))

    def _authenticate(self, asked: Asked) -> None:
        if not self._knows_token(asked.authorization):
            raise Refused(
                Problem("authentication_error.OAUTH_TOKEN_INVALID", "The OAuth token is invalid."),
                status=grpc.StatusCode.UNAUTHENTICATED,
            )

    def _account(self, customer_id: str) -> Account:
        if len(customer_id) != 10 or not customer_id.isdigit():
            raise refuse("request_error.INVALID_CUSTOMER_ID", "The customer id is invalid.")
        if customer_id == FORBIDDEN_CUSTOMER:
            raise Refused(
                Problem(
                    "authorization_error.USER_PERMISSION_DENIED",
                    "The user does not have permission to access the customer.",
                ),
                status=grpc.StatusCode.PERMISSION_DENIED,
            )
        if customer_id not in self._accounts:
            self._accounts[customer_id] = open_account(
                customer_id, self._extra_campaigns, self.ignored
            )
        return self._accounts[customer_id]

    def _mutate(self, asked: Asked, request: Any, facts: dict[str, Any]) -> tuple[bool, bytes]:
        """(whether anything was applied, the serialized response)."""
        staged = mutate.stage(self._account(request.customer_id), request)
        response = asked.library.mutate_response()
        if staged.problems:
            response.partial_failure_error.CopyFrom(
                partial_failure_error(asked.library, staged.problems, asked.request_id)
            )
        if request.partial_failure:
            wire_facts.add_outcomes(facts, staged, validate_only=request.validate_only)
        if request.validate_only:
            return False, bytes(response.SerializeToString())
        staged.commit()
        for made in staged.results:
            result = response.mutate_operation_responses.add()
            if made is not None:
                kind, resource_name = made
                told = getattr(result, f"{kind}_result")
                told.resource_name = resource_name
                entity = staged.account.entities.get(resource_name)
                if request.response_content_type == _MUTABLE_RESOURCE and entity is not None:
                    shown = gaql.nested(mutable_fields(entity))
                    json_format.ParseDict(shown, getattr(told, kind))
        return any(staged.results), bytes(response.SerializeToString())

    def _search(self, asked: Asked, request: Any) -> bytes:
        query = gaql.parse(request.query)
        rows = list(gaql.run(query, self._account(request.customer_id), self._billed))
        document = {"results": rows, "requestId": asked.request_id}
        response = json_format.ParseDict(document, asked.library.search_response())
        return bytes(response.SerializeToString())


def _parsed(message_class: Any, payload: bytes) -> Any:
    try:
        return message_class.FromString(payload)
    except DecodeError:
        raise refuse("request_error.REQUIRED_FIELD_MISSING", "The request is malformed.") from None
