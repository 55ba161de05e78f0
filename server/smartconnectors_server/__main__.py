"""`python -m smartconnectors_server` is the `smart-connectors` command."""

from __future__ import annotations

from smartconnectors_server.cli import main

if __name__ == "__main__":
    main()
