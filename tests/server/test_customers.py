"""Hashes of customers: the same with the same key, and nothing without it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from smartconnectors_server.customers import FILE_NAME, Customers, SiteKeyError


def opened(state: Path, key_file: Path | None = None) -> Customers:
    customers = Customers(key_file, state)
    customers.open()
    return customers


def test_the_first_start_makes_a_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert opened(tmp_path).hash_of("anna") == first.hash_of("anna") != first.hash_of("bert")


def test_every_site_has_hashes_of_its_own(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert opened(one).hash_of("anna") != opened(other).hash_of("anna")
    assert opened(other, one / FILE_NAME).hash_of("anna") == opened(one).hash_of("anna")


def test_no_customer_has_no_hash(tmp_path: Path) -> None:
    assert opened(tmp_path).hash_of("") == ""


def test_a_hash_is_24_digits_and_a_fingerprint_64(tmp_path: Path) -> None:
    customers = opened(tmp_path)
    assert len(bytes.fromhex(customers.hash_of("anna"))) == 12
    assert len(bytes.fromhex(customers.fingerprint_of("/a/B", b"anna"))) == 32
    assert customers.fingerprint_of("/a/B", b"anna") != customers.fingerprint_of("/a/C", b"anna")


@pytest.mark.parametrize("content", ["", "s3cret-but-short", "s" * 31 + "\n"])
def test_a_key_that_is_too_short_is_refused_without_saying_it(tmp_path: Path, content: str) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(content)
    with pytest.raises(SiteKeyError, match="shorter than 32") as caught:
        opened(tmp_path, key_file)
    assert not content or content.strip() not in str(caught.value)


def test_a_key_file_that_is_named_and_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SiteKeyError, match="No such file"):
        opened(tmp_path, tmp_path / "key")
    assert not list(tmp_path.iterdir())
