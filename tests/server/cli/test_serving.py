"""`serve`, `sandbox` and `--help` as processes: what they say, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartconnectors.budgets.v1.budget_service_pb2 import ListBudgetStatsRequest
from smartconnectors.client import Client
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from tests.server.cli.conftest import Cli

PATIENCE_S = 120.0
"""A machine that is busy with something else is not a failure of ours."""

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


def clean_environment() -> dict[str, str]:
    """This process's environment without accounts and budgets."""
    unwanted = {
        name
        for platform in PLATFORMS.values()
        for name in (*platform.environment, platform.budget_variable, platform.endpoint_variable)
    }
    return {name: value for name, value in os.environ.items() if name not in unwanted}


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts `smart-connectors ARGUMENTS` in an empty folder; kills what is left at the end."""
    started: list[asyncio.subprocess.Process] = []

    async def begun(*arguments: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "smartconnectors_server", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env=clean_environment(),
        )
        started.append(process)
        return process

    yield begun
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
def no_pause(tmp_path: Path) -> str:
    """A settings file for a server that no load balancer needs to notice going."""
    path = tmp_path / "no-pause.toml"
    path.write_text("[server]\ndrain_pause_s = 0\n")
    return str(path)


async def first_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        return (await process.stdout.readline()).decode()


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_serve_says_once_where_it_listens_and_ends_cleanly_on_sigterm(
    start: Start, no_pause: str, tmp_path: Path
) -> None:
    process = await start("serve", "--grpc-port", "0", "--http-port", "0", "--config", no_pause)
    line = await first_line(process)
    platforms = ", ".join(f"{name}=sandbox" for name in PLATFORMS)
    said = re.fullmatch(
        rf"smart-connectors ready: gRPC (127\.0\.0\.1:\d+), HTTP 127\.0\.0\.1:\d+, {platforms}, "
        r"ledger state/\n",
        line,
    )
    assert said is not None, line
    async with Client(said[1]) as client:
        answer = await client.budgets.ListBudgetStats(ListBudgetStatsRequest(), timeout=PATIENCE_S)
    assert [stats.budget_id for stats in answer.stats] == sorted(PLATFORMS)
    process.send_signal(signal.SIGTERM)
    exit_code, out, err = await ended(process)
    assert (exit_code, out) == (0, ""), err
    assert "Traceback" not in err
    assert (tmp_path / "state").is_dir()


async def test_serve_says_it_in_json_when_the_log_is_json(start: Start, no_pause: str) -> None:
    arguments = (
        "--grpc-port",
        "0",
        "--http-port",
        "0",
        "--config",
        no_pause,
        "--state-dir",
        "money",
    )
    process = await start("serve", *arguments, "--log-format", "json")
    ready = json.loads(await first_line(process))
    assert ready["event"] == "ready"
    assert ready["platforms"] == dict.fromkeys(PLATFORMS, "sandbox")
    assert ready["state_dir"] == "money"
    process.send_signal(signal.SIGINT)
    exit_code, _, err = await ended(process)
    assert exit_code == 0, err
    for line in err.splitlines():
        json.loads(line)


async def test_a_second_server_on_the_same_state_is_refused_and_told_who_holds_it(
    start: Start, no_pause: str
) -> None:
    first = await start("serve", "--grpc-port", "0", "--http-port", "0", "--config", no_pause)
    await first_line(first)
    exit_code, out, err = await ended(await start("serve", "--grpc-port", "0", "--http-port", "0"))
    assert exit_code == 1
    assert out == ""
    assert err.startswith("Cannot start: ")
    assert str(first.pid) in err
    assert "Traceback" not in err


async def test_a_state_directory_of_a_sandbox_is_live_only_when_that_is_adopted(
    start: Start, tmp_path: Path
) -> None:
    def settings(mode: str) -> str:
        path = tmp_path / f"{mode}.toml"
        path.write_text(
            "[server]\ndrain_pause_s = 0\ngrpc_port = 0\n[http]\nport = 0\n"
            f'[platforms.meta]\nmode = "{mode}"\nendpoint = "http://127.0.0.1:9"\n'
        )
        return str(path)

    async def stopped(process: asyncio.subprocess.Process) -> str:
        assert "ready" in await first_line(process)
        process.send_signal(signal.SIGTERM)
        code, _, err = await ended(process)
        assert code == 0, err
        return err

    await stopped(await start("serve", "--config", settings("sandbox")))
    code, out, err = await ended(await start("serve", "--config", settings("live")))
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("Cannot start: meta: this state directory belongs to ")
    assert "mode sandbox, now live" in err
    assert "serve --adopt meta" in err
    await stopped(await start("serve", "--config", settings("live"), "--adopt", "meta"))
    again = await stopped(await start("serve", "--config", settings("live"), "--adopt", "all"))
    assert "there is nothing to adopt" in again


def test_only_a_platform_that_there_is_can_be_adopted(cli: Cli) -> None:
    ended = cli("serve", "--adopt", "google-ads")
    assert ended.exit_code == 2
    assert "--adopt: no platform is called google-ads; there are: google_ads, meta" in ended.err


async def test_a_port_that_is_taken_is_named(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        exit_code, _, err = await ended(await start("serve", "--grpc-port", port))
    assert exit_code == 1
    assert port in err
    assert "Traceback" not in err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "ads.example"])
def test_an_address_that_others_can_reach_needs_an_explicit_insecure(cli: Cli, host: str) -> None:
    ended = cli("serve", "--host", host)
    assert ended.exit_code == 2
    assert "--insecure" in ended.err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "ads.example"])
def test_http_that_others_can_reach_needs_an_explicit_insecure(cli: Cli, host: str) -> None:
    ended = cli("serve", "--http-host", host)
    assert ended.exit_code == 2
    assert "http.insecure" in ended.err


def test_settings_that_are_wrong_start_nothing(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[server]\nport = 1\n")
    ended = cli("serve", "--config", str(path), "--state-dir", str(tmp_path / "state"))
    assert ended.exit_code == 2
    assert "server.port: unknown key" in ended.err
    assert not (tmp_path / "state").exists()


async def test_sandbox_says_where_each_platform_is_and_what_points_the_server_there(
    start: Start,
) -> None:
    process = await start("sandbox")
    addresses = json.loads(await first_line(process))
    assert set(addresses["platforms"]) == set(PLATFORMS)
    for name, platform in PLATFORMS.items():
        one = addresses["platforms"][name]
        assert one["variable"] == platform.endpoint_variable
        host, _, port = one["endpoint"].rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        await writer.wait_closed()
        journal = f"{addresses['control']}/control/{name}/journal"
        assert await asyncio.to_thread(fetched, journal) == []
    process.send_signal(signal.SIGTERM)
    exit_code, out, err = await ended(process)
    assert (exit_code, out, err) == (0, "", "")


def fetched(address: str) -> object:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def test_help_imports_nothing_that_is_slow() -> None:
    program = (
        "import sys\n"
        "from smartconnectors_server.cli import run\n"
        "assert run(['--help']) == 0\n"
        "slow = {'grpc', 'google.protobuf', 'google.ads', 'pydantic', 'aiohttp', 'uvloop'}\n"
        "sys.exit(', '.join(sorted(slow & set(sys.modules))) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for command in ("serve", "demo", "sandbox", "init", "check-config", "bid", "watch", "holds"):
        assert command in done.stdout


def test_no_library_of_a_platform_is_imported_to_start_a_server() -> None:
    program = (
        "import sys\n"
        "import smartconnectors_server.serving\n"
        "slow = ('google.ads', 'google.auth', 'google.api_core')\n"
        "sys.exit(', '.join(n for n in sorted(sys.modules) if n.startswith(slow)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", ["serve", "demo", "sandbox", "init", "check-config", "bid", "status", "watch"]
)
def test_every_command_explains_itself(cli: Cli, command: str) -> None:
    ended = cli(command, "--help")
    assert ended.exit_code == 0
    assert "Usage: smart-connectors" in ended.out
