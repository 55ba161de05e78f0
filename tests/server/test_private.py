"""Files of a state directory: for the user that runs the server, whatever the umask is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import USD, budget, commit

from smartconnectors_server.alerts.cursor import Cursor
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.customers import Customers
from smartconnectors_server.ledger.sqlite import SqliteLedger


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=lambda mask: f"umask {mask:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def rights(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def rights_inside(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): rights(path) for path in directory.rglob("*")}


def open_to_all(directory: Path) -> None:
    """As a copy may be, and with what a server that was killed leaves there."""
    for left in ("-wal", "-shm"):
        (directory / f"ledger.sqlite3{left}").touch()
    for path in directory.iterdir():
        path.chmod(0o755 if path.is_dir() else 0o666)


async def rights_of_files(
    directory: Path, clock: ManualClock, request_id: str = "a"
) -> dict[str, str]:
    """Runs what writes to a state directory, and looks while it is open."""
    ledger = SqliteLedger(directory, clock)
    await ledger.open([budget()])
    await commit(ledger, request_id, USD)
    await ledger.flush()
    Customers(None, directory).open()
    Cursor(directory / "alerts", "log").write(1)
    found = rights_inside(directory)
    await ledger.close()
    return found


FILES = (
    "alerts/log.cursor",
    "ledger.lock",
    "ledger.mark",
    "ledger.sqlite3",
    "ledger.sqlite3-shm",
    "ledger.sqlite3-wal",
    "site.key",
)


@pytest.mark.usefixtures("umask")
async def test_a_state_directory_that_the_server_makes_is_its_owners_alone(
    tmp_path: Path, clock: ManualClock
) -> None:
    state = tmp_path / "var" / "state"
    found = await rights_of_files(state, clock)
    assert rights(state) == "0700"
    assert found.pop("alerts") == "0700"
    assert found == dict.fromkeys(FILES, "0600")


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(
    ("mode", "inside", "of_files"), [(0o755, "0700", "0600"), (0o770, "0770", "0660")]
)
async def test_a_directory_that_was_there_keeps_its_rights_and_its_group_may_go_on(
    tmp_path: Path, clock: ManualClock, mode: int, inside: str, of_files: str
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(mode)
    found = await rights_of_files(state, clock)
    assert rights(state) == f"{mode:04o}"
    assert found.pop("alerts") == inside
    assert found == dict.fromkeys(FILES, of_files)


async def test_files_that_others_could_read_are_closed_to_them_at_the_next_start(
    tmp_path: Path, clock: ManualClock
) -> None:
    await rights_of_files(tmp_path, clock)
    open_to_all(tmp_path)
    found = await rights_of_files(tmp_path, clock, "b")
    found.pop("alerts")
    assert found == dict.fromkeys(FILES, "0600")
