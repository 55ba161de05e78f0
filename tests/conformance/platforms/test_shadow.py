"""In shadow mode a platform sees reads and no change, whatever is called: what its sandbox
journalled says so, not our own books.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from smartconnectors.client import Client
from smartconnectors.common.v1.bid_pb2 import BID_STATUS_SHADOWED, BID_STATUS_VALIDATED
from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.call import MethodSpec

if TYPE_CHECKING:
    from smartconnectors_server.connector import Platform
    from smartconnectors_server.connector.sandbox import Sandbox

CAMPAIGNS = ("1001", "1002", "1003")


class Server:
    """A whole server in shadow mode in front of one platform's sandbox."""

    def __init__(self, platform: Platform, sandbox: Sandbox, client: Client) -> None:
        self._platform = platform
        self._client = client
        self.sandbox = sandbox

    def request(self, name: str, **fields: Any) -> Any:
        return GetMessageClass(self._platform.service.methods_by_name[name].input_type)(**fields)

    async def call(self, name: str, **fields: Any) -> Any:
        method = self._platform.service.methods_by_name[name]
        return await self._client.method(method)(self.request(name, **fields), timeout=60)

    async def stream(self, requests: list[Any]) -> list[Any]:
        method = self._platform.service.methods_by_name["StreamBids"]
        call: Any = self._client.channel.stream_stream(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )(iter(requests), timeout=60)
        return [one async for one in call]


def bid(request_id: str, campaign_id: str) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "campaign_id": campaign_id,
        "bid_micros": 15_000_000,
        "predicted_ltv_micros": 30_000_000,
    }


@pytest.fixture
async def server(platform: Platform, tmp_path: Path) -> AsyncIterator[Server]:
    sandbox = platform.sandbox()
    endpoint = await sandbox.start()
    theirs = {
        "mode": "shadow",
        "endpoint": endpoint,
        "max_step_percent": 1_000_000,
        "min_interval_s": 0,
        "rate_limit": {"calls": 10_000},
    }
    document = {
        "server": {"state_dir": str(tmp_path / "state"), "grpc_port": 0, "drain_pause_s": 0},
        "platforms": {platform.name: theirs},
    }
    app = Application(load_settings(None, {}, document), platforms={platform.name: platform})
    ready = await app.start()
    await app.tried()
    try:
        async with Client(ready.grpc_address) as client:
            yield Server(platform, sandbox, client)
    finally:
        await app.stop()
        await sandbox.close()


async def test_whatever_is_called_in_shadow_mode_the_platform_sees_no_change(
    server: Server, platform: Platform
) -> None:
    called = {
        spec.name: await answers_of(server, spec)
        for spec in map(MethodSpec.of, platform.service.methods)
        if spec.platform
    }
    bids = {"PlaceBid", "PlaceBids", "StreamBids"}
    assert bids <= set(called)
    for name, answers in called.items():
        for answer in answers:
            if name in bids or name == "UpdateCampaignBudget":
                assert answer.result.status == BID_STATUS_SHADOWED, (name, answer)
            else:
                assert answer.result.shadowed, (name, answer)
    journal = server.sandbox.journal()
    assert [entry for entry in journal if entry.changes] == []
    assert journal, "what is planned was read"


async def test_a_question_in_shadow_mode_is_no_change_either(server: Server) -> None:
    asked = {**bid("question", "1001"), "validate_only": True}
    assert (await server.call("PlaceBid", bid=asked)).result.status == BID_STATUS_VALIDATED
    for name in ("PauseCampaign", "ResumeCampaign"):
        await server.call(name, update={"campaign_id": "1001", "validate_only": True})
    assert not [e for e in server.sandbox.journal() if e.changes and e.applied]


async def answers_of(server: Server, spec: MethodSpec) -> list[Any]:
    """Calls one method of a platform as a caller would; the answers, one for each bid."""
    match spec.name:
        case "PlaceBid":
            return [await server.call(spec.name, bid=bid("alone", "1001"))]
        case "PlaceBids":
            bids = [{"bid": bid(f"batch-{one}", one)} for one in CAMPAIGNS]
            return [one.response for one in (await server.call(spec.name, bids=bids)).answers]
        case "StreamBids":
            messages = [
                server.request(spec.name, bid={"bid": bid(f"stream-{one}", one)})
                for one in CAMPAIGNS
            ]
            return [one.answer.response for one in await server.stream(messages)]
        case "UpdateCampaignBudget":
            update = {
                "request_id": "budget",
                "campaign_id": "1004",
                "daily_budget_micros": 105_000_000,
            }
            return [await server.call(spec.name, update=update)]
        case "UpdateTargetAudience":
            update = {"campaign_id": "1005", "add_audience_ids": ["7001"]}
            return [await server.call(spec.name, update=update)]
        case _:  # PauseCampaign, ResumeCampaign, and whatever comes to be like them
            return [await server.call(spec.name, update={"campaign_id": "1006"})]
