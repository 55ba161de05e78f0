"""The reasons that a caller keys on are those that the server can raise, both ways."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import grpc

from smartconnectors.common.v1.errors_pb2 import ErrorReason
from smartconnectors_server.errors import ConnectorError, Outcome, PlatformRejected, Veto

PREFIX = "ERROR_REASON_"
ERRORS_PROTO = (
    Path(__file__).parents[2] / "protos" / "smartconnectors" / "common" / "v1" / "errors.proto"
)
COMMENTED_VALUE = re.compile(r"((?: *//[^\n]*\n)+) *ERROR_REASON_([A-Z_]+) = \d+;")


def concrete_errors(base: type[ConnectorError] = ConnectorError) -> Iterator[type[ConnectorError]]:
    """Every class below `base` that says a reason."""
    for error in base.__subclasses__():
        if "reason" in vars(error):
            yield error
        yield from concrete_errors(error)


def reasons_of_the_contract() -> set[str]:
    return {name.removeprefix(PREFIX) for name in ErrorReason.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }


def comments() -> dict[str, str]:
    """What the contract says of each reason, as one line."""
    found = COMMENTED_VALUE.findall(ERRORS_PROTO.read_text())
    return {reason: " ".join(text.replace("//", " ").split()) for text, reason in found}


def test_every_reason_the_server_raises_is_in_the_contract() -> None:
    assert {error.reason for error in concrete_errors()} <= reasons_of_the_contract()


def test_every_reason_in_the_contract_is_raised_by_some_class() -> None:
    assert reasons_of_the_contract() <= {error.reason for error in concrete_errors()}


def test_no_two_classes_share_a_reason() -> None:
    reasons = [error.reason for error in concrete_errors()]
    assert sorted(reasons) == sorted(set(reasons))


def test_every_code_is_one_of_grpcs_and_none_means_success() -> None:
    codes = {error.code.name for error in concrete_errors()}
    assert codes <= {code.name for code in grpc.StatusCode} - {"OK"}


def test_the_contract_states_the_code_that_each_class_has() -> None:
    for error in concrete_errors():
        assert comments()[error.reason].startswith(f"{error.code.name}. "), error.reason


def test_only_outcome_unknown_leaves_money_in_doubt_and_the_contract_says_so() -> None:
    in_doubt = [error.reason for error in concrete_errors() if error.outcome is Outcome.UNKNOWN]
    assert in_doubt == ["OUTCOME_UNKNOWN"]
    assert "in doubt" in comments()["OUTCOME_UNKNOWN"]


def test_our_own_refusals_send_nothing_and_never_count_against_the_platform() -> None:
    for veto in concrete_errors(Veto):
        assert veto.outcome is Outcome.NOT_SENT
        assert not veto.platform_fault


def test_a_platform_that_refuses_is_healthy() -> None:
    assert PlatformRejected.outcome is Outcome.REJECTED
    assert not PlatformRejected.platform_fault
