"""The one channel to Google, with Google's own client on it.

The client's own channel is not used: it retries nothing and sets no timeout, which is right, but it
also adds interceptors that log every request and leave failed tasks behind. Ours has the library's
metadata and exception interceptors, a timeout on every call, and no retry at any level: a change
whose outcome is unknown must not be sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import grpc
from google.protobuf import json_format

from smartconnectors_server.connector import QuotaSignal
from smartconnectors_server.errors import ConnectorError, OutcomeUnknown, PlatformUnavailable
from smartconnectors_server.platforms.google_ads import refusals, sandbox_access, tokens
from smartconnectors_server.platforms.google_ads.library import Library, load
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.platforms.google_ads.state import Row
from smartconnectors_server.platforms.google_ads.wire import Document

GOOGLE_TARGET = "googleads.googleapis.com:443"

_CONNECT_S = 2.0
_RECONNECT_S = 0.4
"""How long a broken channel is given: two attempts, at the longest backoff below."""

_CHANNEL_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 150),
    # Answers are never too large: an answer that cannot be read is a change in doubt.
    ("grpc.max_receive_message_length", -1),
)

_calls: ContextVar[list[Any] | None] = ContextVar("google_ads_calls", default=None)


class _KeepCall(grpc.aio.UnaryUnaryClientInterceptor):
    """Keeps the innermost call, whose trailing metadata has Google's id of the request."""

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        call = await continuation(client_call_details, request)
        kept = _calls.get()
        if kept is not None:
            kept.append(call)
        return call


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
    ) -> None:
        """`endpoint`: `host:port` of a sandbox, spoken to without TLS and with the sandbox's own
        credentials, so that the real ones cannot be sent there; None: Google.
        """
        self._options = options
        self._customer_id = customer_id
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._on_quota = on_quota
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
        interceptors = self._interceptors()
        if self._endpoint is None:
            self._channel = grpc.aio.secure_channel(
                GOOGLE_TARGET,
                grpc.ssl_channel_credentials(),
                options=_CHANNEL_OPTIONS,
                interceptors=interceptors,
            )
        else:
            self._channel = grpc.aio.insecure_channel(
                self._endpoint, options=_CHANNEL_OPTIONS, interceptors=interceptors
            )
        transport = self._library.transport(channel=self._channel)
        self._client = self._library.client(transport=transport)
        await asyncio.gather(self._tokens.warm_up(), _warm_up(self._channel))

    async def close(self) -> None:
        """Closes the channel."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
        if self._tokens is not None:
            await self._tokens.close()
            self._tokens = None

    async def search(self, query: str) -> list[Row]:
        """Every row of a query, in the JSON form of Google's REST interface.

        Raises PlatformUnavailable, PlatformRejected, RateLimited.
        """
        authorization = await self._ready()
        library = self._loaded()
        rows: list[Row] = []
        try:
            stream = await self._client.search_stream(
                request={"customer_id": self._customer_id, "query": query},
                retry=None,
                timeout=self._timeout_s,
                metadata=(("authorization", authorization),),
            )
            async for response in stream:
                if response is None:  # grpc's way to say that it could not parse it
                    raise PlatformUnavailable("Google Ads' answer could not be parsed")
                message = type(response).pb(response)
                rows += [json_format.MessageToDict(row) for row in message.results]
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
        library = self._loaded()
        message = json_format.ParseDict(
            {**document, "validateOnly": validate_only}, library.mutate_request()
        )
        request = library.mutate_request_wrapper.wrap(message)
        authorization = await self._ready()
        kept: list[Any] = []
        token = _calls.set(kept)
        dispatched()
        try:
            response = await self._client.mutate(
                request=request,
                retry=None,
                timeout=self._timeout_s,
                metadata=(("authorization", authorization),),
            )
        except Exception as error:  # noqa: BLE001 - translated, whatever it is
            raise self._translated(error, library, changes=True) from None
        finally:
            _calls.reset(token)
        # grpc hands out None for bytes that it cannot parse.
        if response is None:
            raise OutcomeUnknown("Google Ads' answer to the change could not be parsed")
        answered = len(type(response).pb(response).mutate_operation_responses)
        if not validate_only and answered != len(message.mutate_operations):
            raise OutcomeUnknown("Google Ads answered without saying what it changed")
        return await _request_id_of(kept)

    def _make_tokens(self) -> tokens.Tokens:
        if self._endpoint is None:
            return tokens.Tokens(tokens.real_credentials(self._options), self._timeout_s)
        credentials = tokens.refresh_token_credentials(
            token_uri=f"http://{self._endpoint}{sandbox_access.TOKEN_PATH}",
            client_id=sandbox_access.CLIENT_ID,
            client_secret=sandbox_access.CLIENT_SECRET,
            refresh_token=sandbox_access.REFRESH_TOKEN,
        )
        return tokens.Tokens(credentials, self._timeout_s)

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
            _KeepCall(),
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
        channel, source = self._channel, self._tokens
        if channel is None or source is None:
            raise PlatformUnavailable("Google Ads is not connected yet")
        state = channel.get_state(try_to_connect=True)
        if state is not grpc.ChannelConnectivity.READY:
            try:
                await asyncio.wait_for(_wait_until_ready(channel, state), _CONNECT_S)
            except TimeoutError:
                raise PlatformUnavailable("Google Ads was not reached") from None
        return await source.authorization()

    def _translated(self, error: Exception, library: Library, *, changes: bool) -> Exception:
        secrets = [
            self._options.api_key.get_secret_value(),
            self._options.client_secret.get_secret_value(),
            self._options.refresh_token.get_secret_value(),
        ]
        if self._tokens is not None:
            secrets += self._tokens.secrets()
        translated, signal = refusals.translate(error, library, changes=changes, secrets=secrets)
        if signal is not None:
            self._on_quota(signal)
        if translated.metadata.get("platform_status") == "UNAUTHENTICATED" and self._tokens:
            self._tokens.forget()
        return translated


async def _warm_up(channel: grpc.aio.Channel) -> None:
    """Connects ahead of the first request. A failure is left for that request to meet."""
    state = channel.get_state(try_to_connect=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_wait_until_ready(channel, state), _CONNECT_S)


async def _wait_until_ready(channel: grpc.aio.Channel, state: grpc.ChannelConnectivity) -> None:
    """Returns when the channel is ready. Raises TimeoutError when it broke and stays so."""
    while state is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.SHUTDOWN:
            raise TimeoutError
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            await asyncio.wait_for(channel.wait_for_state_change(state), _RECONNECT_S)
        else:
            await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)


async def _request_id_of(calls: list[Any]) -> str:
    """Google's id of the request; empty when it gave none."""
    for call in calls:
        for key, value in await call.trailing_metadata() or ():
            if key == "request-id":
                return str(value)
    return ""
