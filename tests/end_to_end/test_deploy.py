"""What is handed to operators in `deploy/`: it asks for metrics that there are, and says what it is
tested to say.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.end_to_end.promql import grouped_by, selected

from smartconnectors.common.v1 import bid_pb2, connector_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.serving import pages_of
from smartconnectors_server.settings import HttpSettings
from smartconnectors_server.telemetry import names

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, Stage, Words

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES, DASHBOARD = DEPLOY / "prometheus-rules.yml", DEPLOY / "grafana.json"
PROMETHEUS_OWN = {"up": frozenset({"job", "instance"})}
SCRAPED = frozenset({"instance", "job"})
"""Labels that a scrape adds."""


def exported() -> dict[str, frozenset[str]]:
    """Every series of a server by name, and its labels."""
    series: dict[str, frozenset[str]] = dict(PROMETHEUS_OWN)
    for metric in names.METRICS:
        labels = frozenset(metric.labels) | SCRAPED
        series[metric.exported_as] = labels
        if metric.kind == "histogram":
            series[f"{metric.name}_sum"] = labels
            series[f"{metric.name}_bucket"] = labels | {"le"}
    return series


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def recorded() -> dict[str, frozenset[str]]:
    """Every series that the rules record, and its labels: those that it is grouped by, or all of
    what it is made of.
    """
    known: dict[str, frozenset[str]] = {}
    for rule in rules():
        if "record" in rule:
            made_of = frozenset[str]().union(
                *(exported()[one.name] for one in selected(rule["expr"]))
            )
            known[rule["record"]] = (grouped_by(rule["expr"]) or made_of) - {"le"}
    return known


def expressions() -> Iterator[tuple[str, str, str]]:
    """(where, expression, what is said with its labels)."""
    for rule in rules():
        said = " ".join(rule.get("annotations", {}).values())
        yield rule.get("alert") or rule["record"], rule["expr"], said
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]
    for one in dashboard["annotations"]["list"]:
        yield one["name"], one["expr"], one["titleFormat"]
    for variable in dashboard["templating"]["list"]:
        asks = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable.get("definition", ""))
        if asks is not None:
            yield variable["name"], asks[1], f"{{{{{asks[2]}}}}}"


def complaints(where: str, expression: str, said: str, known: Mapping[str, Any]) -> Iterator[str]:
    """What an expression and what is said with it ask for that there is not."""
    there: frozenset[str] = frozenset()
    for one in selected(expression):
        if one.name not in known:
            yield f"{where}: no metric is called {one.name}"
            continue
        there |= known[one.name]
        for label in sorted(one.labels - known[one.name]):
            yield f"{where}: {one.name} has no label {label}"
    shown = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", said))
    for label in sorted((grouped_by(expression) | shown) - there):
        yield f"{where}: {label} is no label of what {expression!r} selects"


def test_every_rule_and_panel_asks_for_metrics_and_labels_that_there_are() -> None:
    known = {**exported(), **recorded()}
    found = list(expressions())
    assert len(found) > 50
    wrong = [said for one in found for said in complaints(*one, known)]
    assert wrong == []


@pytest.mark.parametrize(
    ("expression", "said", "complaint"),
    [
        (
            "rate(smartconnectors_bid_total[5m])",
            "",
            "no metric is called",
        ),
        ('smartconnectors_holds{budget="x"} > 1', "", "smartconnectors_holds has no label budget"),
        ("sum by (budget) (smartconnectors_holds)", "", "budget is no label"),
        ("smartconnectors_holds", "{{ $labels.budget }} is full", "budget is no label"),
    ],
)
def test_what_asks_for_something_that_there_is_not_is_noticed(
    expression: str, said: str, complaint: str
) -> None:
    (found,) = complaints("here", expression, said, exported())
    assert complaint in found


def test_every_metric_is_in_a_rule_or_on_the_dashboard() -> None:
    asked = {one.name for _, expression, _ in expressions() for one in selected(expression)}
    unseen = [
        metric.name
        for metric in names.METRICS
        if not any(name.startswith(metric.name) for name in asked)
    ]
    assert unseen == []


async def test_a_server_that_has_seen_everything_exports_all_that_is_asked_for(
    stage: Stage, say: Words
) -> None:
    stage.sandbox.billed.time_zone = "UTC"
    stage.sandbox.billed.bill("1001", datetime.now(UTC).date(), 5_000_000)
    server = await stage.serve(
        circuit_breaker={"failure_threshold": 1, "open_s": 600},
        reported_spend={"enabled": True, "interval_s": 1},
    )
    await _everything(server, stage, say)
    pages = pages_of(server.app)
    address = await pages.start(HttpSettings(port=0))
    # This server has no access control; tests/security/test_access_files.py asks one that does.
    known = recorded().keys() | PROMETHEUS_OWN.keys() | {"smartconnectors_access_file_usable"}
    asked = {
        (one.name, label)
        for _, expression, _ in expressions()
        for one in selected(expression)
        if one.name not in known
        for label in ("", *(one.labels - SCRAPED))
    }

    async def missing() -> set[tuple[str, str]]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{address}/metrics") as page,
        ):
            families = list(text_string_to_metric_families(await page.text()))
        return asked - {
            (sample.name, label)
            for family in families
            for sample in family.samples
            for label in ("", *sample.labels)
        }

    # Alerts are delivered behind the scenes.
    await say.eventually(missing, lambda names: names == set())
    await pages.stop()


async def _everything(server: Server, stage: Stage, say: Words) -> None:
    """What is placed, refused, reported, in doubt and deferred; a change; a breaker that opens."""
    await server.place(say.bid("placed", 15))
    await say.refused(server.place(say.bid("refused", 5000, campaign="1003", ltv_usd=9000)))
    paused = connector_pb2.CampaignStatusUpdate(campaign_id="1004")
    await server.ads.PauseCampaign(ads_pb2.PauseCampaignRequest(update=paused), timeout=60)
    await say.eventually(server.stats, lambda stats: stats.HasField("reported_spend_micros"))
    await stage.fault(FaultKind.APPLY_THEN_RESET)
    await say.refused(server.place(say.bid("in-doubt", 15, campaign="1001", ltv_usd=60)))
    deferred = await server.place(say.bid("deferred", 10, campaign="1002"))
    assert deferred.status == bid_pb2.BID_STATUS_DEFERRED


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", str(RULES)), ("test", "rules", str(DEPLOY / "prometheus-rules.test.yml"))],
    ids=["check", "test"],
)
def test_promtool_has_nothing_to_say_against_the_rules(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        why = "no promtool here; on Debian and Ubuntu it is in the package prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_how_urgent_it_is_and_what_has_happened() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert alert["annotations"]["summary"].endswith(".")
