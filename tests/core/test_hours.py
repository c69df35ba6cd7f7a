from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.hours import ALWAYS, Hours

NEW_YORK = "America/New_York"
MINUTE = 60_000


def ms(wall: str, zone: str = NEW_YORK) -> int:
    """Return the instant at which the clock first shows ``wall``; with "again", the second time."""
    text, _, again = wall.partition(" again")
    fold = 1 if wall.endswith("again") else 0
    assert again == ""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def opened(hours: str, now: str) -> tuple[int, int]:
    return Hours.parse(hours, NEW_YORK).interval(ms(now))


@pytest.mark.parametrize(
    ("hours", "now", "start", "end"),
    [
        ("22:00-06:00", "2026-01-10T23:00", "2026-01-10T22:00", "2026-01-11T06:00"),
        ("22:00-06:00", "2026-01-10T05:59", "2026-01-09T22:00", "2026-01-10T06:00"),
        ("22:00-06:00", "2026-01-10T22:00", "2026-01-10T22:00", "2026-01-11T06:00"),
        ("22:00-06:00", "2026-01-10T06:00", "2026-01-10T22:00", "2026-01-11T06:00"),
        ("22:00-06:00,12:00-13:00", "2026-01-10T06:00", "2026-01-10T12:00", "2026-01-10T13:00"),
        ("22:00-06:00,12:00-13:00", "2026-01-10T13:00", "2026-01-10T22:00", "2026-01-11T06:00"),
        ("20:00-22:00,22:00-06:00", "2026-01-10T21:00", "2026-01-10T20:00", "2026-01-11T06:00"),
        ("05:00-07:00,22:00-06:00", "2026-01-10T23:00", "2026-01-10T22:00", "2026-01-11T07:00"),
        ("22:00-24:00,00:00-02:00", "2026-01-10T21:00", "2026-01-10T22:00", "2026-01-11T02:00"),
        ("22:00-00:00", "2026-01-10T21:00", "2026-01-10T22:00", "2026-01-11T00:00"),
        ("12:01-12:00", "2026-01-10T12:00", "2026-01-10T12:01", "2026-01-11T12:00"),
    ],
)
def test_the_interval_is_the_one_around_now_or_else_the_next(hours: str, now: str, start: str, end: str) -> None:
    assert opened(hours, now) == (ms(start), ms(end))


# On 2026-03-08 the clock goes from 02:00 to 03:00, on 2026-11-01 from 02:00 to 01:00 again.
@pytest.mark.parametrize(
    ("hours", "now", "start", "end"),
    [
        ("22:00-06:00", "2026-03-08T01:00", "2026-03-07T22:00", "2026-03-08T06:00"),
        ("02:30-04:00", "2026-03-08T01:00", "2026-03-08T03:00", "2026-03-08T04:00"),
        ("01:00-02:30", "2026-03-08T00:00", "2026-03-08T01:00", "2026-03-08T03:00"),
        ("02:00-03:00", "2026-03-08T01:00", "2026-03-09T02:00", "2026-03-09T03:00"),
        ("22:00-06:00", "2026-11-01T00:00", "2026-10-31T22:00", "2026-11-01T06:00"),
        ("01:30-01:45", "2026-11-01T01:40", "2026-11-01T01:30", "2026-11-01T01:45"),
        ("01:30-01:45", "2026-11-01T01:45", "2026-11-01T01:30 again", "2026-11-01T01:45 again"),
        ("01:00-03:00", "2026-11-01T01:30", "2026-11-01T01:00", "2026-11-01T03:00"),
        ("03:00-02:00", "2026-11-01T01:30 again", "2026-10-31T03:00", "2026-11-01T02:00"),
    ],
)
def test_on_the_days_on_which_the_clock_is_put_a_window_is_what_the_clock_shows(
    hours: str, now: str, start: str, end: str
) -> None:
    assert opened(hours, now) == (ms(start), ms(end))


