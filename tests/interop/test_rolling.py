"""That a rolling restart's judge notices, and that the files in `deploy/` are what is tried; the
restarts themselves are played by `make interop`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.interop.accounting import Account, account
from tests.interop.processes import Failed
from tests.interop.proxies import DEPLOY, put_in
from tests.interop.rolling import Rolled

PLACED = {"r1": "PLACED", "r2": "PLACED"}
SERVERS = [("127.0.0.1:1001", "127.0.0.1:1002"), ("127.0.0.1:2001", "127.0.0.1:2002")]


def rolled(found: Account, **other: Any) -> Rolled:
    told = {"r1": "PLACED", "r2": "PLACED", **dict.fromkeys(found.failed, "UNKNOWN")}
    usual = {"tries_again": 3, "longest_s": 1.0, "took": [1, 1], "drained": [0, 0]}
    return Rolled(account=found, told=told, seconds=[2.0], **{**usual, **other})


def test_every_bid_taken_once_is_in_order() -> None:
    found = account(PLACED, ["r2", "r1"])
    assert found.holds
    assert rolled(found).wrong == []


def test_a_bid_that_the_platform_never_took_is_lost() -> None:
    found = account(PLACED, ["r1"])
    assert found == Account(lost=["r2"], twice=[], failed=[], nobodys=[])
    assert rolled(found).wrong == ["1 lost, r2 among them"]


def test_a_bid_that_the_platform_took_twice_is_noticed() -> None:
    found = account(PLACED, ["r1", "r2", "r1"])
    assert found == Account(lost=[], twice=["r1"], failed=[], nobodys=[])
    assert rolled(found).wrong == ["1 placed twice, r1 among them"]


def test_a_call_that_failed_for_good_is_noticed_even_when_the_platform_took_the_bid() -> None:
    found = account({**PLACED, "r3": "UNKNOWN"}, ["r1", "r2", "r3"])
    assert found == Account(lost=[], twice=[], failed=["r3"], nobodys=[])
    assert rolled(found).wrong == ["1 ended with UNKNOWN"]


def test_a_change_that_no_bid_explains_is_noticed() -> None:
    found = account(PLACED, ["r1", "r2", ""])
    assert found == Account(lost=[], twice=[], failed=[], nobodys=[""])
    assert not found.holds


@pytest.mark.parametrize(
    "other", [{"drained": [0, -9]}, {"took": [2, 1]}, {"took": [2, 0]}, {"tries_again": 0}]
)
def test_what_would_show_nothing_counts_as_wrong(other: dict[str, Any]) -> None:
    assert len(rolled(account(PLACED, ["r1", "r2"]), **other).wrong) == 1


@pytest.mark.parametrize("name", ["haproxy.cfg", "nginx.conf"])
def test_only_addresses_and_names_are_put_into_a_proxys_file(name: str) -> None:
    written = (DEPLOY / name).read_text()
    ours = put_in(written, port=443, servers=SERVERS, folder=Path("/etc/smart-connectors"))
    back = ours.replace("127.0.0.1:443", "443").replace("localhost", "smart-connectors.internal")
    for host, ports in (("10.0.0.1", "100"), ("10.0.0.2", "200")):
        back = back.replace(f"127.0.0.1:{ports}1", f"{host}:50051")
        back = back.replace(f"port {ports}2", "port 8080")
    assert [line.replace(":443", "443") for line in back.splitlines() if "443" not in line] == [
        line for line in written.splitlines() if "443" not in line
    ]


def test_a_file_that_has_other_servers_is_refused() -> None:
    text = (DEPLOY / "nginx.conf").read_text().replace("10.0.0.2", "10.0.0.3")
    with pytest.raises(Failed, match=r"10\.0\.0\.2"):
        put_in(text, port=443, servers=SERVERS, folder=Path("/etc/smart-connectors"))
