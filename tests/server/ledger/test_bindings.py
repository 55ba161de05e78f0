"""What a state directory belongs to: what is the same, what was added, and what is refused."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, budget
from tests.server.ledger.test_store import hold, line, of_holds, of_lines, reported

from smartconnectors_server.ledger import Adoption, Binding, BoundElsewhere, Hold, HoldState
from smartconnectors_server.ledger.adopting import bind
from smartconnectors_server.ledger.bindings import (
    NO_ADOPTION,
    binding_of_line,
    mode_of_place,
    objection,
)
from smartconnectors_server.ledger.campaigns import Stop, paused_campaigns
from smartconnectors_server.ledger.records import Step
from smartconnectors_server.ledger.recovery import recover
from smartconnectors_server.ledger.reported import Over
from smartconnectors_server.ledger.store import Batch, Store

NOW = 1_000_000
SANDBOX = Binding(PLATFORM, "sandbox", "", {"default": "id 1"})
LIVE = dataclasses.replace(SANDBOX, mode="live")
TWO = dataclasses.replace(LIVE, accounts={"default": "id 1", "eu": "id 2"})
META = Binding("meta", "live", "", {"default": "id 3"})
ADOPTED = Adoption({PLATFORM}, "an operator")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def begun(store: Store, *bindings: Binding, adoption: Adoption = NO_ADOPTION) -> list[Step]:
    """A start: what it says of bindings; it is written."""
    book = recover(store, [budget()], NOW, bindings).book
    steps = bind(store, book, NOW, bindings, adoption)
    store.write(Batch(list(steps)))
    return steps


def opened(state: HoldState, request_id: str = "r", platform: str = PLATFORM) -> Hold:
    return hold("h1", state, request_id=request_id, platform=platform, expires_ns=NOW + 1)


def test_a_place_is_a_mode_an_endpoint_and_an_account() -> None:
    assert TWO.places == ('["live", "", "id 1"]', '["live", "", "id 2"]')
    assert TWO.place("eu") == TWO.places[1]
    with pytest.raises(KeyError):
        TWO.place("us")
    assert len({one.place("default") for one in (SANDBOX, LIVE)}) == 2
    assert mode_of_place(TWO.place("eu")) == "live"
    assert mode_of_place("") == "unknown"


def test_accounts_may_be_added_and_nothing_else_may_differ() -> None:
    assert TWO.extends(LIVE)
    assert LIVE.extends(LIVE)
    assert not LIVE.extends(TWO)
    assert not LIVE.extends(SANDBOX)
    assert not dataclasses.replace(LIVE, endpoint="x").extends(LIVE)
    assert not dataclasses.replace(LIVE, platform="meta").extends(LIVE)
    assert not dataclasses.replace(TWO, accounts={"default": "id 2", "eu": "id 1"}).extends(TWO)


def test_what_is_on_record_is_read_back() -> None:
    assert binding_of_line(line(1, "bind", note=TWO.described())) == TWO
    assert TWO.described() == (
        '{"accounts":{"default":"id 1","eu":"id 2"},"endpoint":"","mode":"live"}'
    )


@pytest.mark.parametrize(
    ("before", "now", "differs"),
    [
        (SANDBOX, LIVE, "mode sandbox, now live"),
        (
            SANDBOX,
            dataclasses.replace(SANDBOX, endpoint="x:1"),
            "endpoint the built-in sandbox, now x:1",
        ),
        (dataclasses.replace(LIVE, endpoint="x:1"), LIVE, "endpoint x:1, now the real platform"),
        (TWO, LIVE, "account 'eu' (id 2), now absent"),
        (
            LIVE,
            dataclasses.replace(LIVE, accounts={"default": ""}),
            "account 'default' id 1, now no id",
        ),
        (
            dataclasses.replace(TWO, accounts={"default": "", "eu": ""}),
            dataclasses.replace(TWO, accounts={"default": "id 9"}),
            "account 'default' no id, now id 9; account 'eu' (no id), now absent",
        ),
    ],
)
def test_a_refusal_says_what_differs_and_what_to_do(
    before: Binding, now: Binding, differs: str
) -> None:
    assert objection(before, now, [], adopted=False) == (
        f"google_ads: this state directory belongs to other settings: {differs}. Use another "
        "--state-dir or the former settings. To go on here, start once with `serve --adopt "
        "google_ads`: what was committed still counts, request ids stay taken."
    )
    assert objection(before, now, [], adopted=True) is None


@pytest.mark.parametrize("adopted", [False, True])
@pytest.mark.parametrize("platform", [PLATFORM, f"shadow/{PLATFORM}"])
def test_what_is_open_is_counted_named_and_in_the_way(adopted: bool, platform: str) -> None:
    held = [
        opened(state, f"r{number}", platform)
        for number, state in enumerate(
            [HoldState.DEFERRED] * 4 + [HoldState.IN_DOUBT] * 2 + [HoldState.HELD], start=1
        )
    ]
    said = objection(SANDBOX, LIVE, held, adopted)
    assert said is not None
    assert "(1 held, 4 deferred, 2 in doubt: request r1, r2, r3, r4, r5 and 2 more)" in said
    assert "then start with `serve --adopt google_ads`. Or use another --state-dir." in said
    five = objection(SANDBOX, LIVE, held[:5], adopted)
    assert five is not None
    assert "(4 deferred, 1 in doubt: request r1, r2, r3, r4, r5)" in five
    assert objection(SANDBOX, SANDBOX, held, adopted) is None
    assert objection(None, LIVE, held, adopted) is None
    others = [opened(HoldState.DEFERRED, platform="meta")]
    assert (objection(SANDBOX, LIVE, others, adopted) is None) is adopted


def test_a_start_puts_on_record_only_what_is_new(store: Store) -> None:
    def verbs(*bindings: Binding, adoption: Adoption = NO_ADOPTION) -> list[tuple[str, ...]]:
        steps = begun(store, *bindings, adoption=adoption)
        return [(e.verb, e.platform, e.actor) for step in steps for e in step.entries]

    assert verbs(LIVE) == [("bind", PLATFORM, "")]
    assert verbs(LIVE) == []
    assert verbs(TWO, META) == [("bind", PLATFORM, ""), ("bind", "meta", "")]
    assert verbs(META) == []
    more = dataclasses.replace(TWO, accounts={**TWO.accounts, "us": "id 4"})
    assert verbs(more, adoption=ADOPTED) == [("bind", PLATFORM, "")], "nothing was adopted"
    assert verbs(SANDBOX, META, adoption=ADOPTED) == [("adopt", PLATFORM, "an operator")]
    assert verbs(SANDBOX, META) == []
    recorded = [binding_of_line(one) for one in store.binding_lines()]
    assert recorded == [LIVE, TWO, META, more, SANDBOX]


def test_every_platform_that_is_elsewhere_is_named_and_nothing_is_changed(store: Store) -> None:
    begun(store, LIVE, META)
    store.write(Batch(reported=[reported("2026-11-29")]))
    elsewhere = dataclasses.replace(META, endpoint="x:1")
    with pytest.raises(BoundElsewhere, match=r"(?s)google_ads: .*\nmeta: "):
        begun(store, SANDBOX, elsewhere)
    with pytest.raises(BoundElsewhere, match=r"^meta: "):
        begun(store, SANDBOX, elsewhere, adoption=ADOPTED)
    assert len(store.binding_lines()) == 2
    assert len(store.reported.reported_days()) == 1, "of the one that was adopted, too"


def test_a_deferred_bid_whose_time_was_over_is_ended_by_an_adoption_alone(store: Store) -> None:
    begun(store, LIVE)
    late = dataclasses.replace(opened(HoldState.DEFERRED), expires_ns=NOW)
    store.write(of_holds(late))
    with pytest.raises(BoundElsewhere, match="1 deferred: request r"):
        begun(store, SANDBOX)
    expired, adopted = begun(store, SANDBOX, adoption=ADOPTED)
    assert (expired.hold.state, expired.entries[0].verb) == (HoldState.EXPIRED, "expire")
    assert expired.entries[0].note == "not placed in time"
    assert adopted.entries[0].verb == "adopt"


def test_a_deferred_bid_that_may_still_be_placed_is_not_ended_by_an_adoption(store: Store) -> None:
    begun(store, LIVE)
    store.write(of_holds(opened(HoldState.DEFERRED)))
    with pytest.raises(BoundElsewhere, match="cannot be adopted"):
        begun(store, SANDBOX, adoption=ADOPTED)
    assert [one.state for one in store.open_holds()] == [HoldState.DEFERRED]


def test_an_adoption_of_nothing_is_warned_of_and_one_of_something_is_not(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    begun(store, LIVE)
    begun(store, SANDBOX, adoption=ADOPTED)
    assert [record.getMessage() for record in caplog.records] == [
        f"{PLATFORM}: the state directory is bound to {one.described()}" for one in (LIVE, SANDBOX)
    ]
    begun(store, SANDBOX, adoption=ADOPTED)
    assert "there is nothing to adopt; take --adopt out of the command" in caplog.text


def test_what_was_billed_elsewhere_is_forgotten_by_an_adoption(store: Store) -> None:
    day = "2026-11-29"
    of_meta = dataclasses.replace(reported(day), platform="meta")
    scopes = (PLATFORM, f"{PLATFORM}/campaigns/1", "meta", "total", f"{PLATFORM}2")
    begun(store, LIVE, META)
    overs = [Over(scope, day, acted=False) for scope in scopes]
    store.write(Batch(reported=[reported(day), of_meta], overs=overs))
    begun(store, TWO, META)
    assert len(store.reported.reported_days()) == 2, "a further account changes nothing"
    begun(store, SANDBOX, META, adoption=ADOPTED)
    assert store.reported.reported_days() == [of_meta]
    assert sorted(over.budget_id for over in store.reported.overs()) == [
        f"{PLATFORM}2",
        "meta",
        "total",
    ]


def test_prices_of_other_places_are_no_prices_of_this_one(store: Store) -> None:
    here, there = (
        hold(f"h{binding.mode}", ltv_micros=1, place=binding.place("default"))
        for binding in (LIVE, SANDBOX)
    )
    store.write(of_holds(here, there))
    assert recover(store, [], NOW, [LIVE]).book.recent_settled(PLATFORM) == (here,)
    assert recover(store, [], NOW, [SANDBOX]).book.recent_settled(PLATFORM) == (there,)
    assert len(recover(store, [], NOW).book.recent_settled(PLATFORM)) == 2


def test_campaigns_are_told_in_the_place_that_they_were_changed_in(store: Store) -> None:
    def sent(number: int, campaign: str, place: str, **changed: Any) -> Step:
        scopes = (PLATFORM, f"{PLATFORM}/campaigns/{campaign}")
        one = Hold.begun(ask(f"r{number}", USD, place=place), f"h{number}", 1)
        written = line(number, "reserve", hold_id=f"h{number}", budget_ids=scopes, **changed)
        return Step((one,), (written,))

    first, second = TWO.places
    store.bind([SANDBOX])
    store.write(Batch([sent(1, "1", SANDBOX.place("default")), sent(2, "2", first)]))
    store.write(Batch([sent(3, "2", second), sent(4, "2", second)]))
    paused = {"hold_id": "", "budget_ids": (f"{PLATFORM}/campaigns/7",)}
    store.write(of_lines(line(5, "pause_campaign", **paused)))
    scopes = {number: f"{PLATFORM}/campaigns/{number}" for number in (1, 2, 7)}
    assert store.campaigns_in_place() == (scopes[1], scopes[7])
    store.bind([LIVE])
    assert store.campaigns_in_place() == (scopes[2],)
    store.bind([TWO])
    assert store.campaigns_in_place() == (scopes[2],), "once, though it is in both"
    store.bind([])
    assert store.campaigns_in_place() == tuple(scopes.values())
    assert store.campaigns() == tuple(scopes.values())


def test_what_was_paused_before_an_adoption_is_not_resumed(store: Store) -> None:
    def paused(number: int, scope: str) -> Any:
        return line(number, "pause_campaign", hold_id="", budget_ids=(scope,), note="was running: ")

    lines = [
        paused(1, f"{PLATFORM}/campaigns/1"),
        paused(2, "meta/campaigns/2"),
        line(3, "bind", hold_id="", budget_ids=(), note=LIVE.described()),
        line(4, "adopt", hold_id="", budget_ids=(), note=LIVE.described()),
        paused(5, f"{PLATFORM}/campaigns/3"),
    ]
    store.write(of_lines(*lines))
    assert store.paused_campaigns() == {"meta/campaigns/2": True, f"{PLATFORM}/campaigns/3": True}
    assert set(paused_campaigns(lines[:2])) == {f"{PLATFORM}/campaigns/1", "meta/campaigns/2"}
    assert store.stopped_campaigns() == {
        "meta/campaigns/2": Stop.WITH_OTHERS,
        f"{PLATFORM}/campaigns/3": Stop.WITH_OTHERS,
    }
