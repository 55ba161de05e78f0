"""The image: what it does when nothing is said, who may run it, and what it writes. There is no
Docker here, so its file is read, and what it starts is started as it would be.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.server.access.stage import Authority

from smartconnectors_server.assembly import load_settings
from smartconnectors_server.settings import ServerSettings
from smartconnectors_server.startup import hint_in_container, is_loopback

ROOT = Path(__file__).parents[2]
PACKAGES = (str(ROOT / "server"), str(ROOT / "clients/python"))
PATIENCE_S = 60.0


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the last stage."""
    text = re.sub(r"\\\n", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = [(line.split()[0], line.partition(" ")[2].strip()) for line in lines]
    last = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    return found[last:]


def only(name: str) -> str:
    (value,) = [arguments for each, arguments in instructions() if each == name]
    return value


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(only("ENV")))


def image_settings(environment: Mapping[str, str]) -> Any:
    """What `serve` starts with in the image, with this set beside what the image sets."""
    return load_settings(None, {**image_environment(), **environment})


def test_the_image_listens_inside_the_container_alone_until_it_is_told_otherwise() -> None:
    command = json.loads(only("CMD"))
    assert command[0] == "serve"
    assert not {"--host", "--http-host", "--insecure"} & set(command)
    settings = image_settings({})
    assert is_loopback(settings.server.host)
    assert is_loopback(settings.http.host)
    assert not settings.server.insecure


def test_the_image_listens_everywhere_when_it_is_told_to() -> None:
    settings = image_settings(
        {
            "SMART_CONNECTORS_HOST": "0.0.0.0",
            "SMART_CONNECTORS_HTTP_HOST": "0.0.0.0",
            "SMART_CONNECTORS_INSECURE": "true\n",
        }
    )
    assert (settings.server.host, settings.http.host) == ("0.0.0.0", "0.0.0.0")
    assert settings.server.insecure


def test_the_image_keeps_its_ledger_in_the_volume_whatever_the_command() -> None:
    assert str(image_settings({}).server.state_dir) == only("VOLUME") == "/state"


def install_mode() -> tuple[int, int, int]:
    """(owner, group, mode) of /state."""
    made = re.search(
        r"install --directory --owner=(\d+) --group=(\d+) --mode=(\d+) /state", only("RUN")
    )
    assert made is not None
    return int(made[1]), int(made[2]), int(made[3], 8)


def test_the_volume_is_for_the_image_s_user_and_group_0_and_for_nobody_else() -> None:
    owner, group, mode = install_mode()
    assert (group, mode) == (0, 0o770)
    assert only("USER") == f"{owner}:0"


def test_the_example_for_compose_gives_only_variables_that_there_are() -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    given = {
        name: str(value) for name, value in compose["services"]["server"]["environment"].items()
    }
    assert given.pop("SMART_CONNECTORS_CONFIG")
    settings = image_settings(given)
    assert settings.server.host == "0.0.0.0"
    assert not settings.server.insecure, "it has TLS"
    for name in given:
        without = {each: value for each, value in given.items() if each != name}
        assert image_settings(without) != settings, f"{name} does nothing"


