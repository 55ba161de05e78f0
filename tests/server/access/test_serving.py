"""Access control while a server runs: what changes, what is written in the log, who it is for."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.server.access.stage import (
    Accepts,
    Caller,
    Provider,
    application,
    code_of,
    entry,
    jwks,
    refusal_of,
)

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.budgets.v1.budget_service_pb2_grpc import BudgetServiceStub
from smartconnectors.common.v1 import bid_pb2, errors_pb2
from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2
from smartconnectors.meta.v1.meta_service_pb2_grpc import MetaServiceStub
from smartconnectors_server.startup import StartupError
from smartconnectors_server.telemetry import configure_logging

if TYPE_CHECKING:
    from tests.server.access.conftest import Servers

    from smartconnectors_server.clock import ManualClock

NOW_S = 1_700_000_000
LIST = "/smartconnectors.budgets.v1.BudgetService/ListBudgetStats"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A tokens file: `reader`, `bidder` and `operator`, whose tokens are their roles."""
    path = tmp_path / "tokens.toml"
    path.write_text(entries("read", "bid", "operate"))
    return path


def entries(*roles: str) -> str:
    return "".join(entry(role, role, f"{role}-er") for role in roles)


def rewrite(file: Path, clock: ManualClock, text: str) -> None:
    """The file says this now, and the server has had the time to notice."""
    file.write_text(text)
    clock.advance(1)


def bid(request_id: str, campaign: str = "1001") -> Any:
    return meta_pb2.PlaceBidRequest(
        bid=bid_pb2.BidRequest(
            request_id=request_id, campaign_id=campaign, bid_micros=1, predicted_ltv_micros=1
        )
    )


async def listed(address: str, token: str) -> tuple[str, str]:
    """(code, message) of a look at the budgets; ("OK", "")."""
    async with Caller(address, token) as caller:
        call = caller.channel.unary_unary(LIST)(b"", metadata=caller.metadata)
        if (await code_of(call)) is grpc.StatusCode.OK:
            return "OK", ""
        return await refusal_of(call)


async def test_a_token_is_revoked_while_the_server_runs(
    serve: Servers, file: Path, clock: ManualClock
) -> None:
    address = await serve(access={"tokens_file": str(file)})
    assert await listed(address, "read") == ("OK", "")
    rewrite(file, clock, entries("bid"))
    code, message = await listed(address, "read")
    assert code == "UNAUTHENTICATED"
    assert "revoked" in message
    assert await listed(address, "bid") == ("OK", "")


async def test_a_broken_file_revokes_nobody(serve: Servers, file: Path, clock: ManualClock) -> None:
    address = await serve(access={"tokens_file": str(file)})
    rewrite(file, clock, "[[tokens]\n")
    assert await listed(address, "read") == ("OK", "")


async def test_a_stream_ends_for_a_bidder_who_is_revoked_in_the_middle_of_it(
    serve: Servers, file: Path, clock: ManualClock
) -> None:
    meta = Accepts()
    address = await serve(access={"tokens_file": str(file)}, connectors={"meta": meta})
    async with Caller(address, "bid") as caller:
        stub: Any = MetaServiceStub(caller.channel)
        stream = stub.StreamBids(metadata=caller.metadata)
        await stream.write(meta_pb2.StreamBidsRequest(bid=bid("before")))
        assert (await stream.read()).answer.HasField("response")
        rewrite(file, clock, entries("read"))
        await stream.write(meta_pb2.StreamBidsRequest(bid=bid("after")))
        answer = (await stream.read()).answer
        assert answer.error.reason == errors_pb2.ERROR_REASON_UNAUTHENTICATED
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
    assert meta.sent == ["before"]


async def test_a_stream_goes_on_for_a_bidder_who_is_restricted_in_the_middle_of_it(
    serve: Servers, file: Path, clock: ManualClock
) -> None:
    address = await serve(access={"tokens_file": str(file)}, connectors={"meta": Accepts()})
    async with Caller(address, "bid") as caller:
        stub: Any = MetaServiceStub(caller.channel)
        stream = stub.StreamBids(metadata=caller.metadata)
        await stream.write(meta_pb2.StreamBidsRequest(bid=bid("one", "1001")))
        assert (await stream.read()).answer.HasField("response")
        rewrite(file, clock, entry("bid", "bid", "bid-er", campaigns=["1002"]))
        reasons = {}
        for campaign in ("1001", "1002"):
            request = meta_pb2.StreamBidsRequest(bid=bid(f"two-{campaign}", campaign))
            await stream.write(request)
            reasons[campaign] = (await stream.read()).answer.error.reason
        await stream.done_writing()
    assert reasons == {"1001": errors_pb2.ERROR_REASON_PERMISSION_DENIED, "1002": 0}


