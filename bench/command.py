"""What the safety chain costs: servers side by side in one run, figures as ratios to a bare echo.

Every variant is a process of its own on uvloop, pinned to the first core; h2load, on the second,
sends real gRPC over HTTP/2. They take turns, round by round, because a machine's speed drifts by
more than what is to be seen. A ratio is the median over the rounds of (variant / echo in the same
round); the other figures are medians too.

Baseline, `echo`: grpc.aio without anything: parses the bid, answers with an answer of the same
size. `chain`: the server as it is, every interceptor, SQLite with synchronous FULL, a log line for
each bid, before a platform that accepts at once. `chain-observed`: the same, its metrics scraped
each second and 1 % of its calls traced to an OTLP collector; `chain-unobserved`: without metrics
and traces. These two are one process that is switched, because two differ by more than what is to
be seen. How each call gets a request id of its own: `bench/messages.py`.

What observing costs is told twice, in processor time: as the sum of what it adds to a call, each
part measured alone, and as the difference between turns beside each other, with the margin that the
turns leave. Either has to leave 97 % of a call's speed; where the margin of the second is wider
than that, it tells nothing.

A run fails when observing costs more, and when one call fails: h2load sees HTTP, each server counts
what it answered with OK (the chain from the ledger on disk), and the two must agree.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from bench.load import ROOT, BenchError, Generator, Load, Measured, Server, cores, running
from bench.parts import Parts
from bench.parts import measured as measured_parts
from bench.report import Kept, Row, show
from bench.server import SAMPLED

BASELINE = "echo"
OBSERVED, UNOBSERVED = "chain-observed", "chain-unobserved"
SWITCHED = "chain-switched"
VARIANTS = [BASELINE, "chain", SWITCHED]
ROWS = [BASELINE, "chain", UNOBSERVED, OBSERVED]
LEAST_KEPT = 0.97
"""Of a call's speed without metrics and traces, with them."""
LOADS = (Load("64 in flight", 4, 16), Load("1 in flight", 1, 1))
WARM_UP_CALLS = 500
TURNS = 6
"""Of each of the two that are compared closely, in one round."""
SHARE_OF_A_TURN = 3
"""So much shorter than the others' is each of those."""

EXIT_FAILED = 1
EXIT_USAGE = 2

Figures = dict[tuple[str, str], list[Measured]]
"""(load, variant) -> one measurement a round."""
Turns = list[tuple[Measured, Measured]]
"""(without metrics and traces, with them), beside each other."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="about how long each measurement takes; 3"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one document")
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=ROOT / "build",
        help="where the ledgers are written while it runs, on a real disk; build/",
    )
    chosen = parser.parse_args(argv)
    if chosen.rounds < 1 or not chosen.seconds > 0:
        parser.error("--rounds and --seconds must be positive")
    return chosen


def file_system_of(path: Path) -> str:
    """The type of the file system that holds `path`; empty where that cannot be told."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    entries = [line.split()[1:3] for line in mounts.read_text().splitlines()]
    resolved = path.resolve()
    holding = [(m, kind) for m, kind in entries if resolved.is_relative_to(m)]
    return max(holding, key=lambda entry: len(entry[0]))[1] if holding else ""


def machine(state_dir: Path) -> dict[str, str]:
    """What the figures were measured on."""
    pinned = len(cores()) > 1 and shutil.which("taskset") is not None
    return {
        "cores": f"{os.cpu_count()}" + ("" if pinned else " (not pinned)"),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "uvloop": importlib.metadata.version("uvloop"),
        "system": f"{platform.system()} {platform.machine()}",
        # Whoever else is running here is in the figures too.
        "load": f"{os.getloadavg()[0]:.1f} before",
        "ledger": f"{state_dir} ({file_system_of(state_dir) or 'unknown file system'})",
    }


def _rate(generator: Generator, server: Server, load: Load) -> float:
    """Calls a second, roughly, after a warm-up."""
    generator.run(server, load, WARM_UP_CALLS)
    return generator.run(server, load, WARM_UP_CALLS).calls_per_s


