"""Who calls, and what they may do: by tokens, signed tokens and certificates."""

from __future__ import annotations

from smartconnectors_server.access.caller import ANYBODY, Caller, Credentials, Role, Scope
from smartconnectors_server.access.gatekeeper import Gatekeeper
from smartconnectors_server.access.refusals import Refusals

__all__ = ["ANYBODY", "Caller", "Credentials", "Gatekeeper", "Refusals", "Role", "Scope"]
