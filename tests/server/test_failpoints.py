"""Failpoints by name: what may be armed, and that every write of the ledger has its points."""

from __future__ import annotations

import pytest

from smartconnectors_server import failpoints
from smartconnectors_server.failpoints import FAILPOINTS, Moment, Place, Write
from smartconnectors_server.ledger.audit import _AFTER, _TOLD
from smartconnectors_server.ledger.configured import CONFIGURING
from smartconnectors_server.ledger.records import Entry, Hold, HoldState, Step
from smartconnectors_server.ledger.writes import BY_OPERATOR, BY_RECONCILER, writes_of
from smartconnectors_server.settings import SettingsError, load


def hold(created_ns: int, updated_ns: int) -> Hold:
    return Hold(
        hold_id="h1",
        platform="p",
        request_id="r",
        fingerprint="",
        method="",
        target="",
        budget_ids=("p",),
        amount_micros=1,
        currency_code="USD",
        source="ai",
        state=HoldState.DEFERRED,
        created_ns=created_ns,
        updated_ns=updated_ns,
    )


def line(verb: str, note: str = "") -> Entry:
    return Entry(1, verb, ("p",), "h1", "p", "r", 1, "USD", note)


@pytest.mark.parametrize("name", FAILPOINTS)
def test_every_point_can_be_named_with_and_without_a_count(name: str) -> None:
    assert failpoints.parse(name) == (FAILPOINTS[name], 1)
    assert failpoints.parse(f"{name}:7") == (FAILPOINTS[name], 7)


def test_every_write_has_a_point_at_each_of_its_moments() -> None:
    assert len(FAILPOINTS) == len(Place) + len(Write) * len(Moment)


def test_every_verb_of_an_audit_line_is_a_write() -> None:
    assert {*_AFTER, *_TOLD, *CONFIGURING} <= {write.value for write in Write}


def test_nothing_is_armed_by_an_empty_setting() -> None:
    assert failpoints.parse("") is None


@pytest.mark.parametrize(
    "wrong", ["nowhere", "held:", "held:0", "held:-1", "held:x", ":1", "held "]
)
def test_what_is_no_point_is_refused_when_the_settings_are_read(wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"server\.failpoint: "):
        load(environment={}, variables={}, overrides={"server": {"failpoint": wrong}})


def test_a_deferral_from_the_start_is_another_write_than_one_of_what_was_held() -> None:
    assert writes_of([Step((hold(5, 5),), (line("defer"),))]) == {Write.DEFER_NEW}
    assert writes_of([Step((hold(5, 6),), (line("defer"),))]) == {Write.DEFER}


@pytest.mark.parametrize("verb", ["bind", "adopt"])
def test_what_a_directory_is_bound_to_is_one_kind_of_write(verb: str) -> None:
    assert writes_of([Step((), (line(verb),))]) == {Write.BIND}


@pytest.mark.parametrize(
    ("note", "who"),
    [
        (f"{BY_OPERATOR}seen", Write.RESOLVE_BY_OPERATOR),
        (f"{BY_RECONCILER}2.0 s after the call ended: applied", Write.RESOLVE_BY_RECONCILER),
        (f"assumed: {BY_RECONCILER}2.0 s after", Write.RESOLVE_BY_RECONCILER),
    ],
)
def test_who_resolved_a_hold_is_a_write_of_its_own(note: str, who: Write) -> None:
    step = Step((hold(5, 6),), (line("settle", note),))
    assert writes_of([step]) == {Write.SETTLE, who}
