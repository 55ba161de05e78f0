"""The ledger's files: any byte of them changed, any part of them gone.

A start refuses with a message, or serves what a ledger serves; never a traceback.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st
from tests.fuzz.promises import logs

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import (
    Budget,
    HoldState,
    LedgerError,
    Limit,
    Reservation,
    SlidingWindow,
)
from smartconnectors_server.ledger.sqlite import SqliteLedger

USD = 1_000_000
BUDGETS = (Budget("meta", "USD", (Limit(100 * USD, SlidingWindow(600)),)),)


@dataclass(frozen=True)
class Damage:
    """One thing done to one file."""

    file: int
    kind: str
    """`flip`, `zero` (a stretch of it), `cut`, `write` or `remove`."""
    at_permille: int
    value: bytes = b""


@dataclass(frozen=True)
class Case:
    """What is done before a start."""

    damages: tuple[Damage, ...]


CASES = st.builds(
    Case,
    damages=st.lists(
        st.builds(
            Damage,
            file=st.integers(0, 3),
            kind=st.sampled_from(["flip"] * 4 + ["zero", "cut", "write", "remove"]),
            at_permille=st.integers(0, 999_999),
            value=st.binary(min_size=1, max_size=8),
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
)


def reservation(number: int) -> Reservation:
    """A bid of a dollar."""
    return Reservation(
        platform="meta",
        request_id=f"bid-{number}",
        fingerprint="f",
        method="/m",
        target=f"campaigns/{number}",
        budget_ids=("meta",),
        amount_micros=USD,
        currency_code="USD",
        source="ai",
        request=b"",
        before="",
        ltv_micros=USD,
        ai_bid_micros=USD,
        uncapped_micros=0,
    )


async def sound_files() -> Mapping[str, bytes]:
    """A ledger in which something of everything has happened, as it lies on the disk."""
    with tempfile.TemporaryDirectory() as directory:
        ledger = SqliteLedger(Path(directory), ManualClock())
        await ledger.open(BUDGETS)
        holds = [await ledger.reserve(reservation(number)) for number in range(8)]
        for hold in holds[:3]:
            await ledger.settle(hold.hold_id, answer=b"answer", note="")
        await ledger.release(holds[3].hold_id, HoldState.RELEASED, note="not sent")
        await ledger.release(holds[4].hold_id, HoldState.REJECTED, error="{}", note="refused")
        await ledger.doubt(holds[5].hold_id, note="who knows")
        await ledger.set_limit("meta", 90 * USD, "less")
        await ledger.close()
        return _files_in(directory)


def _files_in(directory: str) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(directory).iterdir())}


def damaged(content: bytes, damage: Damage) -> bytes:
    """The file's content after it."""
    at = damage.at_permille * len(content) // 1_000_000
    match damage.kind:
        case "flip":
            return (
                content[:at]
                + bytes(b ^ damage.value[0] for b in content[at : at + 1])
                + (content[at + 1 :])
            )
        case "zero":
            end = min(len(content), at + 512)
            return content[:at] + bytes(end - at) + content[end:]
        case "cut":
            return content[:at]
        case _:
            return content[:at] + damage.value + content[at + len(damage.value) :]


class Disk:
    """A sound ledger's files, and starts on damaged copies of them."""

    def __init__(self, sound: Mapping[str, bytes]) -> None:
        self._sound = sound

    async def start(self, case: Case) -> None:
        """Starts, uses what started, and stops."""
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            for file, content in self._sound.items():
                (directory / file).write_bytes(content)
            self._damage(directory, case)
            with logs():
                await self._use(SqliteLedger(directory, ManualClock()))

    def _damage(self, directory: Path, case: Case) -> None:
        files = sorted(self._sound)
        for damage in case.damages:
            path = directory / files[damage.file % len(files)]
            if damage.kind == "remove":
                path.unlink(missing_ok=True)
            elif path.exists():
                path.write_bytes(damaged(path.read_bytes(), damage))

    async def _use(self, ledger: SqliteLedger) -> None:
        try:
            await ledger.open(BUDGETS)
        except (LedgerError, OSError) as error:
            _check_said(error)
            return
        try:
            await self._serve(ledger)
        finally:
            await ledger.close()

    async def _serve(self, ledger: SqliteLedger) -> None:
        state = ledger.state("meta")
        for micros in (state.held_micros, state.deferred_micros, state.in_doubt_micros):
            assert 0 <= micros <= 2**63
        try:
            await ledger.entries(size=100)
            hold = await ledger.reserve(reservation(1000))
            await ledger.settle(hold.hold_id, answer=b"", note="")
        except LedgerError as error:
            _check_said(error)


def _check_said(error: Exception) -> None:
    """There is a message that can be shown."""
    assert str(error).strip(), repr(error)
    str(error).encode()


@contextmanager
def open_ledger_files() -> Iterator[Callable[[Case], None]]:
    """`fuzz_ledger_files`, with a sound ledger to damage."""
    with asyncio.Runner() as runner:
        disk = Disk(runner.run(sound_files()))

        def fuzz_ledger_files(case: Case) -> None:
            runner.run(disk.start(case))

        yield fuzz_ledger_files
