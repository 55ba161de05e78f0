"""A caller's request ids are its own: another caller can neither take nor test them."""

from __future__ import annotations

from pathlib import Path

from tests.security.neighbours import TOKENS, USD, bid, neighbours, reason_of

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.ledger.snapshot import Snapshot

ID = "order-5000"


async def test_an_id_that_another_caller_has_used_is_free(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        assert (
            await street.status("alice", bid(ID, "1001", 7 * USD, ltv_micros=20 * USD)) == "PLACED"
        )
        for who, campaign, usd in (("alice", "1001", 7), ("bob", "1002", 8)):
            request = bid(ID, campaign, usd * USD, ltv_micros=20 * USD)
            assert await street.status(who, request) == "PLACED"
        assert len(street.applied()) == 2


async def test_two_callers_on_one_campaign_each_have_their_own_ids(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        first = await street.place("alice", bid(ID, "1001", 7 * USD, ltv_micros=20 * USD))
        other = await street.place("alice-too", bid(ID, "1001", 8 * USD, ltv_micros=20 * USD))
        assert [first.replayed, other.replayed] == [False, False]
        assert len(street.applied()) == 2


async def test_a_dry_run_does_not_tell_which_ids_other_callers_have_used(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        await street.place("bob", bid(ID, "1002", 8 * USD, ltv_micros=20 * USD))
        for request_id in (ID, "never-used"):
            probe = bid(request_id, "1001", 7 * USD, ltv_micros=20 * USD, validate_only=True)
            assert await street.status("alice", probe) == "VALIDATED"


async def test_a_dry_run_of_a_caller_still_finds_its_own_used_ids(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        await street.place("alice", bid(ID, "1001", 7 * USD, ltv_micros=20 * USD))
        probe = bid(ID, "1001", 8 * USD, ltv_micros=20 * USD, validate_only=True)
        assert await reason_of(street.asked("alice", probe)) == "REQUEST_ID_REUSED"


async def test_a_bid_is_found_by_its_own_caller_alone(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        await street.place("alice", bid(ID, "1001", 7 * USD, ltv_micros=20 * USD))
        request = ads_pb2.GetBidRequest(request_id=ID)
        asked = {
            who: (await person.ask(person.ads.GetBid, request).code()).name
            for who, person in street.people.items()
            if who != "rotated"
        }
        assert asked == {**dict.fromkeys(TOKENS, "NOT_FOUND"), "alice": "OK"}


async def test_an_operator_finds_a_callers_bid_by_naming_the_caller(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        await street.place("alice", bid(ID, "1001", 7 * USD, ltv_micros=20 * USD))
        await street.place("bob", bid(ID, "1002", 8 * USD, ltv_micros=20 * USD))
        found = {}
        for caller in ("alice", "bob"):
            request = ads_pb2.GetBidRequest(request_id=ID, caller=caller)
            person = street.people["operator"]
            found[caller] = (await person.ask(person.ads.GetBid, request)).answer.response.result
        assert {who: one.bid_micros for who, one in found.items()} == {
            "alice": 7 * USD,
            "bob": 8 * USD,
        }


async def test_naming_another_caller_needs_the_role_operate(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        await street.place("alice", bid(ID, "1001", 7 * USD, ltv_micros=20 * USD))
        request = ads_pb2.GetBidRequest(request_id=ID, caller="alice")
        asked = {}
        for who in ("alice", "alice-too", "bob", "reader", "operator"):
            person = street.people[who]
            asked[who] = (await person.ask(person.ads.GetBid, request).code()).name
        denied = dict.fromkeys(("alice-too", "bob", "reader"), "PERMISSION_DENIED")
        assert asked == {"alice": "OK", "operator": "OK", **denied}


async def test_a_retry_with_a_rotated_token_gets_the_first_answer(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        request = bid(ID, "1001", 7 * USD, ltv_micros=20 * USD)
        await street.place("alice", request)
        rotated = {**TOKENS["alice"], "name": "alice", "token": "rotated"}
        others = {name: entry for name, entry in TOKENS.items() if name != "alice"}
        street.write_tokens({**others, "rotated": rotated})
        await street.restart()
        assert (await street.place("rotated", request)).replayed
        assert len(street.applied()) == 1


async def test_without_access_control_ids_are_shared_by_all_who_call(tmp_path: Path) -> None:
    async with neighbours(tmp_path, access=False) as street:
        request = bid(ID, "1001", 7 * USD, ltv_micros=20 * USD)
        await street.place("alice", request)
        await street.restart()
        assert (await street.place("bob", request)).replayed
        other = bid(ID, "1002", 7 * USD, ltv_micros=20 * USD)
        assert await reason_of(street.asked("bob", other)) == "REQUEST_ID_REUSED"


async def test_of_two_holds_with_one_id_operators_read_whose_each_is(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        street.open_breaker()
        await street.place("alice", bid(ID, "1001", 7 * USD, ltv_micros=20 * USD))
        await street.place("bob", bid(ID, "1002", 8 * USD, ltv_micros=20 * USD))
        operator = street.people["operator"]
        answer = await operator.ask(operator.budgets.ListHolds, budgets_pb2.ListHoldsRequest())
        assert {(h.caller, h.request_id, h.amount_micros) for h in answer.holds} == {
            ("alice", ID, 7 * USD),
            ("bob", ID, 8 * USD),
        }
        request = budgets_pb2.ListLedgerEntriesRequest(request_id=ID)
        lines = (await operator.ask(operator.budgets.ListLedgerEntries, request)).entries
        assert {(line.actor, line.hold_id) for line in lines} == {
            (hold.caller, hold.hold_id) for hold in answer.holds
        }


async def test_the_audit_ledger_with_one_id_of_two_callers_verifies(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        for who, campaign in (("alice", "1001"), ("bob", "1002")):
            await street.place(who, bid(ID, campaign, 7 * USD, ltv_micros=20 * USD))
        await street.restart()
        for who, campaign in (("alice", "1001"), ("bob", "1002")):
            answer = await street.place(who, bid(ID, campaign, 7 * USD, ltv_micros=20 * USD))
            assert answer.replayed
        await street.stop()
        snapshot = Snapshot(tmp_path / "state")
        assert snapshot.verify().lines > 0
        snapshot.close()
