"""When memory counts as flat."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.soak.memory import Sample, look_at, memory_of


def samples(*rss: tuple[float, int]) -> list[Sample]:
    return [Sample(at_s, kib, files=0, threads=0, ledger_bytes=0) for at_s, kib in rss]


@pytest.mark.parametrize(("end_kib", "flat"), [(104, True), (105, True), (106, False), (50, True)])
def test_five_per_cent_more_than_after_the_warm_up_is_flat(end_kib: int, flat: bool) -> None:
    seen = samples((10, 20), (60, 100), (70, 100), (200, 500), (250, end_kib), (290, end_kib))
    memory = memory_of(seen, warm_s=60, end_s=300)
    assert memory is not None
    assert memory.flat is flat


def test_one_sample_out_of_line_does_not_decide() -> None:
    seen = samples((60, 100), (70, 100), (80, 900), (250, 100), (260, 100), (270, 900))
    memory = memory_of(seen, warm_s=60, end_s=300)
    assert memory is not None
    assert memory.growth == 0


def test_a_run_that_is_too_short_says_nothing() -> None:
    assert memory_of(samples((60, 1), (170, 1)), warm_s=60, end_s=179) is None


def test_a_process_is_looked_at_from_outside(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_bytes(b"x" * 10)
    sample = look_at(os.getpid(), tmp_path, 1.5)
    assert sample.at_s == 1.5
    assert sample.rss_kib > 1_000
    assert sample.files >= 3
    assert sample.threads >= 1
    assert sample.ledger_bytes == 10


def test_a_process_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        look_at(2**22 + 1, tmp_path, 0.0)
