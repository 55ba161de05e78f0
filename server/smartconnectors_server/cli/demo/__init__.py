"""`demo`: the specification's scenarios against a real server and real sandboxes."""

from __future__ import annotations

import typer

from smartconnectors_server.cli.connection import Json
from smartconnectors_server.cli.failure import CommandFailed, ExitCode


def demo(as_json: Json = False) -> None:
    """Play the scenarios that the promise is made of, and compare what happens with it.

    Starts the sandboxes and, for each scenario, a server of its own on fresh state; talks to it as
    any client would; counts the money at the sandboxes. Ends with 1 when anything differs.
    """
    import asyncio
    import dataclasses

    from smartconnectors_server.cli import output
    from smartconnectors_server.cli.demo.performance import SCENARIOS, play_all, settings_text
    from smartconnectors_server.cli.demo.processes import ProcessFailed
    from smartconnectors_server.clock import NANOS_PER_SECOND, SystemClock

    clock = SystemClock()
    started_ns = clock.monotonic_ns()
    try:
        rows = asyncio.run(play_all(SCENARIOS, lambda line: output.say(line, err=True)))
    except ProcessFailed as error:
        raise CommandFailed(ExitCode.REFUSED, str(error)) from None
    seconds = (clock.monotonic_ns() - started_ns) / NANOS_PER_SECOND
    differing = sum(not row.ok for row in rows)
    if as_json:
        document = {
            "ok": not differing,
            "seconds": round(seconds, 1),
            "scenarios": [
                {
                    "name": one.name,
                    "title": one.title,
                    "settings": one.settings,
                    "then": [act.settings for act in one.then],
                }
                for one in SCENARIOS
            ],
            "rows": [dataclasses.asdict(row) for row in rows],
        }
        output.say_json(document)
    else:
        output.say()
        for one in SCENARIOS:
            output.say(f"{one.name}: {one.title}", f"  settings: {settings_text(one)}")
        output.say()
        output.print_table(
            ("scenario", "what", "expected", "observed", "ok"),
            [
                [row.scenario, row.what, row.expected, row.observed, "ok" if row.ok else "DIFFERS"]
                for row in rows
            ],
            empty="Nothing was played.",
        )
        output.say(f"{len(rows) - differing} of {len(rows)} as expected, in {seconds:.1f} s.")
    if differing:
        raise typer.Exit(ExitCode.REFUSED)
