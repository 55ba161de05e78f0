"""What every platform of the registry promises."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from smartconnectors_server.connector import Finding, Platform
from smartconnectors_server.errors import UnknownTarget
from smartconnectors_server.platforms import PLATFORMS

CAMPAIGNS = tuple(str(campaign_id) for campaign_id in range(1001, 1011))

if TYPE_CHECKING:
    from tests.conformance.platforms.conftest import Bench


def test_a_platform_is_registered_under_its_own_name() -> None:
    assert all(name == platform.name for name, platform in PLATFORMS.items())


def test_a_variable_sets_a_setting_that_exists(platform: Platform) -> None:
    assert set(platform.environment.values()) <= set(platform.options.model_fields)


def test_without_settings_the_real_platform_is_out_of_reach(platform: Platform) -> None:
    assert platform.missing_credentials(platform.options())


def test_a_secret_is_not_shown_by_the_settings_that_hold_it(platform: Platform) -> None:
    secrets = {
        key: f"hidden-{key}"
        for key in platform.environment.values()
        if "Secret" in str(platform.options.model_fields[key].annotation)
    }
    options = platform.options.model_validate(secrets)
    assert secrets
    assert not any(secret in repr(options) + str(options) for secret in secrets.values())


def test_registering_a_platform_imports_no_client_library() -> None:
    # In a process of its own: here it has long been imported.
    script = (
        "import sys; import smartconnectors_server.platforms; "
        "print([m for m in sys.modules if m.startswith(('google.ads', 'google.auth', 'aiohttp'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "[]"


async def test_every_campaign_of_the_sandbox_takes_the_barest_bid(bench: Bench) -> None:
    for campaign_id in CAMPAIGNS:
        response = await bench.bid(campaign_id, f"bare-{campaign_id}")
        assert response.result.platform_bid_id
    assert bench.applied() == len(CAMPAIGNS)


async def test_the_journal_tells_which_campaign_each_change_was_for(bench: Bench) -> None:
    for campaign_id in CAMPAIGNS:
        await bench.bid(campaign_id, f"told-{campaign_id}")
    changes = [entry for entry in bench.sandbox.journal() if entry.changes]
    assert tuple(str(entry.facts["campaign_id"]) for entry in changes) == CAMPAIGNS
    assert [entry.sequence for entry in changes] == sorted(entry.sequence for entry in changes)


async def test_a_plan_changes_nothing_and_commits_the_bid(bench: Bench) -> None:
    _, plan = await bench.plan(bench.request("1001", "planned"))
    assert plan.amount_micros == 15_000_000
    assert not plan.unchanged
    assert bench.applied() == 0


async def test_what_would_wait_for_the_same_target_is_known_without_asking_the_platform(
    bench: Bench,
) -> None:
    requests = [bench.request(campaign, campaign) for campaign in ("1001", "1001", "1002")]
    first, again, other = map(bench.connector.offline_target, requests)
    assert first == again != other
    assert all(map(bench.connector.defers, requests))
    assert not bench.gate.reads


async def test_many_plans_at_once_read_a_campaign_once(bench: Bench) -> None:
    requests = [bench.request("1001", f"many-{i}", 30_000_000 + i) for i in range(50)]
    await asyncio.gather(*(bench.plan(request) for request in requests))
    assert len(bench.gate.reads) == len(set(bench.gate.reads))


async def test_the_same_bid_again_is_no_change(bench: Bench) -> None:
    await bench.bid("1001", "once")
    _, plan = await bench.plan(bench.request("1001", "twice"))
    assert plan.unchanged


async def test_another_bid_is_a_change(bench: Bench) -> None:
    await bench.bid("1001", "once")
    _, plan = await bench.plan(bench.request("1001", "twice", 31_000_000))
    assert not plan.unchanged


async def test_an_unknown_campaign_is_an_unknown_target(bench: Bench) -> None:
    with pytest.raises(UnknownTarget):
        await bench.plan(bench.request("999999", "nowhere"))


async def test_what_was_placed_is_found(bench: Bench) -> None:
    await bench.bid("1001", "placed")
    assert await bench.look() is Finding.APPLIED


async def test_what_was_planned_and_not_sent_is_found_missing(bench: Bench) -> None:
    request = bench.request("1001", "never-sent")
    priced, plan = await bench.plan(request)
    bench.sent.append((request, priced, plan))
    assert await bench.look() is Finding.NOT_APPLIED


async def test_after_a_reset_the_sandbox_is_as_it_was_at_first(bench: Bench) -> None:
    request = bench.request("1001", "first")
    planned = await bench.plan(request)
    await bench.send(request, *planned)
    await bench.sandbox.reset()
    assert bench.sandbox.journal() == ()
    # The lookup compares what is there now with what was there before the change.
    assert await bench.look() is Finding.NOT_APPLIED


async def test_a_closed_sandbox_can_be_closed_again(platform: Platform) -> None:
    sandbox = platform.sandbox()
    host, _, port = (await sandbox.start()).rpartition("//")[2].rpartition(":")
    await sandbox.close()
    await sandbox.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
