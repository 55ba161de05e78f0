"""HAProxy and nginx in front of two servers, set up by the files in `deploy/`.

Only addresses, the folder of certificates and the name in them are put in, so that what is tried is
what stands there.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.clients.authority import Files
from tests.interop.processes import Daemon, Failed, Server, free_ports

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
LISTENS_WITHIN_S = 60.0
_SERVERS = ("10.0.0.1", "10.0.0.2")
_NAME = "smart-connectors.internal"
_FOLDER = "/etc/smart-connectors/"
# What nginx.conf is included in, for one who may be anybody and writes into one folder only.
_AROUND_NGINX = """
daemon off;
pid {folder}/nginx.pid;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/smart-connectors.conf;
}}
"""


def put_in(text: str, *, port: int, servers: Sequence[tuple[str, str]], folder: Path) -> str:
    """A file of `deploy/` for this machine. `servers`: gRPC and HTTP address of each.

    Raises Failed: there is something that the file does not have.
    """
    for address, (grpc, http) in zip(_SERVERS, servers, strict=True):
        line = re.compile(rf"(?P<server>server .*){re.escape(address)}:50051(?P<rest>.*)")
        if len(line.findall(text)) != 1:
            raise Failed(f"the file does not have one server at {address}:50051")
        http_port = http.rpartition(":")[2]
        text = line.sub(
            lambda found, grpc=grpc, http_port=http_port: (  # type: ignore[misc]
                found["server"] + grpc + found["rest"].replace("port 8080", f"port {http_port}")
            ),
            text,
        )
    for known, ours in (
        (r"(bind|listen)( +[^\n]*?):?\b443\b", rf"\g<1> 127.0.0.1:{port}"),
        (re.escape(_NAME), "localhost"),
        (re.escape(_FOLDER), f"{folder}/"),
    ):
        text, times = re.subn(known, ours, text)
        if not times:
            raise Failed(f"the file does not have {known}")
    return text


def write_proxys_certificate(tls: Files, folder: Path) -> None:
    """As the files in `deploy/` name them: for HAProxy the certificate and its key are one file."""
    (folder / "proxy.pem").write_bytes(tls.certificate.read_bytes() + tls.key.read_bytes())
    (folder / "proxy.key").write_bytes(tls.key.read_bytes())


def program_of(name: str) -> str:
    """Where it is; empty when it is not installed. Debian puts it where only root's PATH leads."""
    folders = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"]
    return shutil.which(name, path=os.pathsep.join(folders)) or ""


class Proxy(Daemon):
    """One of them.

    Attributes:
        address: where it listens.
    """

    def __init__(self, name: str, folder: Path, servers: Sequence[Server]) -> None:
        """`folder` has the certificates."""
        program = program_of(name)
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        source = next(DEPLOY.glob(f"{name}.c*"))
        addresses = [(server.grpc, server.http) for server in servers]
        ours = put_in(source.read_text(), port=port, servers=addresses, folder=folder)
        if name == "haproxy":
            config = folder / "haproxy.cfg"
            config.write_text(ours)
            command = [program, "-db", "-f", str(config)]
        else:
            config = folder / "nginx.conf"
            (folder / "smart-connectors.conf").write_text(ours)
            config.write_text(_AROUND_NGINX.format(folder=folder))
            command = [program, "-e", "stderr", "-p", str(folder), "-c", str(config)]
        super().__init__(command, folder / f"{name}.log")

    async def listen(self) -> None:
        """Starts it, and returns when it takes connections. Raises Failed."""
        await self.start(says_ready=False)
        host, _, port = self.address.partition(":")
        try:
            async with asyncio.timeout(LISTENS_WITHIN_S):
                while self.running:
                    try:
                        _, writer = await asyncio.open_connection(host, int(port))
                    except OSError:
                        await asyncio.sleep(0.05)
                    else:
                        writer.close()
                        return
        except TimeoutError:
            await self.stop()
        raise Failed(f"it does not listen:\n{self.last_words()}")
