"""MyReports as the sandbox has it: one schedule, whose report is always complete."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from smartconnectors_server.connector.sandbox import Billed
from smartconnectors_server.platforms.trade_desk import amounts
from smartconnectors_server.platforms.trade_desk.sandbox.refusals import invalid
from smartconnectors_server.platforms.trade_desk.sandbox_access import SANDBOX_SCHEDULE
from smartconnectors_server.platforms.trade_desk.spend import COLUMNS

KIND = "report"


def executions(body: Any, host: str) -> dict[str, Any]:
    """The newest complete report of a schedule, and where it lies. Raises Refused."""
    asked = body if isinstance(body, dict) else {}
    advertisers = asked.get("AdvertiserIds")
    if not isinstance(advertisers, list) or len(advertisers) != 1:
        raise invalid("AdvertiserIds", "must name one advertiser here")
    known = asked.get("ReportScheduleIds") == [SANDBOX_SCHEDULE]
    report = {
        "ReportExecutionId": 1,
        "ReportScheduleId": SANDBOX_SCHEDULE,
        "ReportExecutionState": "Complete",
        "ReportDeliveries": [{"DownloadURL": f"http://{host}/reports/{advertisers[0]}.csv"}],
    }
    results = [report] if known else []
    return {"Result": results, "ResultCount": len(results)}


def csv_of(campaigns: Iterable[tuple[str, str]], billed: Billed) -> str:
    """The report: every day on which a campaign of these was billed."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for campaign_id, currency_code in campaigns:
        for day, micros in billed.between(campaign_id, date.min, date.max):
            cost = amounts.write(Decimal(micros) / 1_000_000)
            writer.writerow((f"{day}T00:00:00", campaign_id, currency_code, cost))
    return text.getvalue()
