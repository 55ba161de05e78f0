"""`make soak`: an ordinary load with everything that goes wrong, for as long as you like.

A real server between a real load and the platforms' sandboxes. Its memory is watched from outside;
what was sent is compared with what the platforms' journals say was applied.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import grpc.aio
from tests.soak.processes import ROOT, SoakError
from tests.soak.report import document_of, show
from tests.soak.run import Outcome, Plan, soak

EXIT_FAILED = 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make soak MINUTES=N ARGS=...", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of load; default 10")
    parser.add_argument(
        "--bids-per-s", type=float, default=60.0, help="unary bids; others come on top; default 60"
    )
    parser.add_argument("--seed", type=int, default=1, help="of what callers do; default 1")
    parser.add_argument("--json", action="store_true", help="print JSON, one document")
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=ROOT / "build",
        help="where ledger and logs are while it runs; build/",
    )
    parser.add_argument("--keep", action="store_true", help="do not remove them afterwards")
    chosen = parser.parse_args(argv)
    if not chosen.minutes > 0 or not chosen.bids_per_s > 0:
        parser.error("--minutes and --bids-per-s must be positive")
    return chosen


async def _run(plan: Plan, scratch: Path, outcomes: list[Outcome]) -> None:
    task = asyncio.ensure_future(soak(plan, scratch, outcomes.append))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main(argv: Sequence[str] | None = None) -> int:
    """Runs it; 1 when memory grew, when anything was lost, doubled or overshot, or when it could
    not run to its end.
    """
    chosen = _arguments(argv)
    plan = Plan(chosen.minutes, chosen.bids_per_s, chosen.seed)
    chosen.state_dir.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    ended_by = ""
    scratch = Path(tempfile.mkdtemp(prefix="soak-", dir=chosen.state_dir))
    try:
        asyncio.run(_run(plan, scratch, outcomes))
    except (SoakError, OSError, TimeoutError, grpc.aio.AioRpcError) as error:
        ended_by = f"{type(error).__name__}: {error}"
    finally:
        if chosen.keep:
            sys.stderr.write(f"kept: {scratch}\n")
        else:
            shutil.rmtree(scratch)
    for outcome in outcomes:
        if chosen.json:
            sys.stdout.write(json.dumps(document_of(outcome), indent=2) + "\n")
        else:
            show(outcome)
    if ended_by:
        sys.stderr.write(f"ended early by {ended_by}\n")
    good = outcomes and outcomes[0].complete and not outcomes[0].failures
    return 0 if good else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
