"""The canned server of the command line's tests, for the client's."""

from tests.server.cli.conftest import server

__all__ = ["server"]
