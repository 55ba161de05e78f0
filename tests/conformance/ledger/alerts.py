"""What a ledger tells of a budget that comes near its limit: once, whatever happens in between."""

from __future__ import annotations

from tests.conformance.ledger.bench import (
    PLATFORM,
    USD,
    Bench,
    all_entries,
    ask,
    budget,
    commit,
    daily,
)

from smartconnectors_server.ledger import (
    ALERT,
    FROM_THE_END,
    AlertKind,
    AlertLevel,
    Condition,
    HoldState,
    Ledger,
    Subject,
)


async def told(ledger: Ledger) -> list[str]:
    """Every line about alerts: the verb and the level that stands from then on."""
    lines = [line for line in await all_entries(ledger) if line.verb.startswith(ALERT)]
    return [f"{line.verb} {line.note.partition(':')[0]}" for line in lines]


async def a_level_is_told_once_when_it_is_reached(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    for used_usd, lines in [(20, 0), (79, 0), (80, 1), (94, 1), (95, 2), (99, 2), (100, 3)]:
        so_far = ledger.state(PLATFORM).used_micros()
        await commit(ledger, f"to {used_usd}", used_usd * USD - so_far)
        assert len(await told(ledger)) == lines
    assert await told(ledger) == ["alert WARNING", "alert CRITICAL", "alert EXHAUSTED"]
    assert ledger.standing(PLATFORM) is AlertLevel.EXHAUSTED


async def an_alert_says_the_figures_of_the_fullest_limit_and_follows_what_caused_it(
    bench: Bench,
) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD, daily(20 * USD)))
    await ledger.reserve(ask("a", 19 * USD))
    *_, reserve, alert = await all_entries(ledger)
    assert reserve.verb == "reserve"
    assert (alert.verb, alert.amount_micros, alert.budget_ids) == (ALERT, 19 * USD, (PLATFORM,))
    assert alert.note.startswith("CRITICAL: $19.00 of $20.00 committed, held, deferred")


