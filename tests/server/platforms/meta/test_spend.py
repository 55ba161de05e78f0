"""Meta's reports of spend: JSON documents, what is asked and what an answer says."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from smartconnectors_server.connector import SpendReport
from smartconnectors_server.connector.spend import UnreadableReport
from smartconnectors_server.platforms import meta
from smartconnectors_server.platforms.meta import spend

DOCUMENTS = sorted((Path(meta.__file__).parent / "wiretests" / "reports").glob("*.json"))


def said(report: SpendReport) -> dict[str, Any]:
    rows = [
        [row.campaign_id, row.day.isoformat(), row.spend_micros, row.currency_code]
        for row in report.rows
    ]
    return {"time_zone": report.time_zone, "rows": rows}


def read(document: dict[str, Any]) -> SpendReport:
    account, pages = spend.account_of(document["account"]), document["answers"]
    cursors = [spend.next_page_of(page) for page in pages]
    assert cursors == document.get("cursors", [""] * len(pages))
    return spend.report_of(account, pages)


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
    since, until = date.fromisoformat(asks["since"]), date.fromisoformat(asks["until"])
    assert spend.insights_query(since, until) == asks["query"]
