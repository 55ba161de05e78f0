"""What the demo counts with: its own table of what it sent; and processes that cannot start."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from smartconnectors_server.cli.config_file import render_document
from smartconnectors_server.cli.demo.kill_switch import Measured, Pause, judged
from smartconnectors_server.cli.demo.performance import SCENARIOS, settings_text
from smartconnectors_server.cli.demo.processes import Process, ProcessFailed
from smartconnectors_server.cli.demo.sent import SentTable
from smartconnectors_server.platforms import PLATFORMS

ADS = "google_ads"


def change(campaign_id: str, roas: float, *, applied: bool = True) -> dict[str, Any]:
    """One change of one campaign, as the Google Ads sandbox journals it."""
    facts = {"operations": [{"campaign_id": campaign_id, "target_roas": roas}]}
    return {"changes": True, "applied": applied, "facts": facts}


ON_THE_WIRE: dict[str, dict[str, Any]] = {
    "google_ads": change("1001", 2.5)["facts"],
    "meta": {"campaign_id": "1001", "roas_average_floor": 25_000},
    "trade_desk": {"campaign_id": "1001", "base_bid_cpm": 20.0},
}
"""$20 for a customer worth $50 on campaign 1001, as each sandbox journals it."""


def test_money_at_the_sandbox_is_counted_by_what_was_sent_not_by_what_the_server_says() -> None:
    table = SentTable()
    first = table.bid(ADS, "1001", "15.00", "2.01")
    second = table.bid(ADS, "1001", "75.00", "4.00")
    table.bid(ADS, "1002", "300.00", "2.00")
    read = {"changes": False, "applied": True, "facts": {"campaign_id": "1002"}}
    refused = change("1002", 2.0, applied=False)

    applied = table.applied(ADS, [change("1001", 2.01), read, refused, change("1001", 4.0)])

    assert applied.bids == (first, second)
    assert applied.total_micros == 90_000_000
    assert applied.unknown == 0


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_every_platform_says_how_a_bid_stands_on_its_wire(platform: str) -> None:
    table = SentTable()
    sent = table.bid(platform, "1001", "20.00", "2.5")
    journal = [{"changes": True, "applied": True, "facts": ON_THE_WIRE[platform]}]
    applied = table.applied(platform, journal)
    assert (applied.bids, applied.unknown) == ((sent,), 0)
    assert sent.request.bid.bid_micros == 20_000_000
    for other in PLATFORMS.keys() - {platform}:
        assert table.applied(other, []).bids == ()


def test_of_a_mutate_of_many_bids_each_that_was_made_is_counted() -> None:
    table = SentTable()
    first = table.bid(ADS, "1001", "15.00", "2.00")
    table.bid(ADS, "1002", "20.00", "2.00")
    entry = change("1001", 2.0)
    refused = {"campaign_id": "1002", "target_roas": 2.0, "applied": False}
    entry["facts"]["operations"].append(refused)
    applied = table.applied(ADS, [entry])
    assert (applied.bids, applied.unknown) == ((first,), 0)


def test_a_change_applied_twice_counts_twice() -> None:
    table = SentTable()
    table.bid(ADS, "1001", "15.00", "2.00")
    applied = table.applied(ADS, [change("1001", 2.0), change("1001", 2.0)])
    assert applied.total_micros == 30_000_000


def test_a_change_that_nobody_sent_is_counted_as_such() -> None:
    table = SentTable()
    table.bid(ADS, "1001", "15.00", "2.00")
    applied = table.applied(ADS, [change("1001", 2.5), change("1002", 2.0)])
    assert (applied.bids, applied.unknown) == ((), 2)


def test_a_reduction_says_so_and_a_bid_is_found_again_by_its_campaign() -> None:
    table = SentTable()
    first = table.bid(ADS, "1001", "15.00", "2.00", reduce_only=True)
    table.bid(ADS, "1001", "20.00", "3.00")
    assert first.request.bid.reduce_only
    assert table.of(ADS, "1001") is first


def test_two_bids_that_would_look_the_same_on_the_wire_are_refused() -> None:
    table = SentTable()
    table.bid(ADS, "1001", "15.00", "2.00")
    with pytest.raises(ValueError, match="already bid"):
        table.bid(ADS, "1001", "75.00", "2.00")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_settings_of_a_scenario_are_shown_and_can_be_written(scenario: Any) -> None:
    shown = settings_text(scenario).split("; then ")
    for act, text in zip(scenario.acts, shown, strict=True):
        assert tomllib.loads(render_document(act.settings)) == act.settings
        assert (text == "the defaults") == (act.settings == {})


async def test_a_server_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    process = Process(("serve", "--config", missing), log=tmp_path / "log")
    with pytest.raises(ProcessFailed, match=r"missing\.toml: cannot be read"):
        async with process:
            pass


def test_the_kill_switch_is_judged_by_what_the_sandbox_took_and_when() -> None:
    pauses = [
        Pause(asked_ns=1_000_000, acknowledged_ns=9_000_000, resumed_ns=20_000_000, in_flight=0),
        Pause(asked_ns=30_000_000, acknowledged_ns=31_000_000, resumed_ns=40_000_000, in_flight=2),
        Pause(asked_ns=50_000_000, acknowledged_ns=51_000_000, resumed_ns=60_000_000, in_flight=0),
    ]
    taken = [500_000, 3_000_000, 6_000_000, 25_000_000, 32_000_000]
    journal = [{"changes": True, "at_ns": at_ns} for at_ns in taken]
    journal.append({"changes": False, "at_ns": 12_000_000})
    measured = judged(pauses, journal)
    assert measured == Measured((0.0, 2.0, 5.0), changes=5, late=1, in_flight=2)
    assert [measured.percentile_ms(percent) for percent in (1, 50, 99)] == [0.0, 2.0, 5.0]
