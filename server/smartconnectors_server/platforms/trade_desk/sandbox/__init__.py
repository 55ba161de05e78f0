"""A Trade Desk to try things on: its REST v3 and an exchange, on a real socket.

One port speaks both: `http://127.0.0.1:PORT/v3/...` and `http://127.0.0.1:PORT/exchange/bids`.
What there is to bid on: see `accounts`.
"""

from __future__ import annotations

from smartconnectors_server.platforms.trade_desk.sandbox.accounts import AUDIENCES
from smartconnectors_server.platforms.trade_desk.sandbox.server import TradeDeskSandbox

__all__ = ["AUDIENCES", "TradeDeskSandbox"]
