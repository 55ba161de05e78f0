"""What callers show, and the server's own key, show nowhere: right, wrong, revoked, malformed, in a
broken file, and with logs as text.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import grpc
import grpc.aio
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.secrets.verdicts import none_shows
from tests.server.access.stage import Authority, Caller, Provider, entry, jwks, tls

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.clock import SystemClock

if TYPE_CHECKING:
    from tests.secrets.conftest import Scene

LIST = "/smartconnectors.budgets.v1.BudgetService/ListBudgetStats"
PLACE = "/smartconnectors.google_ads.v1.GoogleAdsService/PlaceBid"


async def ask(scene: Scene, address: str, credentials: Any, metadata: tuple[Any, ...]) -> str:
    """A look and a malformed bid with what is shown; the code of the look."""
    async with Caller(address, credentials=credentials) as caller:
        caller.metadata = metadata
        code = "OK"
        for path, request in (
            (PLACE, ads_pb2.PlaceBidRequest()),
            (LIST, budgets_pb2.ListBudgetStatsRequest()),
        ):
            try:
                scene.heard.hear("answers", bytes(await caller.unary(path, request)))
            except grpc.aio.AioRpcError as error:
                scene.heard.hear("errors", f"{error}{error.trailing_metadata()}".encode())
                code = error.code().name if path == LIST else code
        return code


async def test_what_callers_show_is_told_to_nobody(scene: Scene) -> None:
    authority = Authority()
    issued = authority.issue("localhost")
    issued.write(scene.directory)
    (scene.directory / "ca.pem").write_bytes(authority.pem)
    provider = Provider(rsa.generate_private_key(65537, 2048), "RS256")
    jwks(scene.directory / "jwks.json", provider)
    now_s = SystemClock().wall_ns() / 1e9
    scene.secrets |= {
        "the server's key": issued.key.splitlines()[1].decode(),
        "a token": secrets.token_urlsafe(32),
        "a token that is not known": secrets.token_urlsafe(32),
        "a signed token": provider.sign(now_s, role="read"),
        "a signed token for others": provider.sign(now_s, role="read", aud="others"),
    }
    shown = scene.secrets
    tokens = scene.directory / "tokens.toml"
    tokens.write_text(entry(shown["a token"], "operate"))
    document = scene.document()
    document["server"]["tls"] = tls(scene.directory)
    document["access"] = {
        "tokens_file": str(tokens),
        "jwt": {
            "jwks_file": str(scene.directory / "jwks.json"),
            "issuer": Provider.ISSUER,
            "audience": Provider.AUDIENCE,
        },
    }
    config = str(scene.config("guarded", document))
    server, ready = await scene.start("serve", "--config", config, "--log-format", "json")
    address = f"localhost:{ready['grpc'].rpartition(':')[2]}"
    credentials = grpc.ssl_channel_credentials(authority.pem)
    codes = {
        name: await ask(scene, address, credentials, (("authorization", f"Bearer {shown[name]}"),))
        for name in shown
        if "token" in name and name[0] == "a" and " access " not in name
    }
    assert codes == {
        "a token": "OK",
        "a token that is not known": "UNAUTHENTICATED",
        "a signed token": "OK",
        "a signed token for others": "UNAUTHENTICATED",
    }
    bare = (("authorization", shown["a token"]), ("x-token", shown["a token"]))
    assert await ask(scene, address, credentials, bare) == "UNAUTHENTICATED"
    token_file = scene.directory / "mine.token"
    token_file.write_text(shown["a token"])
    ca = ("--tls-ca", str(scene.directory / "ca.pem"), "--target", address)
    for words in (("status",), ("audit", "--json"), ("pause", "--all", "--reason", "a look")):
        assert await scene.run(*words, *ca, "--token-file", str(token_file)) == 0
    assert await scene.run("status", *ca) != 0
    assert await scene.run("status", "--token-file", str(token_file), "--target", address) != 0
    with urlopen(f"http://{ready['http']}/metrics") as page:  # noqa: ASYNC210 - one look
        scene.heard.hear("metrics", page.read())
    await scene.stop(server)
    none_shows(scene)


async def test_files_of_callers_that_are_broken_are_not_quoted(scene: Scene) -> None:
    scene.secrets["a token"] = secrets.token_urlsafe(32)
    issued = Authority().issue("localhost")
    scene.secrets["the server's key"] = issued.key.splitlines()[1].decode()
    issued.write(scene.directory)
    token = scene.secrets["a token"]
    tokens, key = scene.directory / "tokens.toml", scene.directory / "server.key"
    document = scene.document()
    document["server"]["tls"] = tls(scene.directory)
    document["access"] = {"tokens_file": str(tokens)}
    config = str(scene.config("broken", document))
    for wrong in (
        f'[[tokens]]\nname = "a"\nhash = "{token}"\nrole = "bid"\n',
        f'[[tokens]]\nname = "a"\ntoken = "{token}"\nrole = "bid"\n',
        f'[[tokens]]\nname = "{token}\n',
        token,
    ):
        tokens.write_text(wrong)
        assert await scene.run("check-config", "--config", config) != 0, wrong
    tokens.write_text(entry(token))
    assert await scene.run("check-config", "--config", config) == 0
    key.write_bytes(issued.key[:120])
    assert await scene.run("check-config", "--config", config) != 0
    assert await scene.run_apart("serve", "--config", config) != 0
    none_shows(scene)
