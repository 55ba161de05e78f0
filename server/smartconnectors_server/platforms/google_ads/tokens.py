"""OAuth access tokens: fetched in a thread, kept fresh, never fetched twice at once.

The token goes along as request metadata instead of gRPC call credentials. So a token that cannot be
had is known before anything is sent, and a sandbox in another container needs no TLS.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections import deque
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from smartconnectors_server.errors import PlatformUnavailable
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.texts import decoded

SCOPE = "https://www.googleapis.com/auth/adwords"
_REMEMBERED = 4
"""How many tokens are kept out of messages. One is good for an hour, a request takes seconds."""
GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address


def refresh_token_credentials(
    *, token_uri: str, client_id: str, client_secret: SecretStr, refresh_token: SecretStr
) -> Any:
    """google-auth credentials of a user who gave their consent. Imports google-auth."""
    oauth2 = importlib.import_module("google.oauth2.credentials")
    return oauth2.Credentials(
        None,
        refresh_token=refresh_token.get_secret_value(),
        token_uri=token_uri,
        client_id=client_id,
        client_secret=client_secret.get_secret_value(),
        scopes=[SCOPE],
    )


def real_credentials(options: GoogleAdsOptions) -> Any:
    """The configured credentials. Imports google-auth and may read the key file.

    Raises PlatformUnavailable when the key file cannot be used.
    """
    if not options.json_key_file_path:
        return refresh_token_credentials(
            token_uri=GOOGLE_TOKEN_URI,
            client_id=options.client_id,
            client_secret=options.client_secret,
            refresh_token=options.refresh_token,
        )
    service_account = importlib.import_module("google.oauth2.service_account")
    try:
        information = json.loads(decoded(Path(options.json_key_file_path).read_bytes()))
        return service_account.Credentials.from_service_account_info(information, scopes=[SCOPE])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        # The text of a ValueError may quote the file.
        raise PlatformUnavailable(
            "GOOGLE_ADS_JSON_KEY_FILE_PATH: the service account's key file cannot be used "
            f"({type(error).__name__})"
        ) from None


class Tokens:
    """The access token of one set of credentials."""

    def __init__(
        self, credentials: Any, timeout_s: float, outgoing: Outgoing | None = None
    ) -> None:
        """`credentials`: google-auth's; `timeout_s`: the longest that fetching one may take."""
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._auth = importlib.import_module("google.auth.exceptions")
        self._states = importlib.import_module("google.auth.credentials").TokenState
        requests = importlib.import_module("google.auth.transport.requests")
        self._session = importlib.import_module("requests").Session()
        self._session.trust_env = False  # no proxies, bundles or .netrc but those of `outgoing`
        self._outgoing = outgoing or Outgoing()
        self._request = requests.Request(self._session)
        self._fetching: asyncio.Task[None] | None = None
        self._handed_out: deque[str] = deque(maxlen=_REMEMBERED)

    async def authorization(self) -> str:
        """The value of the `authorization` header.

        Raises PlatformUnavailable when no token can be had: nothing has been sent.
        """
        state = self._credentials.token_state
        if state is not self._states.FRESH:
            fetching = self._fetch()
            # One that is only about to expire is still good for this request.
            if state is not self._states.STALE:
                await self._wait_for(fetching)
        token = self._credentials.token
        if not _is_usable(token):
            self.forget()
            raise PlatformUnavailable(
                "Google's OAuth token endpoint gave no token that can be sent"
            )
        if token not in self._handed_out:
            self._handed_out.append(token)
        return f"Bearer {token}"

    async def warm_up(self) -> None:
        """Fetches one ahead of the first request. A failure is left for that request to meet."""
        await asyncio.wait([self._fetch()], timeout=self._timeout_s)

    def forget(self) -> None:
        """Fetches a new one next time: Google no longer takes this one."""
        self._credentials.token = None

    def secrets(self) -> tuple[str, ...]:
        """What must not appear in any message: also a token that was given up while a request with
        it is still under way.
        """
        return tuple(self._handed_out)

    async def close(self) -> None:
        """Lets a fetch that is under way end, and closes its connections."""
        if self._fetching is not None:
            await asyncio.gather(self._fetching, return_exceptions=True)
        self._session.close()

    def _fetch(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._refresh())
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    async def _refresh(self) -> None:
        await asyncio.to_thread(self._credentials.refresh, self._bounded_request)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled():
            # Asked for, so that a failure nobody waits for is not reported as forgotten: with a
            # token that still works, the next request tries again.
            task.exception()

    def _bounded_request(self, url: str, *args: Any, **kwargs: Any) -> Any:
        through = self._outgoing.for_requests(url)
        return self._request(url, *args, **{**kwargs, **through, "timeout": self._timeout_s})

    async def _wait_for(self, fetching: asyncio.Task[None]) -> None:
        try:
            # Shielded: others wait for the same fetch.
            await asyncio.wait_for(asyncio.shield(fetching), self._timeout_s)
        except TimeoutError:
            raise PlatformUnavailable("Google's OAuth token endpoint did not answer") from None
        except self._auth.RefreshError as error:
            raise PlatformUnavailable(
                f"Google gave no OAuth token: {_first_words(error)}; check the credentials"
            ) from None
        except self._auth.GoogleAuthError as error:
            raise PlatformUnavailable(
                f"Google's OAuth token endpoint was not reached ({type(error).__name__})"
            ) from None
        except Exception as error:  # noqa: BLE001 - google-auth trips over JSON of another form
            raise PlatformUnavailable(
                f"Google's OAuth token endpoint gave no usable answer ({type(error).__name__})"
            ) from None


def _is_usable(token: Any) -> bool:
    """True for one that a header can carry."""
    return isinstance(token, str) and bool(token) and token.isascii() and token.isprintable()


def _first_words(error: Exception) -> str:
    """What the endpoint called the problem, such as `invalid_grant`, and nothing else it said."""
    text = str(error.args[0]) if error.args else ""
    return text.split(":")[0].strip()[:40] or type(error).__name__
