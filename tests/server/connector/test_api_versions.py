"""The warning before a version of a platform's API ends."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from smartconnectors_server.connector.api_versions import end_warnings

ENDS = {"v25.0": date(2027, 2, 23)}


def warned(version: str, today: date, newest: str = "v26.0") -> tuple[str, ...]:
    return end_warnings("the Graph API", version, ENDS, today, newest=newest)


@pytest.mark.parametrize(("days_left", "word"), [(90, "ends"), (1, "ends"), (0, "ended")])
def test_a_version_is_warned_of_from_ninety_days_before_its_end(days_left: int, word: str) -> None:
    assert warned("v25.0", ENDS["v25.0"] - timedelta(days=days_left)) == (
        (
            f"version v25.0 of the Graph API {word} on 2027-02-23; "
            "set api_version = 'v26.0', or leave it out"
        ),
    )


def test_a_version_is_not_warned_of_any_earlier() -> None:
    assert warned("v25.0", ENDS["v25.0"] - timedelta(days=91)) == ()


def test_the_newest_version_is_left_by_an_update_alone() -> None:
    (warning,) = warned("v25.0", ENDS["v25.0"], newest="v25.0")
    assert "update smart connectors" in warning


def test_a_version_whose_end_is_not_announced_is_not_warned_of() -> None:
    assert warned("v26.0", date(2030, 1, 1)) == ()
