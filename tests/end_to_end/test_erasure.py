"""A customer who is erased is in no byte of the state directory, and all of the money still is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import Struct

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.ledger.snapshot import Snapshot

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, Stage, Words

USD = 1_000_000
CUSTOMER = "m4rie-curie"
WHY = "p0lonium"


def theirs(say: Words, request_id: str, usd: int, **fields: Any) -> Any:
    explanation = Struct()
    explanation.update({"because": WHY})
    return say.bid(
        request_id, usd, ltv_usd=usd * 2, customer_id=CUSTOMER, explanation=explanation, **fields
    )


def named_in(directory: Path) -> list[str]:
    """The files in which something of the customer is."""
    words = [word.encode() for word in (CUSTOMER, WHY)]
    hexed = [word.hex().encode() for word in words]
    return sorted(
        path.name
        for path in directory.rglob("*")
        if path.is_file() and any(word in path.read_bytes() for word in (*words, *hexed))
    )


async def erase(server: Server) -> budgets_pb2.EraseCustomerResponse:
    request = budgets_pb2.EraseCustomerRequest(customer_id=CUSTOMER, reason="asked for")
    answer: budgets_pb2.EraseCustomerResponse = await server.budgets.EraseCustomer(request)
    return answer


async def test_an_erased_customer_is_in_no_byte_of_the_state_directory(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    state = stage.directory / "state"
    for number in range(3):
        await server.place(theirs(say, f"r{number}", 10, campaign=f"100{number + 1}"))
    await say.refused(server.place(theirs(say, "large", 5000, campaign="1004")))
    await server.place(say.bid("another", 10, campaign="1005", customer_id="somebody"))
    assert named_in(state)
    money = await server.money()
    answer = await erase(server)
    assert (answer.erased_count, answer.waiting_count) == (3, 0)
    assert "cannot be erased from here" in answer.notice
    assert named_in(state) == []

    # What it was about money is known as before, and sent again it is not.
    again = await server.place(theirs(say, "r0", 10, campaign="1001"))
    assert (again.status, again.replayed) == (bid_pb2.BID_STATUS_PLACED, True)
    assert again.bid_micros == 10 * USD
    assert len(stage.mutates("r0")) == 1
    assert await server.money() == money
    await server.stop()
    assert named_in(state) == []
    snapshot = Snapshot(state)
    snapshot.verify()
    snapshot.close()

    server = await stage.serve()
    assert await server.money() == money
    again = await server.place(theirs(say, "r0", 10, campaign="1001"))
    assert (again.status, again.replayed) == (bid_pb2.BID_STATUS_PLACED, True)
    assert len(stage.mutates("r0")) == 1
    assert named_in(state) == []


async def test_an_erasure_is_on_record_by_the_hash_alone(stage: Stage, say: Words) -> None:
    server = await stage.serve()
    await server.place(theirs(say, "r", 10))
    answer = await erase(server)
    request = budgets_pb2.ListLedgerEntriesRequest(page_size=1000)
    lines = (await server.budgets.ListLedgerEntries(request)).entries
    (line,) = [line for line in lines if line.verb == "erase"]
    assert (line.customer_hash, line.note) == (answer.customer_hash, "asked for")
    assert CUSTOMER not in str(lines)
    assert {one.customer_hash for one in lines if one.hold_id} == {answer.customer_hash}
