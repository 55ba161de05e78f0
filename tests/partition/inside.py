"""One run, as a process in a network namespace of its own.

    python -m tests.partition.inside PLAN DIRECTORY CODE

PLAN is a Plan as JSON, CODE the directory of the server's package. Writes the Result as JSON.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from pathlib import Path

from tests.partition import namespaces
from tests.partition.plan import Plan


def main() -> None:
    """Plays the plan."""
    namespaces.enter()
    # A thread stays in the namespace that it was started in, and libraries start some.
    from tests.partition.run import play

    plan, directory, code = sys.argv[1:]
    result = asyncio.run(play(Plan(**json.loads(plan)), Path(directory), Path(code)))
    sys.stdout.write(json.dumps(dataclasses.asdict(result)) + "\n")


if __name__ == "__main__":
    main()
