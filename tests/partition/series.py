"""Many runs, several at once: most of a run is waiting."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.mutation.run import ROOT
from tests.partition.cure import code_without_cure
from tests.partition.plan import Plan, Result

TRIES = 3
"""How often a run is played that says nothing: its request was quicker than the cut."""
LONGEST_S = 400.0


async def play_all(plans: Iterable[Plan], lanes: int, told: Callable[[Result], None]) -> None:
    """Plays every plan; `told` of each result."""
    left = iter(plans)
    with tempfile.TemporaryDirectory(prefix="partition-") as directory:
        base = Path(directory)
        bare = code_without_cure(base / "without-cure")

        async def lane() -> None:
            for plan in left:
                code = ROOT / "server" if plan.cured else bare
                told(await _play(plan, base, code))

        await asyncio.gather(*(lane() for _ in range(lanes)))


async def _play(plan: Plan, base: Path, code: Path) -> Result:
    result = Result(plan)
    for _ in range(TRIES):
        with tempfile.TemporaryDirectory(dir=base) as directory:
            result = await _play_once(plan, directory, code)
        if not result.failed:
            break
    return result


async def _play_once(plan: Plan, directory: str, code: Path) -> Result:
    words = (json.dumps(dataclasses.asdict(plan)), directory, str(code))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.partition.inside", *words),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LONGEST_S):
            out, errors = await process.communicate()
    except TimeoutError:
        return Result(plan, failed="it hangs")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode:
        return Result(plan, failed=errors.decode()[-2000:])
    document = json.loads(out)
    document["plan"] = Plan(**document["plan"])
    return Result(**document)
