"""What a restricted caller reads tells nothing of other callers."""

from __future__ import annotations

from pathlib import Path

from tests.security.neighbours import TOKENS, USD, bid, neighbours

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2


async def test_a_superseded_bids_line_does_not_name_another_callers_request(
    tmp_path: Path,
) -> None:
    async with neighbours(tmp_path) as street:
        street.open_breaker()
        await street.place("alice", bid("mine", "1001", 7 * USD, ltv_micros=20 * USD))
        await street.place("alice-too", bid("not-yours", "1001", 6 * USD, ltv_micros=20 * USD))
        alice = street.people["alice"]
        request = budgets_pb2.ListLedgerEntriesRequest(request_id="mine")
        lines = (await alice.ask(alice.budgets.ListLedgerEntries, request)).entries
        assert [line.verb for line in lines] == ["defer", "supersede"]
        assert "not-yours" not in str(lines)


async def test_a_superseded_bids_line_names_the_request_of_its_own_caller(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as street:
        street.open_breaker()
        await street.place("alice", bid("older", "1001", 7 * USD, ltv_micros=20 * USD))
        await street.place("alice", bid("newer", "1001", 6 * USD, ltv_micros=20 * USD))
        alice = street.people["alice"]
        request = budgets_pb2.ListLedgerEntriesRequest(request_id="older")
        lines = (await alice.ask(alice.budgets.ListLedgerEntries, request)).entries
        assert lines[-1].note == "a newer bid took its place: newer"


async def test_a_shadow_report_is_for_callers_who_may_see_the_whole_platform(
    tmp_path: Path,
) -> None:
    async with neighbours(tmp_path) as street:
        asked = {}
        for who in TOKENS:
            person = street.people[who]
            request = budgets_pb2.GetShadowReportRequest(platform="google_ads")
            asked[who] = (await person.ask(person.budgets.GetShadowReport, request).code()).name
        restricted = {who for who, grant in TOKENS.items() if "campaigns" in grant}
        assert {who for who, code in asked.items() if code == "PERMISSION_DENIED"} == restricted