def test_an_interval_over_two_days_is_whole_from_wherever_it_is_seen() -> None:
    whole = (ms("2026-03-07T03:00"), ms("2026-03-09T02:00"))  # 02:00 to 03:00 is never shown between
    for now in (whole[0], ms("2026-03-08T12:00"), whole[1] - 1):
        assert Hours.parse("03:00-02:00", NEW_YORK).interval(now) == whole


def test_a_zone_that_leaves_a_day_out_waits_for_the_next() -> None:
    hours = Hours.parse("10:00-11:00 Pacific/Apia")  # there was no 2011-12-30 there
    start, end = hours.interval(ms("2011-12-29T12:00", "Pacific/Apia"))
    assert (start, end) == (ms("2011-12-31T10:00", "Pacific/Apia"), ms("2011-12-31T11:00", "Pacific/Apia"))


@pytest.mark.parametrize("text", ["00:00-24:00", "22:00-06:00,06:00-22:00", "12:00-00:00,00:00-13:00 Asia/Jakarta"])
def test_windows_that_fill_the_day_are_always_open(text: str) -> None:
    assert Hours.parse(text).interval(1_800_000_000_000) == ALWAYS


@given(
    st.sampled_from([NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "UTC"]),
    st.lists(st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda w: w[0] != w[1]), min_size=1),
    st.integers(0, 366 * 24 * 60),
)
def test_it_is_open_exactly_while_the_clock_shows_a_time_in_a_window(zone: str, windows, after: int) -> None:
    hours = Hours(tuple((start, end if end > start else end + 1440) for start, end in windows), zone)
    now = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000) + after * MINUTE

    def shown_open(at: int) -> bool:
        clock = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).astimezone(ZoneInfo(zone))
        minute = clock.hour * 60 + clock.minute
        return any(start <= minute < end or start <= minute + 1440 < end for start, end in hours.windows)

    start, end = hours.interval(now)
    if (start, end) == ALWAYS:
        return
    assert now < end
    assert (start <= now) == shown_open(now)
    assert shown_open(start)
    assert not shown_open(start - 1)
    assert shown_open(end - 1)
    assert not shown_open(end)
    assert not any(shown_open(at) for at in range(now, start, 5 * MINUTE))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("22:00-06:00", "22:00-06:00 Europe/Berlin"),
        (" 22:00 - 6:00 ,  12:00-13:00 ", "22:00-06:00,12:00-13:00 Europe/Berlin"),
        ("22:00-06:00 Asia/Jakarta", "22:00-06:00 Asia/Jakarta"),
        ("00:00-24:00 UTC", "00:00-24:00 UTC"),
        ("22:00-06:00  Etc/GMT+3", "22:00-06:00 Etc/GMT+3"),
    ],
)
def test_the_zone_in_the_text_goes_before_the_given_one_and_what_is_written_is_read_back(
    text: str, written: str
) -> None:
    hours = Hours.parse(text, "Europe/Berlin")
    assert str(hours) == written
    assert Hours.parse(written) == hours


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' in '' is not two times of the day; allowed are hours such as"),
        ("22-06", "'22-06' in '22-06' is not two times of the day"),
        ("12:00-13:00,", "'' in '12:00-13:00,' is not two times"),
        ("22:00-06:00Asia/Jakarta", "is not two times of the day"),
        ("25:00-03:00", "'25:00-03:00' .* is no time of the day"),
        ("24:00-03:00", "is no time of the day"),
        ("00:00-23:60", "is no time of the day"),
        ("00:00-24:01", "is no time of the day"),
        ("12:00-12:00", "ends when it begins; the whole day is 00:00-24:00"),
        ("22:00-06:00 Asia/Jakrta", "'Asia/Jakrta' is not the name of a time zone; did you mean \"Asia/Jakarta\""),
        ("22:00-06:00 ../etc", "'../etc' is not the name of a time zone"),
        (None, "None is not hours such as"),
        (22, "22 is not hours such as"),
    ],
)
def test_what_is_no_hours_is_refused_with_what_is_wrong(text: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Hours.parse(text)


def test_a_given_zone_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'Nowhere' is not the name of a time zone"):
        Hours.parse("22:00-06:00", "Nowhere")
