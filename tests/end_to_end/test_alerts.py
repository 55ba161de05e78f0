"""Alerts from the bid that causes one to whoever is told: recorded once, delivered at least once,
whatever dies in between.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
import pytest_asyncio
from tests.conformance.ledger.bench import PLATFORM, USD, ask, budget
from tests.server.alerts.receiver import SECRET, Answer, Receiver

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.ledger import Condition, Subject
from smartconnectors_server.ledger.export import json_line
from smartconnectors_server.ledger.snapshot import Snapshot
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.ledger.store import FILE_NAME
from smartconnectors_server.picture import picture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.conftest import Link, Stage, Words

BIDS = 10_000
AT_ONCE = 250
KILLED = -signal.SIGKILL


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    await one.start()
    yield one
    await one.stop()


def alert_lines(directory: Path) -> list[str]:
    """The lines about alerts as `audit export` writes them, once all has been verified."""
    snapshot = Snapshot(directory)
    try:
        lines: list[str] = []

        def passing(entries: Any) -> Any:
            for entry in entries:
                if entry.verb.startswith("alert"):
                    lines.append(json_line(entry))
                yield entry

        snapshot.verify(passing)
        return lines
    finally:
        snapshot.close()


async def test_of_ten_thousand_bids_that_cross_a_level_once_one_alert_is_on_record(
    tmp_path: Path,
) -> None:
    """Every bid is of $1 and the limit $12,000, so the 9,600th crosses 80 %. Some are given back
    right at the level, and the ledger is opened anew before it, right after it and at the end.
    """
    clock = ManualClock()
    budgets = [budget(PLATFORM, 12_000 * USD)]
    ledger = SqliteLedger(tmp_path, clock)
    await ledger.open(budgets)

    async def bid(number: int, *, accepted: bool = True) -> None:
        hold = await ledger.reserve(ask(f"r{number}-{accepted}", USD))
        if accepted:
            await ledger.settle(hold.hold_id)
        else:
            await ledger.release(hold.hold_id)

    for begin in range(0, BIDS, AT_ONCE):
        # Every fifth is tried twice, and the platform refuses its first attempt.
        numbers = range(begin, begin + AT_ONCE)
        await asyncio.gather(*(bid(number, accepted=False) for number in numbers[::5]))
        await asyncio.gather(*(bid(number) for number in numbers))
        if begin + AT_ONCE in (9_500, 9_750, 10_000):
            await ledger.close()
            ledger = SqliteLedger(tmp_path, clock)
            await ledger.open(budgets)
    assert ledger.state(PLATFORM).limits[0].committed_micros == BIDS * USD
    await ledger.close()
    (line,) = alert_lines(tmp_path)
    assert '"verb":"alert"' in line
    assert '"note":"WARNING: $9,600.00 of $12,000.00' in line


def hooked(receiver: Receiver, **more: Any) -> dict[str, Any]:
    """Settings with a webhook."""
    webhook = {"url": receiver.url, "secret": SECRET, **more}
    return {"alerts": {"webhooks": {"oncall": webhook}}, "budget": {"limit": "100"}}


async def recorded(link: Link) -> list[str]:
    """The ids of all alerts, oldest first."""
    page = await link.budgets.ListAlerts(pb.ListAlertsRequest(page_size=1000))
    return [alert.alert_id for alert in page.alerts]


async def bids(link: Link, say: Words, *, patiently: bool = False) -> None:
    """Bids of $4, each of which changes something; the twentieth comes to 80 % of $100, and giving
    it back would not arm that again. `patiently`: asks again while it is not known what became of
    one.
    """

    async def placed(request: Any) -> bool:
        try:
            await link.place(request)
        except grpc.aio.AioRpcError:
            if not patiently:
                raise
            return False
        return True

    for number in range(21):
        campaign = f"100{number % 4 + 1}"
        request = say.bid(f"b{number}", 4, campaign=campaign, ltv_usd=20 + number)
        await say.eventually(lambda request=request: placed(request), bool)


@pytest.mark.parametrize(
    "point", ["alert_in_memory", "alert_before_commit", "alert_after_commit", "mark:3"]
)
async def test_an_alert_at_whose_writing_the_server_dies_is_recorded_once_and_delivered(
    stage: Stage, say: Words, receiver: Receiver, point: str
) -> None:
    process = await stage.process(server={"failpoint": point}, timeout_ms=300, **hooked(receiver))
    with pytest.raises(grpc.aio.AioRpcError):
        await bids(process, say)
    assert await process.ended() == KILLED

    process = await stage.process(timeout_ms=300, **hooked(receiver))
    await bids(process, say, patiently=True)
    ids = await recorded(process)
    await say.eventually(lambda: set(receiver.taken), lambda taken: taken >= set(ids))
    await process.kill()
    (line,) = alert_lines(stage.directory / "state")
    assert '"note":"WARNING: ' in line
    assert set(receiver.taken) == set(ids)
    for delivery in receiver.got:
        delivery.verify()


async def test_a_receiver_that_fails_hangs_and_is_away_over_a_kill_gets_every_alert(
    stage: Stage, say: Words, receiver: Receiver
) -> None:
    receiver.will(Answer(500), Answer(429, {"Retry-After": "1"}), Answer(301), Answer(hangs=True))
    process = await stage.process(**hooked(receiver))
    await bids(process, say)
    await receiver.until(2)
    await receiver.stop()
    await process.place(
        say.bid("more", 12, campaign="1001", ltv_usd=50)
    )  # 96 %: told while it is away
    ids = await recorded(process)
    assert len(ids) == 2
    await process.kill()
    await receiver.start()
    process = await stage.process(**hooked(receiver))
    await say.eventually(lambda: set(receiver.taken), lambda taken: taken == set(ids), 60.0)
    assert await recorded(process) == ids
    await process.kill()
    for delivery in receiver.got:
        delivery.verify()
    log = process.log.read_text()
    assert '"event": "alert"' in log
    assert all(f'"id": "{alert_id}"' in log for alert_id in ids)
    assert "do-not-show-me" not in log
    assert SECRET.removeprefix("whsec_") not in log


async def test_a_breaker_that_opens_and_closes_is_told_to_whoever_watches_from_any_id(
    stage: Stage, say: Words
) -> None:
    quick = {"failure_threshold": 3, "slow_call_ms": 120, "open_s": 0.3, "close_after_successes": 1}
    server = await stage.serve(circuit_breaker=quick, alerts={"ends_after_s": 0})
    stream = server.budgets.WatchAlerts(pb.WatchAlertsRequest())
    first = await stream.read()
    assert (first.HasField("alert"), first.after_id) == (False, "alert-0")
    await stage.fault(FaultKind.SLOW, times=3, delay_ms=180)
    for number in range(3):
        await server.place(say.bid(f"slow-{number}", 1, campaign=f"100{number + 1}"))
    opened = (await stream.read()).alert
    assert (opened.kind, opened.platform) == (pb.ALERT_KIND_CIRCUIT_OPENED, "google_ads")
    stream.cancel()
    await server.place(say.bid("waits", 1, campaign="1004"))
    await say.eventually(lambda: recorded(server), lambda ids: len(ids) == 2, 20.0)
    again = server.budgets.WatchAlerts(pb.WatchAlertsRequest(after_id=opened.alert_id))
    await again.read()
    closed = (await again.read()).alert
    assert closed.kind == pb.ALERT_KIND_CIRCUIT_CLOSED
    again.cancel()


async def test_bids_do_not_wait_for_a_receiver_that_hangs(
    stage: Stage, say: Words, receiver: Receiver
) -> None:
    receiver.always(lambda _id: Answer(hangs=True))
    server = await stage.serve(**hooked(receiver))
    await server.place(say.bid("first", 85))
    await receiver.until(1)
    for number in range(10):
        request = say.bid(f"b{number}", 1, campaign=f"100{number % 4 + 1}", ltv_usd=5 + number)
        await server.place(request, timeout=60)
    pending = server.core.books.deliveries.pending
    await say.eventually(pending, lambda counts: counts == {"log": 0, "oncall": 2})


async def test_a_ledger_that_cannot_be_written_is_told_once_it_can(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    other = sqlite3.connect(stage.directory / "state" / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert (await say.refused(server.place(say.bid("b")))).reason == "LEDGER_UNAVAILABLE"
    told = Subject(Condition.LEDGER)
    await say.eventually(lambda: server.core.ledger.alerts.has_told(told), bool)
    other.execute("ROLLBACK")
    other.close()
    await say.eventually(lambda: recorded(server), lambda ids: len(ids) == 1)
    (alert,) = (await server.budgets.ListAlerts(pb.ListAlertsRequest())).alerts
    assert (alert.kind, alert.stands) == (pb.ALERT_KIND_LEDGER_SLOW, True)


async def test_the_dashboard_shows_the_newest_and_whether_they_stand(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(budget={"limit": "100"})
    await server.place(say.bid("first", 85))
    await server.place(say.bid("second", 15, campaign="1002"))
    app = server.app

    def shown() -> list[tuple[str, bool]]:
        alerts = picture(app.core.engines, app.core.ledger.alerts, ready=True)["alerts"]
        return [(alert["kind"], alert["stands"]) for alert in alerts]

    newest = [("budget_exhausted", True), ("budget_warning", False)]
    await say.eventually(shown, lambda seen: seen == newest)
