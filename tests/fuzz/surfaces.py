"""What the sandboxes and their control port are sent: any request at all.

An answer below 500, or a closed connection; and the sandbox goes on as before.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf import json_format
from hypothesis import strategies as st
from tests.fuzz.documents import scenarios
from tests.fuzz.middle import patience
from tests.fuzz.mutations import EDITS, RAW_EDITS, Edit, RawEdit, edited, raw_edited
from tests.fuzz.promises import logs

from smartconnectors_server.connector.control import ControlServer
from smartconnectors_server.connector.sandbox import FaultKind, Sandbox
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.platforms.google_ads.library import load
from smartconnectors_server.platforms.google_ads.options import DEFAULT_VERSION
from smartconnectors_server.platforms.google_ads.state import audience_query, campaign_query
from smartconnectors_server.platforms.meta.sandbox_access import ACCESS_TOKEN
from smartconnectors_server.platforms.trade_desk.sandbox_access import SANDBOX_TOKEN

CONTROL = "control"
CREDENTIALS = (
    f"authorization: Bearer {ACCESS_TOKEN.get_secret_value()}\r\nttd-auth: {SANDBOX_TOKEN}\r\n"
)
FORM = "application/x-www-form-urlencoded"
LONGEST_S = 3.0


@dataclass(frozen=True)
class Case:
    """A request near a real one, and what is done to it."""

    where: str
    """A platform or `control`."""
    base: int
    edits: tuple[Edit, ...] = ()
    raw: RawEdit | None = None
    method: str = ""
    path: str = ""
    content_type: str = ""


PATHS = [
    "/",
    "//",
    "/%00",
    "/%ff",
    "/token",
    "/exchange/bids",
    "/v26.0/",
    "/v26.0/1001",
    "/v26.0/1001?fields=%ff",
    "/v26.0/act_1000000001?fields=currency,,{",
    "/v26.0/act_1000000001?fields=campaigns.filtering(x).limit(y)",
    "/v26.0/act_1000000001?fields=a{b{c{d{e{f{g{h",
    "/v3/adgroup",
    "/v3/adgroup/%2e%2e%2f",
    "/v3/authentication",
    "/control/meta/faults",
    "/control/meta/journal",
    "/control/nowhere/journal",
]
CONTENT_TYPES = [
    "application/json; charset=bogus",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded; charset=utf-7",
    "application/x-www-form-urlencoded; charset=\xff",
    "text/plain; charset=utf-16",
]
NONE = ("",) * 4
CASES = st.builds(
    Case,
    where=st.sampled_from([*sorted(PLATFORMS), CONTROL]),
    base=st.integers(0, 40),
    edits=EDITS,
    raw=st.sampled_from([False] * 2 + [True]).flatmap(lambda yes: RAW_EDITS if yes else st.none()),
    method=st.sampled_from([*NONE, "GET", "POST", "PUT", "DELETE", "HEAD", "\x00"]),
    path=st.sampled_from([*NONE * 3, *PATHS, f"/v26.0/act_1000000001?fields={'(' * 900}"]),
    content_type=st.sampled_from([*NONE, *CONTENT_TYPES]),
)
_FAULT = {"kind": FaultKind.SLOW.value, "times": 1, "delay_ms": 0, "method": "nothing"}

Http = tuple[str, str, str, bytes]
"""Method, path, content type and body."""


@functools.lru_cache
def http_requests(where: str) -> tuple[Http, ...]:
    """Real requests, to spoil."""
    if where == CONTROL:
        return (
            ("POST", "/control/meta/faults", "application/json", json.dumps(_FAULT).encode()),
            ("GET", "/control/meta/journal", "application/json", b""),
            ("POST", "/control/reset", "application/json", b"{}"),
        )
    if where == "google_ads":
        return (("POST", "/token", FORM, b"grant_type=x&client_id="),)
    found: list[Http] = []
    for scenario in scenarios().values():
        sent = scenario.document["expect"].get("sent", [])
        if scenario.platform == where:
            found += [_http(one) for one in (sent if isinstance(sent, list) else [sent])]
    return tuple(found)


def _http(sent: Any) -> Http:
    """A request as a wire document writes it: with a form, as Meta's, or with JSON."""
    if "form" in sent:
        form = "&".join(f"{name}={_text(value)}" for name, value in sent["form"].items())
        return "POST", sent["path"], FORM, form.encode()
    body = json.dumps(sent["body"]).encode()
    return sent["method"], sent.get("path", "/exchange/bids"), "application/json", body


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class Surfaces:
    """Every sandbox, and the control port over them."""

    def __init__(self) -> None:
        self._sandboxes: dict[str, Sandbox] = {n: p.sandbox() for n, p in PLATFORMS.items()}
        self._addresses: dict[str, str] = {}
        self._control = ControlServer(self._sandboxes)
        self._token = ""

    async def open(self) -> None:
        for name, sandbox in self._sandboxes.items():
            self._addresses[name] = await sandbox.start()
        url = await self._control.start()
        self._addresses[CONTROL] = url.removeprefix("http://")

    async def close(self) -> None:
        await self._control.close()
        for sandbox in self._sandboxes.values():
            await sandbox.close()

    async def ask(self, case: Case) -> None:
        """Sends it; then what is always answered must still be."""
        with logs() as kept:
            async with patience():
                if case.where == "google_ads" and case.base % 4:
                    await self._grpc(case)
                else:
                    await self._http(case)
                if case.where == CONTROL:
                    # With whatever fault it plays now.
                    said = await self._get("meta", "/nothing-here")
                    assert b" 500 Internal" not in said[:40], said[:300]
                for sandbox in self._sandboxes.values():
                    await sandbox.clear_faults()
                await self._is_alive(case.where)
        assert not kept.errors, kept.errors

    async def _http(self, case: Case) -> None:
        method, path, kind, body = http_requests(case.where)[
            case.base % len(http_requests(case.where))
        ]
        with contextlib.suppress(ValueError):
            body = json.dumps(edited(json.loads(body), case.edits)).encode()
        body = raw_edited(body, case.raw)
        if case.raw is not None and case.raw.kind == "whole" and case.raw.at % 3 == 0:
            await self._sent(case.where, body, ends=True)  # no HTTP at all
            return
        head = (
            f"{case.method or method} {case.path or path} HTTP/1.1\r\nHost: x\r\n{CREDENTIALS}"
            f"content-type: {case.content_type or kind}\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        answer = await self._sent(case.where, head.encode("latin-1") + body)
        if answer:
            status = int(answer.split(b" ", 2)[1])
            assert status < 500, answer[:300]

    async def _sent(self, where: str, content: bytes, *, ends: bool = False) -> bytes:
        """The whole answer; empty when the connection was closed without one. `ends`: nothing more
        is said after it, which a sandbox takes for the end of the connection.
        """
        host, _, port = self._addresses[where].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(content)
            if ends:
                writer.write_eof()
            return await asyncio.wait_for(reader.read(), LONGEST_S)
        except (OSError, TimeoutError):
            return b""
        finally:
            writer.close()

    async def _grpc(self, case: Case) -> None:
        library = load(DEFAULT_VERSION)
        if case.base % 4 == 1:
            method, message = "SearchStream", library.search_request(customer_id="1000000001")
            queries = (campaign_query("1001"), audience_query("1001"), campaign_query("1", "2"))
            message.query = raw_edited(queries[case.base % 3].encode(), case.raw).decode(
                "utf-8", "replace"
            )
            payload = message.SerializeToString()
        else:
            method = "Mutate"
            payload = self._mutate(case)
        async with grpc.aio.insecure_channel(self._addresses["google_ads"]) as channel:
            path = f"/google.ads.googleads.{DEFAULT_VERSION}.services.GoogleAdsService/{method}"
            metadata = (("authorization", f"Bearer {await self._bearer()}"),)
            code = grpc.StatusCode.OK
            try:
                if method == "Mutate":
                    await channel.unary_unary(path)(payload, metadata=metadata)
                else:
                    async for _ in channel.unary_stream(path)(payload, metadata=metadata):
                        pass
            except grpc.aio.AioRpcError as error:
                code = error.code()
        assert code not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL), code

    def _mutate(self, case: Case) -> bytes:
        sent = [
            one.document["expect"]["sent"]
            for one in scenarios().values()
            if one.platform == "google_ads"
        ]
        message = load(DEFAULT_VERSION).mutate_request()
        document = edited(sent[case.base % len(sent)], case.edits)
        try:
            json_format.ParseDict(document, message, ignore_unknown_fields=True)
        except (json_format.ParseError, ValueError, TypeError, SystemError):
            json_format.ParseDict(sent[case.base % len(sent)], message.__class__())
        return raw_edited(message.SerializeToString(), case.raw)

    async def _bearer(self) -> str:
        if not self._token:
            form = (
                "grant_type=refresh_token&client_id=sandbox-client"
                "&client_secret=sandbox-client-secret&refresh_token=sandbox-refresh-token"
            )
            answer = await self._sent(
                "google_ads",
                b"POST /token HTTP/1.1\r\nHost: x\r\nconnection: close\r\n"
                b"content-type: application/x-www-form-urlencoded\r\n"
                + f"content-length: {len(form)}\r\n\r\n{form}".encode(),
            )
            self._token = json.loads(answer.partition(b"\r\n\r\n")[2])["access_token"]
        return self._token

    async def _is_alive(self, where: str) -> None:
        path = "/control/meta/journal" if where == CONTROL else "/nothing-here"
        assert (await self._get(where, path)).startswith(b"HTTP/1.1 "), f"{where} is dead"

    async def _get(self, where: str, path: str) -> bytes:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nconnection: close\r\n\r\n"
        return await self._sent(where, request.encode())


@contextmanager
def open_surfaces() -> Iterator[Callable[[Case], None]]:
    """`fuzz_surfaces`, with every sandbox and the control port open."""
    with asyncio.Runner() as runner:
        surfaces = Surfaces()
        runner.run(surfaces.open())

        def fuzz_surfaces(case: Case) -> None:
            runner.run(surfaces.ask(case))

        try:
            yield fuzz_surfaces
        finally:
            runner.run(surfaces.close())
