"""What opens the sandbox, and where its exchange is. Its credentials open nothing else."""

from __future__ import annotations

SANDBOX_TOKEN = "sandbox-token"  # noqa: S105 -- opens the sandbox alone
SANDBOX_LOGIN = "sandbox"
SANDBOX_PASSWORD = "sandbox-password"  # noqa: S105 -- as above
EXCHANGE_PATH = "/exchange/bids"
NOTICE_BASE_URL = "https://notices.invalid"
"""An address that nothing is ever sent to."""
SANDBOX_ADVERTISER = "adv-usd"
SANDBOX_SCHEDULE = 1
"""The MyReports schedule that every sandbox has."""
SANDBOX_SEAT = "sandbox-seat"
SANDBOX_CATEGORIES = ("IAB3-1",)