async def what_is_given_back_near_a_level_does_not_tell_it_again(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    await commit(ledger, "base", 76 * USD)
    for number in range(5):
        hold = await ledger.reserve(ask(f"r{number}", 10 * USD))
        bench.clock.advance(60)
        await ledger.release(hold.hold_id, HoldState.REJECTED)
    assert await told(ledger) == ["alert WARNING"]


async def a_level_is_armed_again_ten_points_below_it(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    await commit(ledger, "base", 69 * USD)
    for number in range(2):
        hold = await ledger.reserve(ask(f"r{number}", 15 * USD))
        bench.clock.advance(60)
        await ledger.release(hold.hold_id)
    assert await told(ledger) == ["alert WARNING", "alert_end NONE"] * 2
    assert ledger.standing(PLATFORM) is AlertLevel.NONE


async def a_level_stands_for_a_minute_however_often_money_is_given_back(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    for number in range(5):
        hold = await ledger.reserve(ask(f"r{number}", 90 * USD))
        await ledger.release(hold.hold_id)
        bench.clock.advance(10)
    assert await told(ledger) == ["alert WARNING"]


async def a_level_that_stands_ends_with_time_alone(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    await commit(ledger, "a", 90 * USD)
    ledger.look_at_alerts()
    assert await told(ledger) == ["alert WARNING"]
    bench.clock.advance(601)
    for _ in range(2):
        ledger.look_at_alerts()
    await ledger.flush()
    assert await told(ledger) == ["alert WARNING", "alert_end NONE"]


async def a_level_is_told_again_when_time_alone_has_emptied_the_window(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    for number in range(3):
        await commit(ledger, f"r{number}", 96 * USD)
        bench.clock.advance(601)
    assert await told(ledger) == ["alert CRITICAL", *["alert_end NONE", "alert CRITICAL"] * 2]


async def a_restart_tells_nothing_twice_and_forgets_nothing(bench: Bench) -> None:
    budgets = budget(PLATFORM, 100 * USD)
    ledger = await bench.open(budgets)
    await commit(ledger, "a", 90 * USD)
    for _ in range(2):
        ledger = await bench.restart(budgets)
        assert ledger.standing(PLATFORM) is AlertLevel.WARNING
        await ledger.release((await ledger.reserve(ask("b", USD))).hold_id)
    assert await told(ledger) == ["alert WARNING"]
    await commit(ledger, "c", 6 * USD)
    ledger = await bench.restart(budgets)
    assert await told(ledger) == ["alert WARNING", "alert CRITICAL"]
    # While it was away, the window emptied.
    ledger = await bench.restart(budgets, away_s=601)
    assert (await told(ledger))[2:] == ["alert_end NONE"]


async def a_lowered_limit_and_a_smaller_one_in_the_settings_are_told_too(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    await commit(ledger, "a", 45 * USD)
    await ledger.set_limit(PLATFORM, 50 * USD, "less")
    assert await told(ledger) == ["alert WARNING"]
    bench.clock.advance(60)
    await ledger.set_limit(PLATFORM, 100 * USD, "more")
    assert (await told(ledger))[1:] == ["alert_end NONE"]
    ledger = await bench.restart(budget(PLATFORM, 100 * USD, daily(45 * USD)))
    assert (await told(ledger))[2:] == ["alert EXHAUSTED"]


async def who_follows_gets_each_alert_once_it_is_durable_and_goes_on_after_any_line(
    bench: Bench,
) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    stream = ledger.alerts.follow(0)
    hold = await ledger.reserve(ask("a", 85 * USD))
    (first,) = await anext(stream)
    assert (first.kind, first.level) == (AlertKind.BUDGET_WARNING, AlertLevel.WARNING)
    bench.clock.advance(60)
    await ledger.release(hold.hold_id)
    await ledger.flush()
    (second,) = await anext(stream)
    assert second.kind is AlertKind.BUDGET_EASED
    lines = [line for line in await all_entries(ledger) if line.verb.startswith(ALERT)]
    assert [first.sequence, second.sequence] == [line.sequence for line in lines]
    assert await anext(ledger.alerts.follow(first.sequence)) == [second]
    ledger.alerts.close()
    assert [alerts async for alerts in stream] == []


async def a_condition_is_on_record_once_over_restarts_until_it_ends(bench: Bench) -> None:
    ledger = await bench.open()
    circuit = Subject(Condition.CIRCUIT, PLATFORM)
    assert not ledger.alerts.tell(circuit, False, lambda: "closed")
    assert ledger.alerts.tell(circuit, True, lambda: "opened", budget_ids=(PLATFORM,))
    assert not ledger.alerts.tell(circuit, True, lambda: "opened again")
    ledger = await bench.restart()
    assert not ledger.alerts.tell(circuit, True, lambda: "still open")
    assert ledger.alerts.told(Condition.CIRCUIT) == (circuit,)
    assert ledger.alerts.tell(circuit, False, lambda: "closed", budget_ids=(PLATFORM,))
    ledger = await bench.restart()
    assert ledger.alerts.told(Condition.CIRCUIT) == ()
    assert await told(ledger) == ["alert CIRCUIT", "alert_end CIRCUIT"]


async def what_is_told_beside_budgets_does_not_disturb_their_levels(bench: Bench) -> None:
    budgets = budget(PLATFORM, 100 * USD)
    ledger = await bench.open(budgets)
    await commit(ledger, "a", 90 * USD)
    ledger.alerts.tell(
        Subject(Condition.RATE_LIMIT, PLATFORM), True, lambda: "x", budget_ids=(PLATFORM,)
    )
    ledger = await bench.restart(budgets)
    assert ledger.standing(PLATFORM) is AlertLevel.WARNING
    assert await told(ledger) == ["alert WARNING", "alert RATE_LIMIT"]
    newest, before = ledger.alerts.recent()
    assert (newest.kind, before.kind) == (AlertKind.RATE_LIMIT_NEAR, AlertKind.BUDGET_WARNING)
    assert ledger.alerts.standing() == {newest.sequence, before.sequence}
    bench.clock.advance(601)
    await commit(ledger, "b", USD)
    assert ledger.alerts.standing() == {newest.sequence}


async def alerts_are_read_from_either_end(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    for number in range(3):
        await commit(ledger, f"r{number}", 96 * USD)
        bench.clock.advance(601)
    every = list(await ledger.alerts.page(0, 100))
    assert len(every) == 5
    assert await ledger.alerts.page(every[1].sequence, 2) == every[2:4]
    assert await ledger.alerts.newest(FROM_THE_END, 2) == every[:2:-1]
    assert await ledger.alerts.newest(every[2].sequence, 9) == every[1::-1]
    assert await ledger.alerts.count_after(every[1].sequence) == 3
