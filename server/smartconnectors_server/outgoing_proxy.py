"""The ways out of this process: through which proxy, and whose certificates are believed.

One rule for all of them, whatever library speaks: `settings.py` reads the usual variables, and each
way out is told what they mean for it instead of reading them by itself.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from smartconnectors_server.sections import NamedPath, Section
from smartconnectors_server.texts import OneLine, TrimmedSecret

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy, which is spoken to over plain HTTP. `repr` shows no password."""

    host: str
    port: int
    user: str
    password: SecretStr

    @property
    def place(self) -> str:
        """`host:port`, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Without user and password."""
        return f"http://{self.place}"

    @property
    def headers(self) -> dict[str, str]:
        """What shows user and password to it; secret."""
        if not self.user:
            return {}
        shown = f"{self.user}:{self.password.get_secret_value()}".encode()
        return {"Proxy-Authorization": f"Basic {base64.b64encode(shown).decode()}"}

    @property
    def secret_url(self) -> str:
        """With them, as gRPC and requests take it."""
        if not self.user:
            return self.url
        password = quote(self.password.get_secret_value(), safe="")
        return f"http://{quote(self.user, safe='')}:{password}@{self.place}"


def _proxy_of(text: str) -> Proxy | None:
    """None: there is none. Raises ValueError, without repeating it."""
    if not text:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    if parts.scheme != "http" or not _HOST.fullmatch(host) or not text.isprintable():
        raise ValueError(
            "not the address of an HTTP proxy such as http://proxy.example.com:3128; proxies over "
            "https or SOCKS are not supported"
        )
    return Proxy(
        host, port, unquote(parts.username or ""), SecretStr(unquote(parts.password or ""))
    )


def _checked(value: SecretStr) -> SecretStr:
    _proxy_of(value.get_secret_value())
    return value


ProxyUrl = Annotated[TrimmedSecret, AfterValidator(_checked)]


class OutgoingSettings(Section):
    """Every connection that the server makes: to platforms, their token endpoints, webhooks and the
    collector of traces. This machine's own addresses are never reached through a proxy.
    """

    http_proxy: ProxyUrl = Field(SecretStr(""), examples=["http://proxy.example.com:3128"])
    """The proxy for what is spoken in plain text. Also: the variables http_proxy, HTTP_PROXY."""
    https_proxy: ProxyUrl = Field(SecretStr(""), examples=["http://proxy.example.com:3128"])
    """The proxy for what is spoken with TLS; it sees host names alone. Also: the variables
    https_proxy, HTTPS_PROXY."""
    all_proxy: ProxyUrl = Field(SecretStr(""), examples=["http://proxy.example.com:3128"])
    """The proxy for both, where the two above say none. Also: the variables all_proxy,
    ALL_PROXY."""
    no_proxy: OneLine = Field("", examples=[".internal,10.0.0.0/8"])
    """What is reached without a proxy: host names (with all names below them), addresses, networks,
    each also with a port; with commas between. `*`: everything. Also: the variables no_proxy,
    NO_PROXY."""
    ca_file: NamedPath | None = Field(None, examples=["/etc/ssl/certs/ca-certificates.crt"])
    """The authorities that may have signed certificates, in PEM, instead of those that each library
    brings. Also: the variable SSL_CERT_FILE."""


VARIABLES = {
    # Of two that are set the later counts: the lower case goes before the upper, as for curl.
    **{
        spelt: ("outgoing", name)
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
        for spelt in (name.upper(), name)
    },
    "SSL_CERT_FILE": ("outgoing", "ca_file"),
}
"""Environment variable -> settings key."""


class Outgoing:
    """What the settings mean for one address."""

    def __init__(self, settings: OutgoingSettings | None = None) -> None:
        chosen = settings or OutgoingSettings()
        both = _proxy_of(chosen.all_proxy.get_secret_value())
        self._proxies = {
            "http": _proxy_of(chosen.http_proxy.get_secret_value()) or both,
            "https": _proxy_of(chosen.https_proxy.get_secret_value()) or both,
        }
        self._without = tuple(filter(None, re.split(r"[,\s]+", chosen.no_proxy.lower())))
        self.ca_file: Path | None = chosen.ca_file

    def proxy_for(self, url: str) -> Proxy | None:
        """Through which proxy an `http` or `https` address is reached; None: directly. An address
        that cannot be read is left for the one who connects to refuse.
        """
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            return None
        proxy = self._proxies.get(parts.scheme)
        if proxy is None or not host or is_loopback(host):
            return None
        port = port or _DEFAULT_PORTS[parts.scheme]
        return None if any(_covers(entry, host, port) for entry in self._without) else proxy

    def for_aiohttp(self, url: str) -> dict[str, Any]:
        """The arguments of a request of aiohttp."""
        proxy = self.proxy_for(url)
        if proxy is None:
            return {}
        return {"proxy": proxy.url, "proxy_headers": proxy.headers}

    def headers_for(self, url: str) -> dict[str, str]:
        """What a request of aiohttp in plain text carries for the proxy, which reads it; secret."""
        proxy = self.proxy_for(url)
        return proxy.headers if proxy is not None and url.startswith("http:") else {}

    def for_requests(self, url: str) -> dict[str, Any]:
        """The arguments of a request of requests, in a session that trusts no environment."""
        proxy = self.proxy_for(url)
        found: dict[str, Any] = {}
        if proxy is not None:
            found["proxies"] = {"http": proxy.secret_url, "https": proxy.secret_url}
        if self.ca_file is not None:
            found["verify"] = str(self.ca_file)
        return found

    def for_grpc(self, target: str, *, encrypted: bool) -> tuple[tuple[str, Any], ...]:
        """The options of a channel, whose own look at the environment they switch off."""
        proxy = self.proxy_for(f"{'https' if encrypted else 'http'}://{target}")
        if proxy is None:
            return (("grpc.enable_http_proxy", 0),)
        return (("grpc.enable_http_proxy", 1), ("grpc.http_proxy", proxy.secret_url))

    def root_certificates(self) -> bytes | None:
        """For gRPC; None: its own. Raises OSError."""
        return None if self.ca_file is None else self.ca_file.read_bytes()

    def ssl_context(self) -> ssl.SSLContext | None:
        """For aiohttp; None: its own. Raises OSError, of which SSLError is one."""
        return None if self.ca_file is None else _context_of(self.ca_file)


@lru_cache(maxsize=8)
def _context_of(ca_file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY means this host and port."""
    if entry == "*":
        return True
    name, wanted = _split(entry)
    if wanted is not None and wanted != port:
        return False
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(name, strict=False)
        except (ValueError, TypeError):
            return False
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split(entry: str) -> tuple[str, int | None]:
    """Host (or network) and port of an entry."""
    if entry.startswith("["):
        inside, _, after = entry[1:].partition("]")
        port = after.removeprefix(":")
        return inside, int(port) if port.isdecimal() else None
    name, found, port = entry.rpartition(":")
    if found and port.isdecimal() and ":" not in name:
        return name, int(port)
    return entry, None
