"""Time zones by name: known everywhere, or one error that says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smartconnectors_server.zones import UnknownZone, zone_of

NOT_ZONES = ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe", "x\0y", "x" * 5000]


@pytest.mark.parametrize("name", NOT_ZONES)
def test_a_name_that_is_no_zone_here_is_one_error_with_what_to_do(name: str) -> None:
    with pytest.raises(UnknownZone, match="update the package tzdata") as caught:
        zone_of(name)
    assert caught.value.name == name
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["Asia/Calcutta", "US/Pacific", "Europe/Berlin"])
def test_older_names_are_known_where_the_system_has_no_zones_at_all(
    name: str, tmp_path: Path
) -> None:
    """As on slim images: the package tzdata has them."""
    code = f"from smartconnectors_server.zones import zone_of; print(zone_of({name!r}).key)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONTZPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == name
