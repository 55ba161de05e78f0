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
    ended = cli(
        "token", "create", "ltv-model", "--role", "bid", "--platform", "meta", "--campaign", "1001"
    )
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
        cli("token", "create", name, "--role", "read", "--file", str(file)).out.strip()
        for name in ("one", "two")
    ]
    assert {key: caller.name for key, caller in callers(file).items()} == {
        hash_of(made[0]): "one",
        hash_of(made[1]): "two",
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.toml"]


def test_what_is_in_the_file_stays_as_it_is(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text("# ours\n")
    file.chmod(0o640)
    assert cli("token", "create", "one", "--role", "read", "--file", str(file)).exit_code == 0
    assert file.read_text().startswith("# ours\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_token_may_end(cli: Cli) -> None:
    ended = cli("token", "create", "one", "--role", "operate", "--days", "30", "--json")
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
    ended = cli("token", "create", *arguments)
    assert ended.exit_code == 2
    assert said in ended.err
    assert ended.out == ""


def test_a_file_that_is_broken_is_left_as_it_was(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text("[[tokens]\n")
    ended = cli("token", "create", "one", "--role", "read", "--file", str(file))
    assert (ended.exit_code, ended.out) == (2, "")
    assert "nothing was changed" in ended.err
    assert file.read_text() == "[[tokens]\n"


def test_a_file_that_cannot_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    ended = cli(
        "token", "create", "one", "--role", "read", "--file", str(tmp_path / "no" / "tokens.toml")
    )
    assert (ended.exit_code, ended.out) == (2, "")
    assert "cannot be written" in ended.err


FILE = """# ours
[[tokens]] # the model
name = "model"
hash = "{model}"
role = "bid"
campaigns = ["1001"]

# of the night shift
[[tokens]]
name = "night"
hash = "{night}"
role = "operate"
expires_at = 2027-01-01T00:00:00+00:00
""".format(model=hash_of("m"), night=hash_of("n"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    path.write_text(FILE)
    path.chmod(0o640)
    return path


def test_a_second_token_of_one_name_is_not_made(cli: Cli, file: Path) -> None:
    ended = cli("token", "create", "night", "--role", "read", "--file", str(file))
    assert (ended.exit_code, ended.out) == (2, "")
    assert "a token called night already" in ended.err
    assert file.read_text() == FILE


def test_the_tokens_of_a_file_are_listed(cli: Cli, file: Path) -> None:
    ended = cli("token", "list", "--file", str(file))
    assert [line.split() for line in ended.out.splitlines()] == [
        ["name", "role", "platforms", "campaigns", "expires"],
        ["model", "bid", "all", "1001", "never"],
        ["night", "operate", "all", "all", "2027-01-01T00:00:00+00:00"],
    ]
    document = cli("token", "list", "--file", str(file), "--json").document
    assert [one["name"] for one in document["tokens"]] == ["model", "night"]


@pytest.mark.parametrize("name", ["model", "night"])
def test_a_token_is_revoked_and_the_rest_of_the_file_stays(cli: Cli, file: Path, name: str) -> None:
    (kept,) = {"model", "night"} - {name}
    assert cli("token", "revoke", name, "--file", str(file)).exit_code == 0
    assert [caller.name for caller in callers(file).values()] == [kept]
    assert file.read_text().startswith("# ours\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_name_that_is_not_in_the_file_revokes_nothing(cli: Cli, file: Path) -> None:
    ended = cli("token", "revoke", "knight", "--file", str(file))
    assert ended.exit_code == 2
    assert "no token called knight" in ended.err
    assert file.read_text() == FILE


def test_an_entry_of_another_form_is_left_to_a_person(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    both = [f'{{ name = "{one}", hash = "{hash_of(one)}", role = "read" }}' for one in "ab"]
    file.write_text(f"tokens = [{', '.join(both)}]\n")
    ended = cli("token", "revoke", "a", "--file", str(file))
    assert ended.exit_code == 2
    assert "only you can take out" in ended.err
    assert "a" in [caller.name for caller in callers(file).values()]


@pytest.mark.parametrize("command", ["list", "revoke"])
def test_a_file_that_is_not_there_is_named(cli: Cli, tmp_path: Path, command: str) -> None:
    name = [] if command == "list" else ["a"]
    ended = cli("token", command, *name, "--file", str(tmp_path / "none.toml"))
    assert (ended.exit_code, ended.out) == (2, "")
    assert "none.toml cannot be read" in ended.err
