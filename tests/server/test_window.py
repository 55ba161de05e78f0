"""The windows against lists that remember everything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.window import CalendarSum, SlidingSum, WindowSum
from smartconnectors_server.zones import UnknownZone

SECOND = 1_000_000_000
MILLI = 1_000_000
START = 1_700_000_000 * SECOND

widths = st.sampled_from([1, 3 * MILLI, SECOND, 60 * SECOND, 600 * SECOND, 86_400 * SECOND])


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A width, and (time, weight) in order of time: many of them close together."""
    width = draw(widths)
    gaps = st.one_of(
        st.sampled_from([0, 1, MILLI - 1, MILLI, MILLI + 1, width - 1, width, width + 1]),
        st.integers(0, max(1, width // 3)),
        st.integers(0, 3 * MILLI),
    )
    at = START
    entries = []
    for gap, weight in draw(
        st.lists(st.tuples(gaps, st.integers(0, 10**9)), min_size=1, max_size=40)
    ):
        at += gap
        entries.append((at, weight))
    return width, entries


def exact_total(entries: list[tuple[int, int]], width: int, now: int) -> int:
    return sum(weight for at, weight in entries if now - width < at <= now)


@given(histories(), st.integers(0, 2 * 86_400 * SECOND))
def test_a_sliding_sum_is_never_too_small_and_late_by_less_than_one_bucket(
    history: tuple[int, list[tuple[int, int]]], wait: int
) -> None:
    width, entries = history
    window = SlidingSum(width)
    seen: list[tuple[int, int]] = []
    for at, weight in entries:
        window.add(at, weight)
        seen.append((at, weight))
        assert exact_total(seen, width, at) <= window.total(at)
        assert window.total(at) <= exact_total(seen, width + window.bucket_ns, at)
    now = entries[-1][0] + wait
    assert exact_total(seen, width, now) <= window.total(now)
    assert window.total(now) <= exact_total(seen, width + window.bucket_ns, now)


@given(histories())
def test_a_sliding_sum_counts_additions_as_it_sums_weights(
    history: tuple[int, list[tuple[int, int]]],
) -> None:
    width, entries = history
    weighed, counted = SlidingSum(width), SlidingSum(width)
    for at, weight in entries:
        weighed.add(at, weight)
        counted.add(at, 1)
        assert weighed.count(at) == counted.total(at)


@given(histories(), st.integers(0, 10**10), st.integers(0, 10**10))
def test_the_retry_time_of_a_sliding_sum_is_exact_to_the_nanosecond(
    history: tuple[int, list[tuple[int, int]]], room: int, weight: int
) -> None:
    width, entries = history
    window = SlidingSum(width)
    for at, added in entries:
        window.add(at, added)
    now = entries[-1][0]
    fits_at = window.fits_at_ns(now, room, weight)
    if fits_at is None:
        assert weight > room
        return
    assert fits_at >= now
    if fits_at > now:
        assert window.total(fits_at - 1) + weight > room
    assert window.total(fits_at) + weight <= room


@given(histories())
def test_the_next_release_is_when_the_sum_first_shrinks(
    history: tuple[int, list[tuple[int, int]]],
) -> None:
    width, entries = history
    window = SlidingSum(width)
    for at, _ in entries:
        window.add(at, 1)
    now = entries[-1][0]
    before = window.total(now)
    release = window.next_release_ns(now)
    assert release is not None
    assert window.total(release - 1) == before
    assert window.total(release) < before


@given(histories())
def test_a_window_restored_from_its_additions_says_the_same(
    history: tuple[int, list[tuple[int, int]]],
) -> None:
    width, entries = history
    live, restored = SlidingSum(width), SlidingSum(width)
    for at, weight in entries:
        live.add(at, weight)
    for at, weight in entries:
        restored.add(at, weight)
    now = entries[-1][0]
    for later in (now, now + width // 2, now + width - 1, now + width):
        assert live.total(later) == restored.total(later)


def test_a_sliding_sum_keeps_at_most_60_001_buckets() -> None:
    width = 600 * SECOND
    window = SlidingSum(width)
    step = window.bucket_ns
    for index in range(130_000):
        window.add(START + index * step, 1)
    assert window.bucket_count <= 60_001
    assert window.total(START + 130_000 * step) <= 60_001


def test_additions_less_than_a_bucket_apart_share_one_however_many_they_are() -> None:
    window = SlidingSum(60 * SECOND)
    for index in range(10_000):
        window.add(START + index * 100, 1)
    assert window.bucket_count == 1 + 10_000 * 100 // MILLI - 1
    assert window.total(START + SECOND) == 10_000


def test_what_was_added_leaves_exactly_one_width_later() -> None:
    window = SlidingSum(60 * SECOND)
    window.add(START, 7)
    assert window.total(START + 60 * SECOND - 1) == 7
    assert window.total(START + 60 * SECOND) == 0
    assert window.count(START + 60 * SECOND) == 0
    assert window.next_release_ns(START + 60 * SECOND) is None


@pytest.mark.parametrize("window", [SlidingSum(60 * SECOND), CalendarSum("hour")], ids=type)
def test_time_that_goes_backwards_is_taken_as_the_latest_seen(window: WindowSum) -> None:
    window.add(START, 5)
    assert window.total(START - 3600 * SECOND) == 5
    window.add(START - 3600 * SECOND, 5)
    assert window.total(START + 59 * SECOND) == 10
    assert window.fits_at_ns(START - SECOND, 20, 5) == START + 59 * SECOND


@pytest.mark.parametrize("window", [SlidingSum(60 * SECOND), CalendarSum("day")], ids=type)
def test_an_amount_above_the_room_never_fits(window: WindowSum) -> None:
    assert window.fits_at_ns(START, 10, 11) is None
    assert window.fits_at_ns(START, -1, 0) is None
    assert window.fits_at_ns(START, 10, 10) == START


@pytest.mark.parametrize("window", [SlidingSum(60 * SECOND), CalendarSum("day")], ids=type)
def test_a_negative_weight_is_refused(window: WindowSum) -> None:
    with pytest.raises(ValueError, match="negative"):
        window.add(START, -1)
    assert window.total(START) == 0


def test_a_window_without_width_or_with_an_unknown_unit_or_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than nothing"):
        SlidingSum(0)
    with pytest.raises(ValueError, match="hour, day, month"):
        CalendarSum("week")
    with pytest.raises(UnknownZone, match="'Mars/Olympus' is not known on this system: update"):
        CalendarSum("day", "Mars/Olympus")


@pytest.mark.parametrize(
    ("width", "bucket"),
    [
        (1, MILLI),
        (60 * SECOND, MILLI),
        (60 * SECOND + 1, MILLI + 1),
        (600 * SECOND, 10 * MILLI),
        (86_400 * SECOND, 1440 * MILLI),
    ],
)
def test_a_bucket_is_a_millisecond_or_a_60_000th_of_the_window_rounded_up(
    width: int, bucket: int
) -> None:
    assert SlidingSum(width).bucket_ns == bucket


def test_additions_a_whole_bucket_apart_are_in_two() -> None:
    window = SlidingSum(60 * SECOND)
    window.add(START, 1)
    window.add(START + MILLI - 1, 1)
    assert window.bucket_count == 1
    window.add(START + MILLI, 1)
    assert window.bucket_count == 2


def test_the_next_release_is_that_of_the_oldest() -> None:
    window = SlidingSum(60 * SECOND)
    for second in range(3):
        window.add(START + second * SECOND, 1)
    assert window.next_release_ns(START + 2 * SECOND) == START + 60 * SECOND
    assert window.next_release_ns(START + 60 * SECOND) == START + 61 * SECOND


WINDOWS = [lambda: SlidingSum(3600 * SECOND), lambda: CalendarSum("hour")]
HOUR_START = START - START % (3600 * SECOND)


@pytest.mark.parametrize("make", WINDOWS, ids=["sliding", "calendar"])
@pytest.mark.parametrize("question", ["total", "count", "next_release_ns"])
def test_whatever_is_asked_first_is_answered_as_of_then(
    make: Callable[[], WindowSum], question: str
) -> None:
    window = make()
    window.add(HOUR_START, 5)
    assert not getattr(window, question)(HOUR_START + 3600 * SECOND)


@pytest.mark.parametrize("make", WINDOWS, ids=["sliding", "calendar"])
def test_what_just_fits_fits_now_while_one_more_has_to_wait(make: Callable[[], WindowSum]) -> None:
    window = make()
    window.add(HOUR_START, 7)
    assert window.fits_at_ns(HOUR_START, 10, 3) == HOUR_START
    assert window.fits_at_ns(HOUR_START, 10, 4) == HOUR_START + 3600 * SECOND


@pytest.mark.parametrize("make", WINDOWS, ids=["sliding", "calendar"])
def test_an_addition_of_nothing_is_counted(make: Callable[[], WindowSum]) -> None:
    window = make()
    window.add(HOUR_START, 0)
    assert (window.total(HOUR_START), window.count(HOUR_START)) == (0, 1)


@pytest.mark.parametrize("make", WINDOWS, ids=["sliding", "calendar"])
def test_time_may_begin_at_nought(make: Callable[[], WindowSum]) -> None:
    window = make()
    assert window.fits_at_ns(0, 10, 1) == 0
    window.add(0, 5)
    assert window.next_release_ns(0) == 3600 * SECOND
    assert window.total(3600 * SECOND - 1) == 5
    assert window.total(3600 * SECOND) == 0


ZONES = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # its summer time is half an hour
    "America/Santiago",  # its clocks change at midnight
    "America/Havana",
    "America/Nuuk",
]
seconds = st.integers(
    int(datetime(2018, 1, 1, tzinfo=ZoneInfo("UTC")).timestamp()),
    int(datetime(2032, 1, 1, tzinfo=ZoneInfo("UTC")).timestamp()),
)


def period(unit: str, zone: str, at_s: int) -> tuple[object, ...]:
    local = datetime.fromtimestamp(at_s, ZoneInfo(zone))
    if unit == "hour":
        return local.date(), local.hour, local.utcoffset()
    return (local.date(),) if unit == "day" else (local.year, local.month)


@given(
    st.sampled_from(["hour", "day", "month"]),
    st.sampled_from(ZONES),
    seconds,
    st.lists(st.integers(0, 40 * 86_400), min_size=1, max_size=20),
    st.sampled_from([60, 3600, 86_400, 40 * 86_400]),
)
def test_a_calendar_sum_is_the_sum_of_its_own_period(
    unit: str, zone: str, start: int, gaps: list[int], longest_gap: int
) -> None:
    window = CalendarSum(unit, zone)
    entries: list[int] = []
    at = start
    for gap in gaps:
        at += gap % longest_gap
        entries.append(at)
        window.add(at * SECOND, 3)
        same = [e for e in entries if period(unit, zone, e) == period(unit, zone, at)]
        assert window.total(at * SECOND) == 3 * len(same)
        assert window.count(at * SECOND) == len(same)


@given(st.sampled_from(["hour", "day", "month"]), st.sampled_from(ZONES), seconds)
def test_a_calendar_sum_ends_where_the_period_changes_and_says_so_beforehand(
    unit: str, zone: str, at: int
) -> None:
    window = CalendarSum(unit, zone)
    assert window.next_release_ns(at * SECOND) is None
    window.add(at * SECOND, 10)
    end = window.fits_at_ns(at * SECOND, 10, 1)
    assert end is not None
    assert end == window.next_release_ns(at * SECOND)
    end_s, rest = divmod(end, SECOND)
    assert rest == 0
    assert period(unit, zone, end_s - 1) == period(unit, zone, at)
    assert period(unit, zone, end_s) != period(unit, zone, at)
    assert window.total(end - 1) == 10
    assert window.total(end) == 0


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", (2026, 3, 8), 23),
        ("America/New_York", (2026, 11, 1), 25),
        ("Australia/Lord_Howe", (2026, 4, 5), 24.5),
        ("America/Santiago", (2026, 9, 6), 23),
        ("Europe/Berlin", (2026, 6, 1), 24),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(
    zone: str, day: tuple[int, int, int], hours: float
) -> None:
    window = CalendarSum("day", zone)
    start = int(datetime(*day, tzinfo=ZoneInfo(zone)).timestamp())
    window.add(start * SECOND, 1)
    end = window.next_release_ns(start * SECOND)
    assert end == (start + round(hours * 3600)) * SECOND


def test_midnight_that_comes_twice_still_leaves_a_window_that_counts() -> None:
    # In St. John's the clocks went from 0:01 back to 23:01 on 7 November 2010.
    zone = ZoneInfo("America/St_Johns")
    second_evening = datetime(2010, 11, 6, 23, 30, tzinfo=zone, fold=1)
    assert second_evening.utcoffset() == timedelta(hours=-3, minutes=-30)
    window = CalendarSum("day", "America/St_Johns")
    at = int(second_evening.timestamp()) * SECOND
    window.add(at, 4)
    assert window.total(at + 60 * SECOND) == 4
    assert window.total(at + 30 * 60 * SECOND) == 0


def test_midnight_that_comes_twice_on_one_date_ends_the_day_before_it_once() -> None:
    # In Havana the clocks go from 1:00 back to 0:00 on 1 November 2026: 0:00 is twice that day.
    zone = ZoneInfo("America/Havana")
    evening = int(datetime(2026, 10, 31, 20, tzinfo=zone).timestamp()) * SECOND
    window = CalendarSum("day", "America/Havana")
    window.add(evening, 4)
    assert window.next_release_ns(evening) == evening + 4 * 3600 * SECOND
    window.add(evening + 4 * 3600 * SECOND, 5)
    assert window.total(evening + 5 * 3600 * SECOND) == 5
