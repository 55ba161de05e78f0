"""The warning before a version of a platform's API ends."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from smartconnectors_server.connector.api_versions import end_warning

ENDS = {"v25.0": date(2027, 2, 23)}


@pytest.mark.parametrize(
    ("days_left", "word"), [(91, None), (90, "ends"), (1, "ends"), (0, "ended"), (-400, "ended")]
)
def test_a_version_is_warned_of_from_ninety_days_before_its_end(
    days_left: int, word: str | None
) -> None:
    today = ENDS["v25.0"] - timedelta(days=days_left)
    expected = None
    if word is not None:
        expected = (
            f"meta: version v25.0 of the API {word} on 2027-02-23; "
            "set platforms.meta.options.api_version to a newer one"
        )
    assert end_warning("meta", "v25.0", ENDS, today) == expected


def test_a_version_whose_end_is_not_announced_is_not_warned_of() -> None:
    assert end_warning("meta", "v26.0", ENDS, date(2030, 1, 1)) is None