async def test_a_watch_tells_no_more_to_who_is_revoked(
    serve: Servers, file: Path, clock: ManualClock
) -> None:
    address = await serve(access={"tokens_file": str(file)}, connectors={"meta": Accepts()})
    async with Caller(address, "read") as reader, Caller(address, "bid") as bidder:
        stub: Any = BudgetServiceStub(reader.channel)
        request = budgets_pb2.WatchBudgetStatsRequest(budget_ids=["meta"])
        watch = stub.WatchBudgetStats(request, metadata=reader.metadata)
        assert (await watch.read()).stats.budget_id == "meta"
        rewrite(file, clock, entries("bid"))
        place: Any = MetaServiceStub(bidder.channel)
        await place.PlaceBid(bid("one"), metadata=bidder.metadata)
        assert (await watch.code()).name == "UNAUTHENTICATED"


async def test_a_watch_ends_for_who_is_restricted_in_the_middle_of_it(
    serve: Servers, file: Path, clock: ManualClock
) -> None:
    address = await serve(access={"tokens_file": str(file)}, connectors={"meta": Accepts()})
    async with Caller(address, "read") as reader, Caller(address, "bid") as bidder:
        stub: Any = BudgetServiceStub(reader.channel)
        watch = stub.WatchBudgetStats(
            budgets_pb2.WatchBudgetStatsRequest(budget_ids=["meta"]), metadata=reader.metadata
        )
        assert (await watch.read()).stats.budget_id == "meta"
        restricted = entry("read", "read", "read-er", platforms=["google_ads"])
        rewrite(file, clock, restricted + entries("bid"))
        place: Any = MetaServiceStub(bidder.channel)
        await place.PlaceBid(bid("one"), metadata=bidder.metadata)
        assert (await watch.code()).name == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"role": "read"}, "OK"),
        ({"role": "none"}, "PERMISSION_DENIED"),
        ({"aud": "another"}, "UNAUTHENTICATED"),
        ({"exp": NOW_S - 60}, "UNAUTHENTICATED"),
    ],
)
async def test_a_signed_token_is_judged_by_its_claims(
    serve: Servers, tmp_path: Path, claims: dict[str, Any], code: str
) -> None:
    provider = Provider(rsa.generate_private_key(65537, 2048), "RS256", "k")
    address = await serve(access={"jwt": jwks(tmp_path / "jwks.json", provider)})
    assert (await listed(address, provider.sign(NOW_S, **claims)))[0] == code


async def test_who_has_no_role_is_told_nothing_of_the_services(
    serve: Servers, tmp_path: Path
) -> None:
    provider = Provider(rsa.generate_private_key(65537, 2048), "RS256", "k")
    address = await serve(access={"jwt": jwks(tmp_path / "jwks.json", provider)})
    async with Caller(address, provider.sign(NOW_S, role="none")) as caller:
        path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        stream = caller.channel.stream_stream(path)(iter([]), metadata=caller.metadata)
        assert (await stream.code()).name == "PERMISSION_DENIED"


async def test_a_forged_token_is_refused(serve: Servers, tmp_path: Path) -> None:
    provider = Provider(rsa.generate_private_key(65537, 2048), "RS256", "k")
    stranger = Provider(rsa.generate_private_key(65537, 2048), "RS256", "k")
    address = await serve(access={"jwt": jwks(tmp_path / "jwks.json", provider)})
    for forged in (
        stranger.sign(NOW_S),
        provider.unsigned(NOW_S),
        provider.sign_with_the_public_key(NOW_S),
    ):
        assert (await listed(address, forged))[0] == "UNAUTHENTICATED"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What is logged, as `serve` does."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    said = io.StringIO()
    configure_logging("text", said)
    yield said
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


