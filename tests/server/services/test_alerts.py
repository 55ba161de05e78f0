"""Alerts as callers read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors.common.v1 import budget_pb2
from smartconnectors_server.access import Caller, Role, Scope
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import ServerDraining
from smartconnectors_server.ledger import Condition, Entry, Subject
from smartconnectors_server.services.alerts import AlertReader
from smartconnectors_server.services.budgets import _sees

if TYPE_CHECKING:
    from tests.server.services.conftest import Counter


async def three(counter: Counter) -> list[str]:
    """Two levels of one budget and one of another; their ids."""
    await counter.hold("a", 85)
    await counter.hold("b", 11)
    await counter.hold("c", 45, "meta")
    await counter.ledger.flush()
    return [alert.id for alert in await counter.ledger.alerts.page(0, 10)]


async def test_a_page_is_oldest_first_and_says_where_the_next_one_begins(counter: Counter) -> None:
    one, two, three_ = await three(counter)
    page = await counter.ask("ListAlerts", pb.ListAlertsRequest(page_size=2))
    assert ([a.alert_id for a in page.alerts], page.next_after_id) == ([one, two], two)
    rest = await counter.ask("ListAlerts", pb.ListAlertsRequest(after_id=page.next_after_id))
    assert ([a.alert_id for a in rest.alerts], rest.next_after_id) == ([three_], "")


async def test_a_page_may_be_newest_first(counter: Counter) -> None:
    one, two, three_ = await three(counter)
    asked = pb.ListAlertsRequest(page_size=2, newest_first=True)
    page = await counter.ask("ListAlerts", asked)
    assert ([a.alert_id for a in page.alerts], page.next_after_id) == ([three_, two], two)
    asked.after_id = page.next_after_id
    page = await counter.ask("ListAlerts", asked)
    assert ([a.alert_id for a in page.alerts], page.next_after_id) == ([one], "")


async def test_an_alert_says_what_happened_and_whether_it_stands(counter: Counter) -> None:
    await three(counter)
    page = await counter.ask("ListAlerts", pb.ListAlertsRequest())
    first, second, _ = page.alerts
    assert (first.kind, first.level, first.stands) == (
        pb.ALERT_KIND_BUDGET_WARNING,
        budget_pb2.ALERT_LEVEL_WARNING,
        False,
    )
    assert (second.kind, second.level, second.stands) == (
        pb.ALERT_KIND_BUDGET_CRITICAL,
        budget_pb2.ALERT_LEVEL_CRITICAL,
        True,
    )
    assert list(second.budget_ids) == [second.platform] == ["google_ads"]
    assert (second.amount_micros, second.currency_code) == (96_000_000, "USD")
    assert second.text.startswith("budget google_ads is at CRITICAL: $96.00 of $100.00")


async def test_a_stream_goes_on_after_any_alert_and_then_as_they_come(counter: Counter) -> None:
    one, *later = await three(counter)
    stream = counter.stream(pb.WatchAlertsRequest(after_id=one))
    begun = await anext(stream)
    assert (begun.HasField("alert"), begun.after_id) == (False, one)
    messages = [await anext(stream) for _ in later]
    assert [message.alert.alert_id for message in messages] == later
    assert [message.after_id for message in messages] == later
    waiting = anext(stream)
    await counter.hold("d", 5, "meta")
    assert (await waiting).alert.kind == pb.ALERT_KIND_BUDGET_EXHAUSTED
    counter.ledger.alerts.close()
    with pytest.raises(ServerDraining):
        await anext(stream)


async def test_without_an_id_a_stream_begins_now(counter: Counter) -> None:
    *_, last = await three(counter)
    stream = counter.stream(pb.WatchAlertsRequest())
    assert (await anext(stream)).after_id == last
    waiting = anext(stream)
    await counter.hold("d", 5, "meta")
    assert (await waiting).alert.kind == pb.ALERT_KIND_BUDGET_EXHAUSTED


async def test_a_reader_that_reads_nothing_holds_one_number(
    counter: Counter, clock: ManualClock
) -> None:
    """What it has not read is in the ledger and nowhere else."""
    stream = counter.stream(pb.WatchAlertsRequest(after_id="alert-0"))
    await counter.hold("a", 84)
    await counter.ledger.flush()
    await anext(stream)
    await anext(stream)
    for number in range(30):
        held = await counter.hold(f"r{number}", 14)
        clock.advance(60)
        await counter.ledger.release(held.hold_id)
    await counter.ledger.flush()
    log = counter.ledger.alerts
    assert len(log.recent()) == 20
    assert len([message async for message in take(stream, 60)]) == 60


async def take(stream: Any, count: int) -> Any:
    for _ in range(count):
        yield await anext(stream)


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        (Scope(), ["google_ads", "google_ads", "", "google_ads"]),
        (Scope.of(["google_ads"], None), ["google_ads", "google_ads", "google_ads"]),
        (Scope.of(["google_ads"], ["7"]), ["google_ads", "google_ads"]),
        (Scope.of(["google_ads"], ["1"]), ["google_ads", "google_ads", "google_ads"]),
        (Scope.of(["meta"], None), []),
    ],
)
async def test_callers_are_told_what_they_may_see(
    counter: Counter, scope: Scope, seen: list[str]
) -> None:
    await counter.hold("a", 85)
    alerts = counter.ledger.alerts
    book = ("google_ads",)
    alerts.tell(Subject(Condition.CIRCUIT, "google_ads"), True, lambda: "x", budget_ids=book)
    alerts.tell(Subject(Condition.LEDGER), True, lambda: "x")
    ids = ("google_ads", "google_ads/campaigns/1")
    doubt = Subject(Condition.IN_DOUBT, "google_ads", "r")
    alerts.tell(doubt, True, lambda: "x", budget_ids=ids)
    await counter.ledger.flush()
    caller = Caller("v", Role.READ, scope)
    page = await AlertReader(alerts).page(pb.ListAlertsRequest(), caller.scope)
    assert [alert.platform for alert in page.alerts] == seen


@pytest.mark.parametrize(("campaign", "sees"), [("1", True), ("7", False)])
def test_the_audit_line_of_a_bid_in_doubt_is_for_who_may_see_the_bid(
    campaign: str, sees: bool
) -> None:
    ids = ("google_ads", "google_ads/campaigns/1")
    line = Entry(1, "alert", ids, "", "google_ads", "r", 0, "USD", "IN_DOUBT: x")
    assert _sees(Scope.of(["google_ads"], [campaign]), line) is sees
