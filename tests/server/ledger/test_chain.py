"""The hash of a line, as anybody can reckon it: it is noted outside and has to stay the same."""

from __future__ import annotations

import hashlib

from smartconnectors_server.ledger import Entry
from smartconnectors_server.ledger.chain import GENESIS, link

ENTRY = Entry(
    at_ns=1_700_000_000_000_000_000,
    verb="settle",
    budget_ids=("google_ads", "total"),
    hold_id="h000000000001",
    platform="google_ads",
    request_id="r-é",
    amount_micros=2_500_000,
    currency_code="USD",
    note='said "yes"',
    actor="ops",
    customer="c0ffee",
    sequence=2,
    hash="not part of it",
)
TEXT = (
    '{"sequence":2,"at_ns":1700000000000000000,"verb":"settle","budget_ids":["google_ads","total"],'
    '"hold_id":"h000000000001","platform":"google_ads","request_id":"r-\\u00e9",'
    '"amount_micros":2500000,"currency_code":"USD","note":"said \\"yes\\"",'
    '"actor":"ops","customer":"c0ffee"}'
)


def test_a_hash_is_that_of_the_hash_before_and_of_the_line_as_json() -> None:
    first = link("0" * 64, ENTRY)
    assert first == hashlib.sha256(f"{'0' * 64}\n{TEXT}".encode()).hexdigest()
    assert link(first, ENTRY) == hashlib.sha256(f"{first}\n{TEXT}".encode()).hexdigest()


def test_before_the_first_line_stand_as_many_zeros_as_a_hash_has_digits() -> None:
    assert GENESIS == "0" * 64