@pytest.mark.parametrize(("host", "said"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_in_a_container_the_log_says_why_a_published_port_does_not_answer(
    caplog: pytest.LogCaptureFixture, host: str, said: bool
) -> None:
    settings = load_settings(None, {}, {"server": {"host": host}})
    with caplog.at_level("INFO"):
        hint_in_container(settings, in_container=False)
        assert caplog.text == ""
        hint_in_container(settings, in_container=True)
    assert ("SMART_CONNECTORS_HOST=0.0.0.0" in caplog.text) is said


def test_the_default_host_of_the_settings_is_loopback() -> None:
    assert is_loopback(ServerSettings().host)


# Processes

Begin = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    """Starts `smart-connectors ARGUMENTS` with an environment of its own, under `prefix`."""
    started: list[asyncio.subprocess.Process] = []

    async def begun(
        *arguments: str, prefix: tuple[str, ...] = (), cwd: Path | None = None
    ) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(*prefix, sys.executable, "-m", "smartconnectors_server", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd or tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(PACKAGES)},
        )
        started.append(process)
        return process

    yield begun
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        line = await process.stdout.readline()
        if not line:
            pytest.fail((await process.stderr.read()).decode())
    return dict(json.loads(line))


async def stopped(process: asyncio.subprocess.Process) -> str:
    """What it wrote to standard error until it had ended."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


SERVE = ("serve", "--grpc-port", "0", "--http-port", "0", "--log-format", "json")


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None,
    reason="only root may own files for others and give up rights, by setpriv",
)
async def test_whoever_has_group_0_and_no_more_can_keep_a_ledger_in_the_volume(
    begin: Begin, tmp_path: Path
) -> None:
    """Root without the right to pass by permissions has group 0, and owns neither directory: what
    an arbitrary user id of group 0 may do there, it may do, and still read this checkout.
    """
    rights = "-dac_override,-dac_read_search,-fowner,-chown"
    become = ("setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", "--")
    owner, group, mode = install_mode()
    state, closed = tmp_path / "state", tmp_path / "closed"
    for directory, its_group, its_mode in ((state, group, mode), (closed, owner, 0o700)):
        directory.mkdir()
        os.chown(directory, owner, its_group)
        directory.chmod(its_mode)
    for _ in range(2):
        process = await begin(*SERVE, "--state-dir", str(state), prefix=become)
        await ready(process)
        await stopped(process)
    assert {path.name for path in state.iterdir()} >= {"ledger.sqlite3", "site.key"}

    refused = await begin(*SERVE, "--state-dir", str(closed), prefix=become)
    async with asyncio.timeout(PATIENCE_S):
        _, said = await refused.communicate()
    assert refused.returncode != 0
    assert b"Traceback" not in said


async def test_nothing_but_json_is_written_when_the_log_is_json(
    begin: Begin, tmp_path: Path
) -> None:
    """gRPC's core says handshakes that fail on standard error, in a format of its own."""
    issued = Authority().issue("localhost")
    issued.write(tmp_path)
    process = await begin(
        *SERVE,
        *("--tls-cert", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.key")),
    )
    host, _, port = (await ready(process))["grpc"].rpartition(":")
    for greeting in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 64):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(greeting)
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
        writer.close()
    stranger = ssl.create_default_context()
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(host, int(port), ssl=stranger, server_hostname="localhost")
    for line in (await stopped(process)).splitlines():
        assert isinstance(json.loads(line), dict), line


async def test_a_start_that_is_refused_is_said_in_json_when_the_log_is_json(
    begin: Begin, tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_text('[privacy]\nsite_key_file = "none"\n')
    process = await begin(*SERVE, "--config", "settings.toml")
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert process.returncode == 1
    assert out == b""
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert events[-1].startswith("Cannot start: the site key none")


def test_grpc_says_what_it_has_to_when_the_environment_asks_for_it() -> None:
    code = (
        "import os; from smartconnectors_server.startup import silence_grpc; silence_grpc(); "
        "print(os.environ['GRPC_VERBOSITY'])"
    )
    said = {
        asked: subprocess.run(
            [sys.executable, "-c", code],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(PACKAGES),
                **({"GRPC_VERBOSITY": asked} if asked else {}),
            },
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for asked in ("", "DEBUG")
    }
    assert said == {"": "NONE", "DEBUG": "DEBUG"}


def test_a_thread_that_fails_and_a_warning_are_said_in_the_log() -> None:
    code = """
import threading, warnings
from smartconnectors_server.startup import log_what_would_be_raw
from smartconnectors_server.telemetry import configure_logging
configure_logging("json")
log_what_would_be_raw()
warnings.warn("look out")
failing = threading.Thread(target=lambda: 1 / 0, name="worker")
failing.start()
failing.join()
"""
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(PACKAGES)},
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert "look out" in events[0]
    assert events[1] == "worker failed"
