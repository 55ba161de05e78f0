"""`demo`: the specification's scenarios against a real server and real sandboxes."""

from __future__ import annotations

from smartconnectors_server.cli.connection import Json


def demo(as_json: Json = False) -> None:
    """Play the scenarios that the promise is made of, and compare what happens with it."""
