"""`token`: what it prints, what it writes, and that both fit together."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartconnectors_server.access import Caller, Role, Scope
from smartconnectors_server.access.tokens import KEY, hash_of, read_tokens

if TYPE_CHECKING:
    from tests.server.cli.conftest import Cli


def callers(file: Path) -> dict[str, Caller]:
    return dict(read_tokens({KEY: file.read_bytes()}))


def test_a_token_is_printed_alone_and_its_entry_beside_it(cli: Cli, tmp_path: Path) -> None:
    ended = cli("token", "ltv-model", "--role", "bid", "--platform", "meta", "--campaign", "1001")
    assert ended.exit_code == 0
    token = ended.out.strip()
    file = tmp_path / "tokens.toml"
    file.write_text(ended.err)
    assert callers(file) == {
        hash_of(token): Caller("ltv-model", Role.BID, Scope.of(["meta"], ["1001"]))
    }
    assert token not in ended.err


def test_a_token_is_added_to_the_servers_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    made = [
        cli("token", name, "--role", "read", "--file", str(file)).out.strip()
        for name in ("one", "two", "two")
    ]
    assert {key: caller.name for key, caller in callers(file).items()} == {
        hash_of(made[0]): "one",
        hash_of(made[1]): "two",
        hash_of(made[2]): "two",
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.toml"]


def test_what_is_in_the_file_stays_as_it_is(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text("# ours\n")
    file.chmod(0o640)
    assert cli("token", "one", "--role", "read", "--file", str(file)).exit_code == 0
    assert file.read_text().startswith("# ours\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_token_may_end(cli: Cli) -> None:
    ended = cli("token", "one", "--role", "operate", "--days", "30", "--json")
    assert ended.document["entry"]["expires_at"]
    assert ended.document["entry"]["hash"] == hash_of(ended.document["token"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a b", "--role", "read"), "name"),
        (("anonymous", "--role", "read"), "name"),
        (("one", "--role", "admin"), "admin"),
        (("one", "--role", "bid", "--platform", "goggle_ads"), "goggle_ads"),
        (("one", "--role", "bid", "--days", "0"), "--days"),
    ],
)
def test_what_makes_no_token_is_said(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    ended = cli("token", *arguments)
    assert ended.exit_code == 2
    assert said in ended.err
    assert ended.out == ""


def test_a_file_that_is_broken_is_left_as_it_was(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text("[[tokens]\n")
    ended = cli("token", "one", "--role", "read", "--file", str(file))
    assert (ended.exit_code, ended.out) == (2, "")
    assert "nothing was added" in ended.err
    assert file.read_text() == "[[tokens]\n"


def test_a_file_that_cannot_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    ended = cli("token", "one", "--role", "read", "--file", str(tmp_path / "no" / "tokens.toml"))
    assert (ended.exit_code, ended.out) == (2, "")
    assert "cannot be written" in ended.err
