"""A tokens file or key set that cannot be used revokes nothing, and somebody is told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.server.access.people import Person
from tests.server.access.stage import Provider, application, entry, jwks

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors_server.app import Application
from smartconnectors_server.clock import ManualClock

PROVIDER = Provider(ec.generate_private_key(ec.SECP256R1()), "ES256", "k")
UNUSABLE, USABLE = pb.ALERT_KIND_ACCESS_FILE_UNUSABLE, pb.ALERT_KIND_ACCESS_FILE_USABLE


class Scene:
    """A server that reads a tokens file and a key set, and an operator."""

    def __init__(
        self, app: Application, operator: Person, files: dict[str, Path], clock: ManualClock
    ) -> None:
        self.app = app
        self.operator = operator
        self.files = files
        self._clock = clock

    def passes(self, seconds: int) -> None:
        """Time, with a look of the server at each second."""
        for _ in range(seconds):
            self._clock.advance(1)
            core = self.app.core
            core.books.conditions.look(core.runtimes, core.auth.gatekeeper.files())

    async def alerts(self) -> list[tuple[int, str]]:
        """Of these files: kind and text, oldest first."""
        await self.app.core.ledger.flush()
        request = pb.ListAlertsRequest(after_id="alert-0", page_size=100)
        page = await self.operator.ask(self.operator.budgets.ListAlerts, request)
        kinds = (UNUSABLE, USABLE)
        return [(one.kind, one.text) for one in page.alerts if one.kind in kinds]

    def usable(self) -> dict[str, float]:
        """As the metric says it."""
        text = self.app.telemetry.metrics.exposition("text/plain")[0].decode()
        found = re.findall(r'smartconnectors_access_file_usable\{file="([^"]+)"\} (\S+)', text)
        return {file: float(value) for file, value in found}


@pytest.fixture
async def scene(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Scene]:
    tokens, keys = tmp_path / "tokens.toml", tmp_path / "jwks.json"
    tokens.write_text(entry("operator", "operate", "operator"))
    access: dict[str, Any] = {"tokens_file": str(tokens), "jwt": jwks(keys, PROVIDER)}
    app = application(tmp_path, clock, access=access)
    operator = Person((await app.start()).grpc_address, "operator")
    yield Scene(app, operator, {"access.tokens_file": tokens, "access.jwt.jwks_file": keys}, clock)
    await operator.channel.close()
    await app.stop()


@pytest.mark.parametrize("key", ["access.tokens_file", "access.jwt.jwks_file"])
@pytest.mark.parametrize("how", ["broken", "deleted"])
async def test_a_file_that_cannot_be_used_is_an_alert_and_a_metric_until_it_can(
    scene: Scene, key: str, how: str
) -> None:
    file = scene.files[key]
    good = file.read_bytes()
    assert scene.usable() == dict.fromkeys(scene.files, 1.0)
    if how == "broken":
        file.write_text("{")
    else:
        file.unlink()
    scene.passes(1)
    assert scene.usable() == {**dict.fromkeys(scene.files, 1.0), key: 0.0}
    scene.passes(31)
    ((kind, text),) = await scene.alerts()
    assert kind == UNUSABLE
    assert text.startswith(f"access: {key} ")
    assert "still accepted" in text
    file.write_bytes(good)
    scene.passes(62)
    assert [kind for kind, _ in await scene.alerts()] == [UNUSABLE, USABLE]
    assert scene.usable() == dict.fromkeys(scene.files, 1.0)


async def test_a_file_that_is_unusable_for_a_moment_is_no_alert(scene: Scene) -> None:
    file = scene.files["access.tokens_file"]
    good = file.read_bytes()
    file.write_text("{")
    scene.passes(10)
    file.write_bytes(good)
    scene.passes(100)
    assert await scene.alerts() == []


async def test_without_access_control_there_is_no_such_metric(
    tmp_path: Path, clock: ManualClock
) -> None:
    app = application(tmp_path, clock)
    await app.start()
    text = app.telemetry.metrics.exposition("text/plain")[0].decode()
    assert "smartconnectors_access_file_usable{" not in text
    await app.stop()
