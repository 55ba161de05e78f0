"""`make bench`: what the safety chain costs, as a ratio to a bare echo. See `bench/command.py`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    # A script's own folder comes first on the path; the package that it is in has to.
    sys.path[0] = str(ROOT)
    from bench.command import main

    sys.exit(main())
