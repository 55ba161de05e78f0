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

What observing costs is the last figure: the processor time of a call without it, divided by that
with it in the turn beside it; the median has to be 0.97 at least. Processor time, because on a
machine with others on it calls a second differ by more from turn to turn than 3 %.

A run fails when observing costs more, and when one call fails: h2load sees HTTP, each server counts
what it answered with OK (the chain from the ledger on disk), and the two must agree.
"""

from __future__ import annotations

import argparse
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
from bench.report import Kept, Row, show

BASELINE = "echo"
OBSERVED, UNOBSERVED = "chain-observed", "chain-unobserved"
SWITCHED = "chain-switched"
VARIANTS = [BASELINE, "chain", SWITCHED]
ROWS = [BASELINE, "chain", UNOBSERVED, OBSERVED]
LEAST_KEPT = 0.97
"""Of a call's speed without metrics and traces, with them."""
LOADS = (Load("64 in flight", 4, 16), Load("1 in flight", 1, 1))
WARM_UP_CALLS = 500
TURNS = 2
"""Of each of the two that are compared closely, in one round."""

EXIT_FAILED = 1
EXIT_USAGE = 2

Figures = dict[tuple[str, str], list[Measured]]
"""(load, variant) -> one measurement a round."""
Pairs = dict[str, list[tuple[Measured, Measured]]]
"""Load -> (without metrics and traces, with them), in turns beside each other."""


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
) -> tuple[Figures, Pairs]:
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
    pairs: Pairs = {}
    others = [name for name in servers if name != SWITCHED]
    for number in range(rounds):
        # Back and forth, so that a steady drift favours nobody.
        order = others if number % 2 == 0 else others[::-1]
        for load in LOADS:
            for name in order:
                _say(f"round {number + 1}/{rounds}: {load.name}, {name}")
                key = (load.name, name)
                figures.setdefault(key, []).append(generator.run(servers[name], load, calls[key]))
            _say(f"round {number + 1}/{rounds}: {load.name}, {OBSERVED} and {UNOBSERVED}")
            turns = _turns(servers[SWITCHED], generator, load, calls[load.name, SWITCHED])
            pairs.setdefault(load.name, []).extend(turns)
            for place, name in enumerate((UNOBSERVED, OBSERVED)):
                together = Measured.mean_of([turn[place] for turn in turns])
                figures.setdefault((load.name, name), []).append(together)
    _say("")
    return figures, pairs


def _turns(
    server: Server, generator: Generator, load: Load, calls: int
) -> list[tuple[Measured, Measured]]:
    """(without, with) metrics and traces."""
    turns = []
    for number in range(TURNS):
        one: dict[bool, Measured] = {}
        for on in (False, True) if number % 2 == 0 else (True, False):
            server.observe(on)
            one[on] = generator.run(server, load, calls, observed=on)
        turns.append((one[False], one[True]))
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


def kept_of(pairs: Pairs) -> list[Kept]:
    """What is kept of the speed of a call when it is observed."""
    kept = []
    for load, turns in pairs.items():
        shares = [without.cpu_us / seen.cpu_us for without, seen in turns if seen.cpu_us]
        by_rate = statistics.median(s.calls_per_s / w.calls_per_s for w, s in turns)
        by_cpu = statistics.median(shares) if shares else by_rate
        kept.append(Kept(load, by_cpu, by_rate, LEAST_KEPT))
    return kept


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
            figures, pairs = measure(servers, generator, chosen.rounds, chosen.seconds)
            counted = count(servers)
    rows, kept = rows_of(figures), kept_of(pairs)
    facts["rounds"] = f"{chosen.rounds} of about {chosen.seconds:g} s"
    wrong = {name: c for name, c in counted.items() if c["sent"] != c["answered"]}
    if chosen.json:
        document: dict[str, Any] = {
            "machine": facts,
            "baseline": BASELINE,
            "figures": [row.as_dict() for row in rows],
            "observed": [one.as_dict() for one in kept],
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
    dear = [one for one in kept if not one.enough]
    for one in dear:
        print(
            f"{one.load}: metrics and traces cost more than 3 %: {one.by_cpu:.3f}", file=sys.stderr
        )
    return EXIT_FAILED if wrong or dear else 0


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
