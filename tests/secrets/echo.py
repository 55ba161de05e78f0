"""Every platform's real address, on this machine: refuses everybody, and repeats in its refusal all
that it was sent. With it the worst that a platform could do to its callers' secrets.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import ipaddress
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import grpc
import grpc.aio
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

OAUTH_HOST = "oauth2.googleapis.com"
GOOGLE_HOST = "googleads.googleapis.com"
META_HOST = "graph.facebook.com"
_GOOGLES_HEADERS = ("authorization", "developer-token", "login-customer-id")
NAMES = (OAUTH_HOST, GOOGLE_HOST, META_HOST, "*.thetradedesk.com", "localhost")


class Echo:
    """The platforms. `tokens`: once true, those who log in are given one, and refused with it.

    Attributes:
        heard: everything that anybody sent, to prove that the secrets were there.
    """

    def __init__(self, directory: Path, google_token: str, trade_desk_token: str) -> None:
        self.heard = bytearray()
        self.tokens = False
        self.authority = directory / "authority.pem"
        self._pair = directory / "pair.pem"
        self._google_token, self._trade_desk_token = google_token, trade_desk_token
        self._runner: web.AppRunner | None = None
        self._ads: grpc.aio.Server | None = None
        self._proxy: asyncio.Server | None = None
        self.https_port = self.proxy_port = self._ads_port = 0

    async def start(self) -> None:
        key, certificate = _certificate()
        self._pair.write_bytes(key + certificate)
        self.authority.write_bytes(certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pair)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.https_port = self._runner.addresses[0][1]
        self._ads = grpc.aio.server()
        self._ads.add_generic_rpc_handlers((_Refusing(self.heard),))
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        self._ads_port = self._ads.add_secure_port("127.0.0.1:0", credentials)
        await self._ads.start()
        self._proxy = await asyncio.start_server(self._tunnel, "127.0.0.1", 0)
        self.proxy_port = self._proxy.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
        if self._ads is not None:
            await self._ads.stop(None)
        if self._runner is not None:
            await self._runner.cleanup()

    def environment(self) -> dict[str, str]:
        """What makes the libraries come here and trust what they find."""
        authority = str(self.authority)
        return {
            "https_proxy": f"http://127.0.0.1:{self.proxy_port}",
            "no_proxy": "127.0.0.1,localhost",
            "SSL_CERT_FILE": authority,
            "REQUESTS_CA_BUNDLE": authority,
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": authority,
        }

    async def _answer(self, request: web.Request) -> web.Response:
        """By whose address it is: an OAuth error, or an error of Meta's or The Trade Desk's."""
        head = json.dumps([request.path_qs, *request.headers.items()])
        body = (await request.read()).decode()
        self.heard += f"{request.host}\n{head}\n{body}\n".encode()
        said = repeated(f"{head} {body}")
        if request.host.startswith(OAUTH_HOST):
            if self.tokens:
                token = {"access_token": self._google_token, "expires_in": 3600}
                return web.json_response({**token, "token_type": "Bearer"})
            error = {"error": "invalid_grant", "error_description": said}
            return web.json_response(error, status=400)
        if request.host.startswith(META_HOST):
            meta = {"message": said, "type": said, "code": 190, "fbtrace_id": said}
            return web.json_response(
                {"error": {**meta, "error_user_title": said, "error_user_msg": said}}, status=401
            )
        if self.tokens and request.path.endswith("/authentication"):
            return web.json_response({"Token": self._trade_desk_token})
        errors = [{"Property": said, "Reasons": [said]}]
        return web.json_response({"Message": said, "ErrorDetails": errors}, status=403)

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """An HTTP proxy's CONNECT, by the name that is asked for."""
        head = await reader.readuntil(b"\r\n\r\n")
        port = self._ads_port if GOOGLE_HOST.encode() in head else self.https_port
        there_reader, there = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_copy(reader, there), _copy(there_reader, writer))


def repeated(text: str) -> str:
    """The text as it is, as URLs have it, and in base64, as a whole and from each word on."""
    words = "".join(base64.b64encode(word.encode()).decode() + " " for word in text.split())
    whole = base64.urlsafe_b64encode(text.encode()).decode()
    return f"{text} {quote(text, safe='')} {quote_plus(text)} {whole} {words}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass  # one side is gone; so is the other, now
    writer.close()


class _Refusing(grpc.GenericRpcHandler):
    """Google Ads, whatever the method."""

    def __init__(self, heard: bytearray) -> None:
        self._heard = heard

    def service(self, details: Any) -> grpc.RpcMethodHandler[Any, Any]:
        asked = {key: str(value) for key, value in details.invocation_metadata}
        self._heard += f"{GOOGLE_HOST}\n{json.dumps(asked)}\n".encode()
        # Without the headers of grpc itself: a message has room for 8 KiB.
        said = repeated(" ".join(asked.get(key, "") for key in _GOOGLES_HEADERS))

        async def refuse(request: bytes, context: Any) -> Any:
            context.set_trailing_metadata((("request-id", asked.get("authorization", "")),))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, said)

        async def refuse_stream(request: bytes, context: Any) -> Any:
            await refuse(request, context)
            yield b""

        if details.method.endswith("Stream"):
            return grpc.unary_stream_rpc_method_handler(refuse_stream)
        return grpc.unary_unary_rpc_method_handler(refuse)


def _certificate() -> tuple[bytes, bytes]:
    """A key and a certificate that vouches for itself, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "echo")])
    now = dt.datetime.now(dt.UTC)
    names = [*(x509.DNSName(each) for each in NAMES)]
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([*names, address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)
