"""Every RPC says who may call it and whether it can spend; nothing reaches money without saying."""

from __future__ import annotations

from google.protobuf.descriptor import MethodDescriptor

from smartconnectors.common.v1 import options_pb2
from smartconnectors.common.v1.bid_pb2 import BidRequest
from smartconnectors.common.v1.campaign_pb2 import CampaignBudgetUpdate
from smartconnectors_server.call import Kind, MethodSpec, MethodTable

MONEY_MESSAGES = {
    BidRequest.DESCRIPTOR.full_name: "bid",
    CampaignBudgetUpdate.DESCRIPTOR.full_name: "update",
}


def guard_of(rpc: MethodDescriptor) -> options_pb2.Guard:
    guard = rpc.GetOptions().Extensions[options_pb2.guard]
    assert isinstance(guard, options_pb2.Guard)
    return guard


def money_fields(rpc: MethodDescriptor) -> dict[str, str]:
    """Message name -> field name, of the fields that carry an amount to commit."""
    return {
        field.message_type.full_name: field.name
        for field in rpc.input_type.fields
        if field.message_type is not None and field.message_type.full_name in MONEY_MESSAGES
    }


def test_there_are_services_to_check(rpcs: list[MethodDescriptor]) -> None:
    services = {rpc.containing_service.full_name for rpc in rpcs}
    assert "smartconnectors.google_ads.v1.GoogleAdsService" in services
    assert "smartconnectors.budgets.v1.BudgetService" in services


def test_every_rpc_says_which_role_may_call_it(rpc: MethodDescriptor) -> None:
    assert rpc.GetOptions().HasExtension(options_pb2.guard)
    assert guard_of(rpc).role != options_pb2.ROLE_UNSPECIFIED


def test_a_platform_is_named_exactly_by_what_reaches_it(rpc: MethodDescriptor) -> None:
    package = rpc.containing_service.file.package.split(".")[1]
    only_looks = guard_of(rpc).role == options_pb2.ROLE_VIEWER
    assert guard_of(rpc).platform == ("" if package == "budgets" or only_looks else package)


def test_what_is_urgent_reaches_a_platform_and_spends_nothing(rpc: MethodDescriptor) -> None:
    guard = guard_of(rpc)
    assert not guard.urgent or (guard.platform and not guard.spends)


def test_an_rpc_spends_exactly_when_its_request_carries_an_amount_to_commit(
    rpc: MethodDescriptor,
) -> None:
    carried = [f.message_type for f in rpc.input_type.fields if f.message_type is not None]
    many = any(
        inner.message_type is not None and inner.message_type.full_name in MONEY_MESSAGES
        for message in carried
        if message.full_name not in MONEY_MESSAGES
        for inner in message.fields
    )
    assert guard_of(rpc).spends == (many or bool(money_fields(rpc)))


def test_the_amount_to_commit_is_one_field_with_the_name_that_the_chain_reads(
    rpc: MethodDescriptor,
) -> None:
    fields = money_fields(rpc)
    assert len(fields) <= 1
    for message, name in fields.items():
        assert name == MONEY_MESSAGES[message]


def test_a_viewer_cannot_spend(rpc: MethodDescriptor) -> None:
    guard = guard_of(rpc)
    assert not guard.spends or guard.role >= options_pb2.ROLE_BIDDER


def test_the_server_reads_the_same_from_the_guards(rpcs: list[MethodDescriptor]) -> None:
    services = {rpc.containing_service.full_name: rpc.containing_service for rpc in rpcs}
    platforms = {guard_of(rpc).platform for rpc in rpcs} - {""}
    table = MethodTable(services.values(), platforms)
    assert len(table) == len(rpcs)
    for rpc in rpcs:
        spec = table.get(f"/{rpc.containing_service.full_name}/{rpc.name}")
        assert isinstance(spec, MethodSpec)
        assert spec.spends == guard_of(rpc).spends
        assert spec.platform == guard_of(rpc).platform
        assert (spec.kind is Kind.OTHER) != spec.spends
        assert spec.request_class.DESCRIPTOR is rpc.input_type
        assert spec.response_class.DESCRIPTOR is rpc.output_type
