"""What The Trade Desk says was spent: how MyReports is asked, and what its CSV says. Pure.

MyReports makes reports by itself, on a schedule that somebody has set up on its pages; here the
newest that is complete is looked for and fetched.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from smartconnectors_server.connector import SpendReport, SpendRow
from smartconnectors_server.connector.spend import (
    UnreadableReport,
    currency_of,
    day_of,
    id_of,
    micros_of,
)

EXECUTIONS_PATH = "/myreports/reportexecution/query/advertisers"

DAY, CAMPAIGN = "Date", "Campaign ID"
CURRENCY, COST = "Advertiser Currency Code", "Advertiser Cost (Adv Currency)"
COLUMNS = (DAY, CAMPAIGN, CURRENCY, COST)
"""What the report has to have; it may have more."""


def executions_query(advertiser_id: str, schedule_id: int) -> Mapping[str, Any]:
    """The body of the question for the newest complete report of the schedule."""
    return {
        "AdvertiserIds": [advertiser_id],
        "ReportScheduleIds": [schedule_id],
        "ReportExecutionStates": ["Complete"],
        "SortFields": [{"FieldId": "ReportEndDateExclusive", "Ascending": False}],
        "PageStartIndex": 0,
        "PageSize": 1,
    }


def download_url_of(answer: Any) -> str:
    """Where the report is; empty: there is none yet. Raises UnreadableReport."""
    try:
        results = answer["Result"]
        if not results:
            return ""
        url = results[0]["ReportDeliveries"][0]["DownloadURL"]
        if isinstance(url, str) and urlsplit(url).netloc:
            return url
    except (LookupError, TypeError, ValueError):
        pass
    raise UnreadableReport("a report without an address")


def report_of(text: str, *, time_zone: str, since: date) -> SpendReport:
    """The report of a CSV, without days before `since`; rows of one campaign and day are added up,
    because a report may be broken down further. Raises UnreadableReport.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    sums: dict[tuple[str, date, str], int] = {}
    try:
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise UnreadableReport(f"a report without the column {missing[0]!r}")
        for row in reader:
            # With some settings it writes a time behind the day.
            day = day_of((row[DAY] or "")[:10])
            key = id_of(row[CAMPAIGN] or ""), day, currency_of(row[CURRENCY])
            sums[key] = sums.get(key, 0) + micros_of(row[COST])
    except csv.Error as error:
        raise UnreadableReport(f"no CSV: {error}") from None
    rows = tuple(
        SpendRow(campaign_id, day, micros, currency)
        for (campaign_id, day, currency), micros in sums.items()
        if day >= since
    )
    return SpendReport(time_zone, rows)
