"""The one channel to Google, with Google's own client on it.

It has the library's metadata and exception interceptors, a timeout on every call, and no retry at
any level: a change whose outcome is unknown must not be sent twice.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import json_format

from smartconnectors_server.connector import QuotaSignal
from smartconnectors_server.errors import ConnectorError, OutcomeUnknown, PlatformUnavailable
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.platforms.google_ads import (
    channel,
    confirmations,
    partial_failures,
    refusals,
    sandbox_access,
    tokens,
)
from smartconnectors_server.platforms.google_ads.library import Library, load
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.platforms.google_ads.state import Row
from smartconnectors_server.platforms.google_ads.wire import Document

_IN_ONE_GO = 50
"""Documents that are converted before other tasks may run."""


@dataclass(frozen=True, slots=True)
class Mutated:
    """What Google answered to a mutate that may fail in parts.

    Attributes:
        request_id: Google's id of the request.
        outcomes: for each operation None, or the error that it would have raised alone.
    """

    request_id: str
    outcomes: Sequence[ConnectorError | None]


@dataclass(frozen=True, slots=True)
class _Sent:
    """The operations of a mutate, Google's answer, and its id of the request."""

    operations: Sequence[Any]
    response: Any
    request_id: str


class Transport:
    """Reads and changes one customer. Raises only the errors of `smartconnectors_server.errors`."""

    def __init__(
        self,
        options: GoogleAdsOptions,
        *,
        customer_id: str,
        endpoint: str | None,
        timeout_s: float,
        on_quota: Callable[[QuotaSignal], None],
        outgoing: Outgoing | None = None,
    ) -> None:
        """`endpoint`: `host:port` of a sandbox, spoken to without TLS and with the sandbox's own
        credentials, so that the real ones cannot be sent there; None: Google.
        """
        self._options = options
        self._customer_id = customer_id
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._on_quota = on_quota
        self._outgoing = outgoing or Outgoing()
        self._library: Library | None = None
        self._tokens: tokens.Tokens | None = None
        self._channel: grpc.aio.Channel | None = None
        self._client: Any = None

    async def open(self) -> None:
        """Imports the library in a thread, opens the channel and fetches a token, so that no bid is
        timed with that; asks nothing of Google Ads. Returns also when Google cannot be reached.

        Raises PlatformUnavailable when the configured key file cannot be used.
        """
        self._library = await asyncio.to_thread(load, self._options.api_version)
        self._tokens = await asyncio.to_thread(self._make_tokens)
        # At DEBUG the library logs request metadata, and with it the bearer token.
        logging.getLogger("google.ads.googleads").setLevel(logging.INFO)
        self._channel = channel.open_channel(
            self._endpoint,
            self._interceptors(),
            self._outgoing,
            timeout_ms=round(self._timeout_s * 1000),
        )
        transport = self._library.transport(channel=self._channel)
        self._client = self._library.client(transport=transport)
        await asyncio.gather(self._tokens.warm_up(), channel.warm_up(self._channel))

    async def close(self) -> None:
        """Closes the channel."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
        if self._tokens is not None:
            await self._tokens.close()
            self._tokens = None

    async def search(self, query: str, *, timeout_s: float | None = None) -> list[Row]:
        """Every row of a query, in the JSON form of Google's REST interface. `timeout_s`: for one
        that may take longer than others.

        Raises PlatformUnavailable, PlatformRejected, RateLimited.
        """
        authorization = await self._ready()
        library = self._loaded()
        rows: list[Row] = []
        try:
            stream = await self._client.search_stream(
                request={"customer_id": self._customer_id, "query": query},
                retry=None,
                timeout=timeout_s or self._timeout_s,
                metadata=channel.metadata(authorization),
            )
            async for response in stream:
                if response is None:  # grpc's way to say that it could not parse it
                    raise PlatformUnavailable("Google Ads' answer could not be parsed")
                message = type(response).pb(response)
                for number, row in enumerate(message.results, 1):
                    rows.append(json_format.MessageToDict(row))
                    await _let_others(number)
        except ConnectorError:
            raise
        except Exception as error:  # noqa: BLE001 - translated, whatever it is
            raise self._translated(error, library, changes=False) from None
        return rows

    async def mutate(
        self, document: Document, *, validate_only: bool, dispatched: Callable[[], None]
    ) -> str:
        """Sends one mutate, once; returns Google's id of the request.

        `dispatched` is called when from then on bytes may have left.

        Raises:
            PlatformUnavailable: provably nothing was sent.
            PlatformRejected, UnknownTarget, RateLimited: Google refused it.
            OutcomeUnknown: anything else.
        """
        request = {**document, "validateOnly": validate_only}
        sent = await self._send(request, dispatched)
        operations, answers = sent.operations, sent.response.mutate_operation_responses
        if validate_only:  # only errors are answered then
            return sent.request_id
        if not partial_failures.all_made(sent.response, len(operations)):
            raise OutcomeUnknown("Google Ads answered without saying what it changed")
        for operation, answer in zip(operations, answers, strict=True):
            if error := _doubt(operation, answer):
                raise error
        return sent.request_id

    async def mutate_each(self, document: Document, *, dispatched: Callable[[], None]) -> Mutated:
        """Sends one mutate, once, whose operations are made or refused each for itself.

        Raises as `mutate`, for what holds for all of them.
        """
        request = {**document, "partialFailure": True}
        sent = await self._send(request, dispatched)
        operations, answers = sent.operations, sent.response.mutate_operation_responses
        count = len(operations)
        found = partial_failures.outcomes_of(sent.response, count, self._loaded(), sent.request_id)
        outcomes = [self._outcome(outcome) for outcome in found]
        for index, outcome in enumerate(outcomes):
            if outcome is None:
                outcomes[index] = _doubt(operations[index], answers[index])
        return Mutated(sent.request_id, outcomes)

    async def _send(self, document: Document, dispatched: Callable[[], None]) -> _Sent:
        """Sends a mutate. Raises as `mutate`."""
        library = self._loaded()
        head = {"responseContentType": confirmations.MUTABLE_RESOURCE, "mutateOperations": []}
        message = json_format.ParseDict({**document, **head}, library.mutate_request())
        for number, operation in enumerate(document["mutateOperations"], 1):
            json_format.ParseDict(operation, message.mutate_operations.add())
            await _let_others(number)
        request = library.mutate_request_wrapper.wrap(message)
        authorization = await self._ready()
        kept: list[Any] = []
        token = channel.kept_calls.set(kept)
        dispatched()
        try:
            response = await self._client.mutate(
                request=request,
                retry=None,
                timeout=self._timeout_s,
                metadata=channel.metadata(authorization),
            )
        except Exception as error:  # noqa: BLE001 - translated, whatever it is
            raise self._translated(error, library, changes=True) from None
        finally:
            channel.kept_calls.reset(token)
        # grpc hands out None for bytes that it cannot parse.
        if response is None:
            raise OutcomeUnknown("Google Ads' answer to the change could not be parsed")
        request_id = await channel.request_id_of(kept)
        return _Sent(message.mutate_operations, type(response).pb(response), request_id)

    def _make_tokens(self) -> tokens.Tokens:
        if self._endpoint is None:
            return tokens.Tokens(
                tokens.real_credentials(self._options), self._timeout_s, self._outgoing
            )
        credentials = tokens.refresh_token_credentials(
            token_uri=f"http://{self._endpoint}{sandbox_access.TOKEN_PATH}",
            client_id=sandbox_access.CLIENT_ID,
            client_secret=sandbox_access.CLIENT_SECRET,
            refresh_token=sandbox_access.REFRESH_TOKEN,
        )
        return tokens.Tokens(credentials, self._timeout_s, self._outgoing)

    def _interceptors(self) -> list[grpc.aio.ClientInterceptor]:
        # Named one by one: the package's `__all__` names one that it does not have.
        package = importlib.import_module("google.ads.googleads.interceptors")
        headers = (self._developer_token() or None, self._options.login_customer_id or None)
        version = self._options.api_version
        return [
            package.AsyncUnaryUnaryMetadataInterceptor(*headers),
            package.AsyncUnaryStreamMetadataInterceptor(*headers),
            package.AsyncUnaryUnaryExceptionInterceptor(version, use_proto_plus=True),
            package.AsyncUnaryStreamExceptionInterceptor(version, use_proto_plus=True),
            channel.KeepCall(),
        ]

    def _developer_token(self) -> str:
        """The real one goes to Google alone."""
        return "" if self._endpoint else self._options.api_key.get_secret_value()

    def _loaded(self) -> Library:
        if self._library is None:
            raise PlatformUnavailable("Google Ads is not connected yet")
        return self._library

    async def _ready(self) -> str:
        """Returns the authorization header when channel and token are ready to send with.

        Raises PlatformUnavailable: nothing was sent.
        """
        opened, source = self._channel, self._tokens
        if opened is None or source is None:
            raise PlatformUnavailable("Google Ads is not connected yet")
        try:
            await channel.wait_until_ready(opened)
        except TimeoutError:
            raise PlatformUnavailable("Google Ads was not reached") from None
        return await source.authorization()

    def _outcome(self, outcome: partial_failures.Outcome) -> ConnectorError | None:
        if not isinstance(outcome, refusals.Said):
            return outcome
        error, signal = refusals.meaning(outcome, changes=True, secrets=self._secrets())
        if signal is not None:
            self._on_quota(signal)
        return error

    def _secrets(self) -> list[str]:
        return [
            self._options.api_key.get_secret_value(),
            self._options.client_secret.get_secret_value(),
            self._options.refresh_token.get_secret_value(),
            *(self._tokens.secrets() if self._tokens is not None else ()),
        ]

    def _translated(self, error: Exception, library: Library, *, changes: bool) -> Exception:
        translated, signal = refusals.translate(
            error, library, changes=changes, secrets=self._secrets()
        )
        if signal is not None:
            self._on_quota(signal)
        if translated.metadata.get("platform_status") == "UNAUTHENTICATED" and self._tokens:
            self._tokens.forget()
        return translated


def _doubt(operation: Any, answer: Any) -> OutcomeUnknown | None:
    """The error for an operation that was accepted and that the answer does not show."""
    lacking = confirmations.unconfirmed(operation, answer)
    if not lacking:
        return None
    return OutcomeUnknown(f"Google Ads accepted the change and its answer does not show {lacking}")


async def _let_others(number: int) -> None:
    """Lets other bids on now and then: to convert a thousand takes a tenth of a second."""
    if number % _IN_ONE_GO == 0:
        await asyncio.sleep(0)
