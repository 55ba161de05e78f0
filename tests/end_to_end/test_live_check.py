"""`check-config --live` against the sandboxes: what it says, and that it changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors_server.cli.config_file import render_document
from smartconnectors_server.cli.live_check import look
from smartconnectors_server.connector.sandbox import Fault, FaultKind

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Stage

ADVERTISER = {"trade_desk": {"options": {"advertiser_id": "adv-usd"}}}


async def check(stage: Stage, *arguments: str, **overrides: Any) -> tuple[int, str]:
    """(exit code, what it printed) of the command as a process."""
    path = Path(stage.directory) / "check.toml"
    path.write_text(render_document(stage.document(overrides, "state")))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "smartconnectors_server", "check-config", "--live"),
        *("--config", str(path), "--reads", "3", *arguments),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_it_runs_beside_the_server_and_changes_nothing(stage: Stage) -> None:
    """The server has the state directory's lock."""
    await stage.serve()
    code, printed = await check(stage, "--json")
    assert code == 0
    accounts = {one["platform"]: one for one in json.loads(printed)["accounts"]}
    assert accounts["google_ads"]["account_id"] == "1000000001"
    assert accounts["google_ads"]["currency_code"] == "USD"
    assert accounts["google_ads"]["time_zone"] == "America/New_York"
    assert accounts["google_ads"]["quota_tier"] is None, "Google does not tell"
    assert accounts["meta"]["quota_tier"] == "standard_access"
    assert accounts["meta"]["reads"] == 3
    for name in ("google_ads", "meta"):
        knobs = {one["campaign_id"]: one["knobs"] for one in accounts[name]["campaigns"]}
        assert all(knobs[str(number)] for number in range(1001, 1011))
        assert accounts[name]["more_campaigns"] is False
    assert accounts["trade_desk"]["campaigns"] is None, "no advertiser is configured"
    for sandbox in stage.sandboxes.values():
        assert not any(entry.changes for entry in sandbox.journal())


async def test_each_campaign_is_shown_with_its_knob_or_why_it_has_none(stage: Stage) -> None:
    code, printed = await check(stage, each=ADVERTISER)
    assert code == 0
    rows = [" ".join(line.split()) for line in printed.splitlines()]
    assert "trade_desk, campaigns: 13" in rows
    assert (
        "1009 Campaign 1009 ENABLED TARGET_ROAS, DISPLAY, portfolio 1901 of 2 campaigns "
        "target_roas portfolio_target_roas of portfolios/1901"
    ) in rows
    assert (
        "1011 Campaign 1011 ACTIVE LOWEST_COST_WITH_MIN_ROAS, VALUE – refused: ad_set_id: "
        "campaign 1011 has several active ad sets: 10111, 10112"
    ) in rows
    assert (
        "1012 Campaign 1012 Available, enabled base bid CPM, Kokai budget ad_group "
        "RTBAttributes.BaseBidCPM of ad_groups/10121"
    ) in rows
    for sandbox in stage.sandboxes.values():
        assert not any(entry.changes for entry in sandbox.journal())


async def test_an_account_that_does_not_fit_ends_it_with_one(stage: Stage) -> None:
    code, printed = await check(stage, budget={"limit": "1", "currency": "JPY"})
    assert code == 1
    assert "account 1000000001 is in USD, but the budget of google_ads is in JPY" in printed


async def test_each_account_of_a_platform_is_asked(stage: Stage) -> None:
    accounts = {"default": {"customer_id": "1000000001"}, "tokyo": {"customer_id": "1000000002"}}
    reports = await look(stage.settings({"accounts": accounts}), 1)
    found = {one.account: one for one in reports if one.platform == "google_ads"}
    assert found["default"].problems == []
    shown = [found[name].campaigns for name in ("default", "tokyo")]
    assert [one.campaigns[0].campaign_id for one in shown if one is not None] == ["1001", "2001"]
    assert "1000000002 is in JPY" in found["tokyo"].problems[0]


async def test_reads_that_take_longer_than_the_threshold_are_told_of(stage: Stage) -> None:
    await stage.fault(FaultKind.SLOW, times=20, delay_ms=60, method="")
    slow = {"circuit_breaker": {"slow_call_ms": 40}}
    (report,) = [one for one in await look(stage.settings(slow), 4) if one.facts.time_zone][:1]
    assert report.p95_ms is not None
    assert report.p95_ms >= 60
    (problem,) = report.problems
    assert "above slow_call_ms = 40; the circuit breaker would open; set 500" in problem


async def test_an_account_that_cannot_be_read_says_why(stage: Stage) -> None:
    await stage.fault(FaultKind.SERVER_ERROR, times=20, method="")
    report = (await look(stage.settings({}), 2))[0]
    assert report.problems[0].startswith("it cannot be read: ")
    assert report.p95_ms is None


async def test_a_platform_that_tells_nothing_is_not_measured(stage: Stage) -> None:
    (report,) = [one for one in await look(stage.settings({}), 2) if one.platform == "trade_desk"]
    assert (report.p95_ms, report.problems) == (None, [])
    assert "not told by the API" in report.row


async def test_campaigns_that_cannot_be_read_are_a_problem_of_their_account(stage: Stage) -> None:
    settings = stage.settings({"each": ADVERTISER})
    query = "POST /v3/campaign/query/advertiser"
    await stage.sandboxes["trade_desk"].add_fault(Fault(FaultKind.SERVER_ERROR, method=query))
    (report,) = [one for one in await look(settings, 2) if one.platform == "trade_desk"]
    (problem,) = report.problems
    assert problem.startswith("its campaigns cannot be read: ")
    assert report.facts.currency_code == "USD"
    assert len(report.durations_ms) == 2, "a listing does not count for the threshold"


@pytest.mark.parametrize("reads", [1, 7])
async def test_an_advertiser_is_read_as_often_as_asked(stage: Stage, reads: int) -> None:
    """Not once and then from what is remembered of it."""
    settings = stage.settings({"each": ADVERTISER})
    (report,) = [one for one in await look(settings, reads) if one.platform == "trade_desk"]
    assert len(report.durations_ms) == reads, report.problems
