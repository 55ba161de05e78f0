"""A certificate is known by names of the kind that the grant names, and by its common name only
where it has no alternative ones.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from tests.server.access.stage import Authority, Caller, application, code_of, tls

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors_server.app import load_settings
from smartconnectors_server.settings import SettingsError

AUTHORITY = Authority()
PAUSE = "/smartconnectors.budgets.v1.BudgetService/PauseBudget"
ALLOWED, UNKNOWN = grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED
GRANTS = ("dns:ops", "uri:spiffe://bids/ops", "email:ops@bids.example", "cn:robot")


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    AUTHORITY.issue("localhost").write(tmp_path)
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    app = application(
        tmp_path,
        server={
            "host": "localhost",
            "tls": tls(tmp_path, client_ca_file=str(tmp_path / "ca.pem")),
        },
        access={"certificates": {name: {"role": "operate"} for name in GRANTS}},
    )
    yield (await app.start()).grpc_address
    await app.stop()


async def pauses(address: str, common_name: str, names: Sequence[x509.GeneralName]) -> object:
    """How a pause of everything ends for who shows a certificate with these names."""
    own = AUTHORITY.issue(common_name, alternatives=names)
    credentials = grpc.ssl_channel_credentials(AUTHORITY.pem, own.key, own.certificate)
    port = address.rpartition(":")[2]
    async with Caller(f"localhost:{port}", credentials=credentials) as caller:
        request = budgets_pb2.PauseBudgetRequest(budget_id="all", reason="a drill")
        return await code_of(caller.unary(PAUSE, request))


@pytest.mark.parametrize(
    ("common_name", "names"),
    [
        ("ops", [x509.DNSName("low.example")]),
        ("dns:ops", [x509.DNSName("low.example")]),
        ("robot", [x509.DNSName("low.example")]),
        ("robot", [x509.DirectoryName(x509.Name([]))]),
        ("ops", []),
        ("dns:ops", []),
        ("low", [x509.RFC822Name("ops")]),
        ("low", [x509.UniformResourceIdentifier("ops")]),
        ("low", [x509.UniformResourceIdentifier("dns:ops")]),
        ("low", [x509.UniformResourceIdentifier("email:ops@bids.example")]),
        ("low", [x509.DNSName("robot")]),
        ("low", [x509.DNSName("spiffe://bids/ops")]),
        ("low", [x509.DNSName("cn:robot")]),
        ("low", [x509.IPAddress(ipaddress.ip_address("10.0.0.1"))]),
    ],
    ids=str,
)
async def test_a_name_of_another_kind_gives_nothing(
    address: str, common_name: str, names: Sequence[x509.GeneralName]
) -> None:
    assert await pauses(address, common_name, names) is UNKNOWN


@pytest.mark.parametrize(
    ("common_name", "names"),
    [
        ("low", [x509.DNSName("low.example"), x509.DNSName("ops")]),
        ("low", [x509.DNSName("OPS")]),
        ("low", [x509.UniformResourceIdentifier("spiffe://bids/ops")]),
        ("low", [x509.RFC822Name("ops@bids.example")]),
        ("robot", []),
    ],
    ids=str,
)
async def test_a_name_of_the_kind_that_the_grant_names_counts(
    address: str, common_name: str, names: Sequence[x509.GeneralName]
) -> None:
    assert await pauses(address, common_name, names) is ALLOWED


@pytest.mark.parametrize("name", ["ops", "san:ops", "dns:", "uri: ", "dns:a\nb", ":ops", ""])
def test_a_grant_without_a_kind_is_refused_with_the_kinds_that_there_are(name: str) -> None:
    with pytest.raises(SettingsError, match=r"dns:.*uri:.*email:.*cn:"):
        load_settings(None, {}, {"access": {"certificates": {name: {"role": "operate"}}}})
