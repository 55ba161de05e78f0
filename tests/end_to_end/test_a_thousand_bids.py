"""A thousand bids on a thousand campaigns in one PlaceBids, counted at Google's sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smartconnectors.common.v1 import bid_pb2, errors_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.platforms.google_ads.sandbox import GoogleAdsSandbox

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Stage, Words

USD = 1_000_000
MANY = 1_000
FIRST = 100_001
REMOVED = ("100007", "100500", "101000")


def answers(response: Any) -> tuple[list[str], set[str]]:
    """Which bids were answered, in order, and which of them the platform refused."""
    refused = set()
    for answer in response.answers:
        if answer.WhichOneof("answer") == "error":
            assert answer.error.reason == errors_pb2.ERROR_REASON_PLATFORM_REJECTED
            refused.add(answer.request_id)
        else:
            assert answer.response.result.status == bid_pb2.BID_STATUS_PLACED
    return [answer.request_id for answer in response.answers], refused


async def test_a_thousand_bids_take_two_reads_and_one_mutate_and_the_money_is_exact(
    stage: Stage, say: Words
) -> None:
    sandbox = GoogleAdsSandbox(extra_campaigns=MANY)
    endpoint = await sandbox.start()
    server = await stage.serve(
        endpoint=endpoint,
        budget={"limit": "100000"},
        circuit_breaker={"slow_call_ms": 60_000},
        timeout_ms=60_000,
    )
    # Campaign -> dollars; each bid has an LTV of its own, so no two set the same ROAS.
    amounts = {str(FIRST + n): 20 + n % 30 for n in range(MANY)}

    async def place(prefix: str, ltv_usd: int) -> tuple[list[str], set[str], list[Any]]:
        before = len(sandbox.journal())
        bids = [
            say.bid(f"{prefix}{campaign}", usd, campaign=campaign, ltv_usd=ltv_usd + n)
            for n, (campaign, usd) in enumerate(amounts.items())
        ]
        request = ads_pb2.PlaceBidsRequest(bids=bids)
        said, refused = answers(await server.ads.PlaceBids(request, timeout=60))
        assert said == [bid.bid.request_id for bid in bids]
        calls = [e for e in sandbox.journal()[before:] if e.method != "oauth_token"]
        return [e.method for e in calls], refused, calls

    try:
        methods, refused, calls = await place("first-", 100)
        assert sorted(methods) == ["Mutate", "SearchStream", "SearchStream"]
        assert refused == set()
        total = sum(amounts.values())
        assert await server.money() == {"committed": total * USD}

        for campaign in REMOVED:
            sandbox.remove_campaign(campaign)
        methods, refused, calls = await place("second-", 3_000)
        assert methods == ["Mutate"]  # what was read a moment ago is still known
        assert refused == {f"second-{campaign}" for campaign in REMOVED}
        made = [op for op in calls[0].facts["operations"] if op["applied"]]
        expected = sum(usd for campaign, usd in amounts.items() if campaign not in REMOVED)
        assert sum(amounts[str(op["campaign_id"])] for op in made) == expected
        assert await server.money() == {"committed": (total + expected) * USD}
    finally:
        await sandbox.close()
