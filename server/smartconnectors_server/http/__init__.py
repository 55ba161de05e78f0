"""What is served over HTTP."""

from __future__ import annotations

from smartconnectors_server.http.pages import Pages

__all__ = ["Pages"]
