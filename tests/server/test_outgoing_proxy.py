"""Every way out obeys one rule: the same variables, the same exceptions, and what a proxy says
means the same for money.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import aiohttp
import pytest
from pydantic import SecretStr

from smartconnectors_server.alert_settings import WebhookSettings
from smartconnectors_server.alerts.delivery import NotDelivered
from smartconnectors_server.alerts.webhook import Webhook
from smartconnectors_server.assembly import load_settings
from smartconnectors_server.clock import SystemClock
from smartconnectors_server.connector.http import HttpTransport
from smartconnectors_server.errors import ConnectorError, OutcomeUnknown, PlatformUnavailable
from smartconnectors_server.ledger import Alert, AlertKind, AlertLevel
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.platforms.google_ads.transport import Transport
from smartconnectors_server.platforms.meta.graph import GraphApi
from smartconnectors_server.platforms.meta.options import MetaOptions
from smartconnectors_server.settings import SettingsError
from smartconnectors_server.telemetry.collector import Collector

PASSWORD = "do-not-show"
ELSEWHERE = "https://platform.example.com"


@dataclass
class CountingProxy:
    """Notes what it is asked for, and answers with `answer`; empty: hangs up; None: is silent."""

    answer: bytes | None = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    asked: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    port: int = 0
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return
        self.asked.append(" ".join(head.split()[:2]))
        self.authorizations += [
            line.partition(": ")[2]
            for line in head.splitlines()
            if line.lower().startswith("proxy-authorization")
        ]
        if self.answer is not None:
            writer.write(self.answer)
            writer.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    def outgoing(self, **more: str) -> Outgoing:
        return outgoing({"ALL_PROXY": f"http://127.0.0.1:{self.port}", **more})


@pytest.fixture
async def proxy() -> AsyncIterator[CountingProxy]:
    made = CountingProxy()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    made.close()
    server.close()


def outgoing(environment: Mapping[str, str]) -> Outgoing:
    return Outgoing(load_settings(None, environment).outgoing)


def through(environment: Mapping[str, str], url: str) -> str | None:
    proxy = outgoing(environment).proxy_for(url)
    return None if proxy is None else proxy.place


# Which proxy

BOTH = {"HTTP_PROXY": "http://plain.example:1", "HTTPS_PROXY": "http://secure.example:2"}


@pytest.mark.parametrize(
    ("environment", "url", "place"),
    [
        ({}, "https://a.example/", None),
        (BOTH, "https://a.example/", "secure.example:2"),
        (BOTH, "http://a.example/", "plain.example:1"),
        ({"https_proxy": "http://p.example:3"}, "https://a.example/", "p.example:3"),
        ({"https_proxy": "p.example:3\n"}, "https://a.example/", "p.example:3"),
        ({"https_proxy": "http://p.example"}, "https://a.example/", "p.example:80"),
        ({"https_proxy": "http://[::2]:3"}, "https://a.example/", "[::2]:3"),
        ({**BOTH, "https_proxy": "http://p.example:3"}, "https://a.example/", "p.example:3"),
        ({"https_proxy": "", **BOTH}, "https://a.example/", "secure.example:2"),
        ({"ALL_PROXY": "http://p.example:3"}, "http://a.example/", "p.example:3"),
        ({"all_proxy": "http://p.example:3"}, "https://a.example/", "p.example:3"),
        ({"ALL_PROXY": "http://p.example:3", **BOTH}, "https://a.example/", "secure.example:2"),
    ],
)
def test_the_usual_variables_say_which_proxy(
    environment: dict[str, str], url: str, place: str | None
) -> None:
    assert through(environment, url) == place


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]",
     "[::ffff:127.0.0.1]"],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_this_machine_is_never_reached_through_a_proxy(scheme: str, host: str) -> None:
    assert through({"ALL_PROXY": "http://p.example:3"}, f"{scheme}://{host}:9/") is None


@pytest.mark.parametrize(
    ("entries", "url", "direct"),
    [
        ("*", "https://a.example/", True),
        ("a.example", "https://a.example/", True),
        ("A.Example", "https://a.EXAMPLE./", True),
        ("example", "https://a.example/", True),
        (".example", "https://a.example/", True),
        ("*.example", "https://a.example/", True),
        ("other, a.example", "https://a.example/", True),
        ("other a.example", "https://a.example/", True),
        ("ample", "https://a.example/", False),
        ("b.example", "https://a.example/", False),
        ("a.example:443", "https://a.example/", True),
        ("a.example:8443", "https://a.example/", False),
        ("10.0.0.0/8", "https://10.1.2.3/", True),
        ("10.0.0.0/8", "https://11.1.2.3/", False),
        ("10.1.2.3", "https://10.1.2.3/", True),
        ("10.1.2.3:80", "https://10.1.2.3/", False),
        ("fd00::/8", "https://[fd00::1]/", True),
        ("[fd00::1]:443", "https://[fd00::1]/", True),
        ("10.0.0.0/8", "https://a.example/", False),
        (",, ,", "https://a.example/", False),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy_says_what_is_reached_directly(
    variable: str, entries: str, url: str, direct: bool
) -> None:
    environment = {"ALL_PROXY": "http://p.example:3", variable: entries}
    assert (through(environment, url) is None) is direct


@pytest.mark.parametrize(
    "value",
    [
        "socks5://p.example:1",
        "https://p.example:1",
        "http://",
        "http://p:x",
        f"http://a b:{PASSWORD}",
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_used_is_refused_by_its_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: outgoing") as caught:
        load_settings(None, {variable: value})
    assert PASSWORD not in str(caught.value)


# Every way out


async def meta(out: Outgoing) -> None:
    options = MetaOptions(access_token=SecretStr("t"))
    graph = GraphApi(
        options,
        account_id="1",
        endpoint=None,
        timeout_ms=5_000,
        on_quota=lambda _: None,
        outgoing=out,
    )
    await graph.open()
    try:
        await graph.get("1", "id")
    finally:
        await graph.close()


async def google(out: Outgoing) -> None:
    """Opening fetches a token and connects to Google Ads; neither fails the opening."""
    options = GoogleAdsOptions(
        client_id="c", client_secret=SecretStr("s"), refresh_token=SecretStr("r")
    )
    transport = Transport(
        options,
        customer_id="1234567890",
        endpoint=None,
        timeout_s=5.0,
        on_quota=lambda _: None,
        outgoing=out,
    )
    await transport.open()
    try:
        await transport.search("SELECT 1")
    finally:
        await transport.close()


async def trade_desk(out: Outgoing) -> None:
    transport = HttpTransport(
        "The Trade Desk", "https://api.thetradedesk.com", timeout_ms=5_000, outgoing=out
    )
    await transport.open()
    try:
        await transport.send("GET", "/v3/x", changes=True, headers={})
    finally:
        await transport.close()


async def webhook(out: Outgoing) -> None:
    chosen = WebhookSettings(url=SecretStr("https://hooks.example.com/x"), format="slack")
    alert = Alert(
        1, AlertKind.CIRCUIT_OPENED, 1, "meta", (), "", 0, "USD", AlertLevel.NONE, "opened"
    )
    async with aiohttp.ClientSession() as session:
        await Webhook("chat", chosen, session, SystemClock(), outgoing=out).send(alert)


async def traces(out: Outgoing) -> None:
    collector = Collector(
        "collector.example.com:4317", insecure=True, outgoing=out, retry_after_s=(), timeout_s=5.0
    )
    await asyncio.to_thread(collector.export, [])
    collector.shutdown()


WAYS = {
    "meta": (meta, {"graph.facebook.com:443"}),
    "google": (google, {"oauth2.googleapis.com:443", "googleads.googleapis.com:443"}),
    "trade_desk": (trade_desk, {"api.thetradedesk.com:443"}),
    "webhook": (webhook, {"hooks.example.com:443"}),
    "traces": (traces, {"collector.example.com:4317"}),
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_out_asks_the_proxy_with_its_credentials_which_nobody_is_told(
    way: str, proxy: CountingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    leave, targets = WAYS[way]
    said = ""
    with caplog.at_level(logging.DEBUG):
        try:
            await leave(outgoing({"ALL_PROXY": f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}"}))
        except (ConnectorError, NotDelivered) as error:
            said = "".join(traceback.format_exception(error))
    assert set(proxy.asked) == {f"CONNECT {target}" for target in targets}
    basic = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    assert set(proxy.authorizations) == {f"Basic {basic}"}
    assert PASSWORD not in said + caplog.text
    assert basic not in said + caplog.text


@pytest.mark.parametrize("way", WAYS)
async def test_no_way_out_looks_at_the_environment_by_itself(
    way: str, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    leave, _ = WAYS[way]
    # Another proxy, at which nobody listens: it is asked, and nothing leaves this machine.
    with contextlib.suppress(ConnectorError, NotDelivered):
        await leave(outgoing({"ALL_PROXY": "http://127.0.0.1:1"}))
    assert proxy.asked == []


# What a proxy's answer means for money


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\n\r\n",
        b"what?\r\n\r\n",
        b"",
        None,
    ],
    ids=["502", "407", "403", "nonsense", "hangs up", "says nothing"],
)
@pytest.mark.parametrize("changes", [False, True])
async def test_what_goes_wrong_before_the_tunnel_stands_means_that_nothing_was_sent(
    proxy: CountingProxy, changes: bool, answer: bytes | None
) -> None:
    proxy.answer = answer
    transport = HttpTransport("example", ELSEWHERE, timeout_ms=500, outgoing=proxy.outgoing())
    await transport.open()
    with pytest.raises(PlatformUnavailable, match="nothing was sent"):
        await transport.send("POST", "/x", changes=changes, headers={}, content="x")
    await transport.close()
    assert proxy.asked == ["CONNECT platform.example.com:443"]


async def test_a_tunnel_that_breaks_before_tls_stands_means_that_nothing_was_sent(
    proxy: CountingProxy,
) -> None:
    proxy.answer = b"HTTP/1.1 200 OK\r\n\r\n"
    transport = HttpTransport("example", ELSEWHERE, timeout_ms=500, outgoing=proxy.outgoing())
    await transport.open()
    with pytest.raises(PlatformUnavailable, match="nothing was sent"):
        await transport.send("POST", "/x", changes=True, headers={}, content="x")
    await transport.close()


async def test_in_plain_text_the_proxy_has_the_change_and_its_hanging_up_leaves_it_in_doubt(
    proxy: CountingProxy,
) -> None:
    out = outgoing({"http_proxy": f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}"})
    transport = HttpTransport(
        "example", "http://platform.example.com", timeout_ms=5_000, outgoing=out
    )
    await transport.open()
    answer = await transport.send("POST", "/x", changes=True, headers={}, content="x")
    assert answer.status == 502, "the platform's or the proxy's: the connector takes it as unknown"
    proxy.answer = b""
    with pytest.raises(OutcomeUnknown):
        await transport.send("POST", "/x", changes=True, headers={}, content="x")
    await transport.close()
    assert proxy.asked == ["POST http://platform.example.com/x"] * 2
    assert len(proxy.authorizations) == 2


async def test_what_no_proxy_names_is_not_asked_of_the_proxy(proxy: CountingProxy) -> None:
    out = proxy.outgoing(NO_PROXY="*")
    assert out.for_aiohttp(ELSEWHERE) == {}
    assert out.for_requests(ELSEWHERE) == {}
    assert out.for_grpc("platform.example.com:443", encrypted=True) == (
        ("grpc.enable_http_proxy", 0),
    )
