"""The Trade Desk's reports of spend: JSON documents, what is asked and what an answer says."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from smartconnectors_server.connector import SpendReport
from smartconnectors_server.connector.spend import UnreadableReport
from smartconnectors_server.platforms import trade_desk
from smartconnectors_server.platforms.trade_desk import spend

DOCUMENTS = sorted((Path(trade_desk.__file__).parent / "wiretests" / "reports").glob("*.json"))


def said(report: SpendReport) -> dict[str, Any]:
    rows = [
        [row.campaign_id, row.day.isoformat(), row.spend_micros, row.currency_code]
        for row in report.rows
    ]
    return {"time_zone": report.time_zone, "rows": rows}


def read(document: dict[str, Any]) -> SpendReport:
    text = "\r\n".join(document["answers"])
    return spend.report_of(text, time_zone=document["account"], since=date(2026, 11, 21))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_report_says_what_the_document_says(path: Path) -> None:
    document = json.loads(path.read_text())
    try:
        seen = {"report": said(read(document))}
    except UnreadableReport as error:
        seen = {"unreadable": str(error)}  # type: ignore[dict-item]
    assert seen == {key: document[key] for key in ("report", "unreadable") if key in document}


def test_what_is_asked_is_what_the_exemplary_document_says() -> None:
    (asks,) = [asks for path in DOCUMENTS if (asks := json.loads(path.read_text()).get("asks"))]
    assert spend.executions_query("adv-1", 7) == asks["query"]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        None,
        {"Result": [{}]},
        {"Result": [{"ReportDeliveries": []}]},
        {"Result": [{"ReportDeliveries": [{"DownloadURL": 7}]}]},
        {"Result": [{"ReportDeliveries": [{"DownloadURL": "https://[broken"}]}]},
    ],
)
def test_a_report_without_an_address_is_none(answer: Any) -> None:
    with pytest.raises(UnreadableReport, match="without an address"):
        spend.download_url_of(answer)


def test_no_report_yet_is_no_error() -> None:
    assert spend.download_url_of({"Result": []}) == ""
