"""What is served over HTTP."""

from __future__ import annotations

from smartconnectors_server.http.certificates import Certificates
from smartconnectors_server.http.connections import HttpRules
from smartconnectors_server.http.pages import BACKLOG, MOST_CONNECTIONS, Pages

__all__ = ["BACKLOG", "MOST_CONNECTIONS", "Certificates", "HttpRules", "Pages"]