def measure(
    servers: dict[str, Server], generator: Generator, rounds: int, seconds: float
) -> tuple[Figures, Turns]:
    """Everybody's turn in each round. A fixed number of calls, so that it can be checked."""
    for server in servers.values():
        server.verify()
    calls = {
        (load.name, name): max(load.connections * load.calls_each, int(rate * seconds))
        for load in reversed(LOADS)
        for name, server in servers.items()
        for rate in (_rate(generator, server, load),)
    }
    figures: Figures = {}
    all_turns: Turns = []
    others = [name for name in servers if name != SWITCHED]
    for number in range(rounds):
        # Back and forth, so that a steady drift favours nobody.
        order = others if number % 2 == 0 else others[::-1]
        for load in LOADS:
            for name in order:
                _say(f"round {number + 1}/{rounds}: {load.name}, {name}")
                key = (load.name, name)
                figures.setdefault(key, []).append(generator.run(servers[name], load, calls[key]))
        _say(f"round {number + 1}/{rounds}: {LOADS[0].name}, {OBSERVED} and {UNOBSERVED}")
        each = -(-calls[LOADS[0].name, SWITCHED] // SHARE_OF_A_TURN)
        turns = _turns(servers[SWITCHED], generator, LOADS[0], each)
        all_turns += turns
        for place, name in enumerate((UNOBSERVED, OBSERVED)):
            together = Measured.mean_of([turn[place] for turn in turns])
            figures.setdefault((LOADS[0].name, name), []).append(together)
    _say("")
    return figures, all_turns


def _turns(server: Server, generator: Generator, load: Load, calls: int) -> Turns:
    """Some of each; the server is not observed afterwards."""
    turns = []
    for number in range(TURNS):
        one: dict[bool, Measured] = {}
        for on in (False, True) if number % 2 == 0 else (True, False):
            server.observe(on)
            one[on] = generator.run(server, load, calls, observed=on)
        turns.append((one[False], one[True]))
    server.observe(False)
    return turns


def _say(progress: str) -> None:
    """On a terminal, in the place of what was said before."""
    if sys.stderr.isatty():
        print(f"\r{progress}\033[K", end="", file=sys.stderr, flush=True)


def rows_of(figures: Figures) -> list[Row]:
    """Medians."""
    rows = []
    for (load, variant), measured in figures.items():
        baseline = figures[load, BASELINE]
        ratios = [m.calls_per_s / b.calls_per_s for m, b in zip(measured, baseline, strict=True)]
        rows.append(
            Row(
                load=load,
                variant=variant,
                ratio=statistics.median(ratios),
                ratio_least=min(ratios),
                ratio_most=max(ratios),
                calls_per_s=statistics.median(m.calls_per_s for m in measured),
                p50_ms=statistics.median(m.p50_ms for m in measured),
                p99_ms=statistics.median(m.p99_ms for m in measured),
                cpu_us=statistics.median(m.cpu_us for m in measured),
            )
        )
    order = {name: index for index, name in enumerate([load.name for load in LOADS])}
    return sorted(rows, key=lambda r: (order[r.load], ROWS.index(r.variant)))


def kept_of(rows: list[Row], turns: Turns, parts: Parts) -> Kept:
    """What is kept of the speed of a call when it is observed."""
    (row,) = (one for one in rows if (one.load, one.variant) == (LOADS[0].name, UNOBSERVED))
    added_us = parts.of_a_call(SAMPLED, row.calls_per_s)
    # Where processor time cannot be told, calls a second have to do.
    shares = [
        without.cpu_us / seen.cpu_us if seen.cpu_us else seen.calls_per_s / without.calls_per_s
        for without, seen in turns
    ]
    margin = 2 * statistics.stdev(shares) / len(shares) ** 0.5
    return Kept(
        by_parts=1 - added_us / (row.cpu_us + added_us) if row.cpu_us else 1.0,
        by_turns=statistics.median(shares),
        margin=margin,
        least=LEAST_KEPT,
        **dataclasses.asdict(parts),
    )


def count(servers: dict[str, Server]) -> dict[str, dict[str, int]]:
    """Stops everybody; variant -> calls sent, and answered by its own account."""
    return {
        name: {"sent": server.sent, "answered": server.stop()} for name, server in servers.items()
    }


def run(chosen: argparse.Namespace) -> int:
    """The exit code. Raises BenchError."""
    chosen.state_dir.mkdir(parents=True, exist_ok=True)
    facts = machine(chosen.state_dir)
    if file_system_of(chosen.state_dir) in {"tmpfs", "ramfs"}:
        raise BenchError(f"{chosen.state_dir} is in memory; name a disk with --state-dir")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.state_dir) as scratch:
        generator = Generator(Path(scratch))
        with running(VARIANTS, Path(scratch)) as servers:
            figures, turns = measure(servers, generator, chosen.rounds, chosen.seconds)
            parts = measured_parts(servers[SWITCHED])
            counted = count(servers)
    rows = rows_of(figures)
    kept = kept_of(rows, turns, parts)
    facts["rounds"] = f"{chosen.rounds} of about {chosen.seconds:g} s"
    wrong = {name: c for name, c in counted.items() if c["sent"] != c["answered"]}
    if chosen.json:
        document: dict[str, Any] = {
            "machine": facts,
            "baseline": BASELINE,
            "figures": [row.as_dict() for row in rows],
            "observed": kept.as_dict(),
            "calls": counted,
        }
        print(json.dumps(document, indent=2))
    else:
        show(rows, kept, facts, counted)
    for name, counts in wrong.items():
        print(
            f"{name}: {counts['sent']} calls sent, {counts['answered']} answered with OK",
            file=sys.stderr,
        )
    if not kept.enough:
        print("metrics and traces cost more than 3 %", file=sys.stderr)
    return EXIT_FAILED if wrong or not kept.enough else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; 0, 1 (a call failed) or 2 (it cannot be run here)."""
    chosen = _arguments(argv)
    if shutil.which("h2load") is None:
        print("h2load is not installed: apt-get install nghttp2-client", file=sys.stderr)
        return EXIT_USAGE
    # As Ctrl-C: the servers are ended and their ledgers removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(chosen)
    except KeyboardInterrupt:
        print("stopped; no figures", file=sys.stderr)
        return EXIT_FAILED
    except BenchError as error:
        print(f"no figures: {error}", file=sys.stderr)
        return EXIT_FAILED