async def test_a_refusal_is_in_the_log_with_its_reason_and_without_the_token(
    serve: Servers, file: Path, logged: io.StringIO
) -> None:
    address = await serve(access={"tokens_file": str(file)})
    await listed(address, "hunter2-secret")
    async with Caller(address, "read") as caller:
        stub: Any = MetaServiceStub(caller.channel)
        code, message = await refusal_of(stub.PlaceBid(bid("one"), metadata=caller.metadata))
    assert (code, message) == (
        "PERMISSION_DENIED",
        "this needs the role `bid`, and read-er has `read`",
    )
    said = logged.getvalue()
    lines = [line for line in said.splitlines() if "access_refused" in line]
    assert len(lines) == 2
    assert re.search(r"ListBudgetStats.*UNAUTHENTICATED.*not known here", lines[0])
    assert re.search(r"read-er.*PlaceBid.*PERMISSION_DENIED.*the role `bid`", lines[1])
    assert "hunter2" not in said


async def test_a_bids_line_in_the_log_says_who_asked(
    serve: Servers, file: Path, logged: io.StringIO
) -> None:
    address = await serve(access={"tokens_file": str(file)}, connectors={"meta": Accepts()})
    async with Caller(address, "bid") as caller:
        stub: Any = MetaServiceStub(caller.channel)
        await stub.PlaceBid(bid("one"), metadata=caller.metadata)
    assert "actor=bid-er" in logged.getvalue()


async def lines_of(address: str, token: str) -> list[budgets_pb2.LedgerEntry]:
    """The audit ledger, but for the lines in which the server configured itself."""
    async with Caller(address, token) as caller:
        stub: Any = BudgetServiceStub(caller.channel)
        request = budgets_pb2.ListLedgerEntriesRequest()
        answer = await stub.ListLedgerEntries(request, metadata=caller.metadata)
    return [line for line in answer.entries if line.verb not in ("bind", "configure")]


async def test_the_audit_says_who_bid_alone_in_a_batch_and_in_a_stream(
    serve: Servers, file: Path
) -> None:
    address = await serve(access={"tokens_file": str(file)}, connectors={"meta": Accepts()})
    async with Caller(address, "bid") as caller:
        stub: Any = MetaServiceStub(caller.channel)
        await stub.PlaceBid(bid("alone"), metadata=caller.metadata)
        batch = meta_pb2.PlaceBidsRequest(bids=[bid("batch", "1002")])
        await stub.PlaceBids(batch, metadata=caller.metadata)
        messages = iter([meta_pb2.StreamBidsRequest(bid=bid("stream", "1003"))])
        assert [one async for one in stub.StreamBids(messages, metadata=caller.metadata)]
    reserved = [one for one in await lines_of(address, "read") if one.verb == "reserve"]
    assert [(line.request_id, line.actor) for line in reserved] == [
        ("alone", "bid-er"),
        ("batch", "bid-er"),
        ("stream", "bid-er"),
    ]


async def test_the_audit_says_which_operator_changed_a_budget(serve: Servers, file: Path) -> None:
    address = await serve(access={"tokens_file": str(file)})
    async with Caller(address, "operate") as caller:
        stub: Any = BudgetServiceStub(caller.channel)
        for method, request in (
            (stub.PauseBudget, budgets_pb2.PauseBudgetRequest(budget_id="meta", reason="x")),
            (stub.ResumeBudget, budgets_pb2.ResumeBudgetRequest(budget_id="meta", reason="x")),
            (
                stub.UpdateBudget,
                budgets_pb2.UpdateBudgetRequest(budget_id="meta", limit_micros=9, reason="x"),
            ),
        ):
            await method(request, metadata=caller.metadata)
    lines = await lines_of(address, "read")
    assert [(line.verb, line.actor) for line in lines] == [
        ("pause", "operate-er"),
        ("resume", "operate-er"),
        ("limit", "operate-er"),
    ]


async def test_without_access_control_the_audit_says_anonymous(serve: Servers) -> None:
    address = await serve()
    async with Caller(address) as caller:
        stub: Any = BudgetServiceStub(caller.channel)
        await stub.PauseBudget(budgets_pb2.PauseBudgetRequest(budget_id="meta", reason="x"))
    assert [line.actor for line in await lines_of(address, "")] == ["anonymous"]


async def test_without_access_control_nobody_is_asked(serve: Servers) -> None:
    address = await serve()
    assert await listed(address, "") == ("OK", "")
    assert await listed(address, "whatever") == ("OK", "")


def test_a_tokens_file_that_cannot_be_used_refuses_the_start_by_its_key(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text('[[tokens]]\nname = "a"\nhash = "hunter2"\nrole = "bid"\n')
    with pytest.raises(StartupError, match=rf"access\.tokens_file: {file} is no list") as caught:
        application(tmp_path, access={"tokens_file": str(file)})
    assert "hunter2" not in str(caught.value)
