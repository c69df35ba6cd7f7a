"""Due times that anybody can check on a calendar."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from cronsim.cronsim import Field
from hypothesis import given
from hypothesis import strategies as st

from jobsd.expressions import ExpressionError, parse
from jobsd.expressions.helpers import daily_at, monthly_on, weekly_on

JAKARTA, BERLIN = "Asia/Jakarta", "Europe/Berlin"


def ms(text: str, zone: str = JAKARTA) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def shown(due: int | None, zone: str = JAKARTA) -> str | None:
    return None if due is None else f"{datetime.fromtimestamp(due / 1000, ZoneInfo(zone)):%Y-%m-%d %H:%M:%S%z}"[:-2]


NOW = "2026-11-23 10:07:00"  # a Monday


@pytest.mark.parametrize(
    ("text", "previous", "dues"),
    [
        # What is named in the requirements.
        ("0 23 L * *", "10-31 23:00", ["11-30 23:00", "12-31 23:00"]),
        ("30 0 * * *", "11-23 00:30", ["11-24 00:30", "11-25 00:30"]),
        ("0 8 * * MON", "11-23 08:00", ["11-30 08:00", "12-07 08:00"]),
        ("@daily 2:00", "11-23 02:00", ["11-24 02:00", "11-25 02:00"]),
        ("*/15 * * * *", "11-23 10:00", ["11-23 10:15", "11-23 10:30", "11-23 10:45", "11-23 11:00"]),
        ("0 9 * * *", "11-23 09:00", ["11-24 09:00", "11-25 09:00"]),
        ("0 8 * * 1", "11-23 08:00", ["11-30 08:00", "12-07 08:00"]),
        ("0 * * * *", "11-23 10:00", ["11-23 11:00", "11-23 12:00"]),
        (
            "0 18 * * 1-5",
            "11-20 18:00",
            ["11-23 18:00", "11-24 18:00", "11-25 18:00", "11-26 18:00", "11-27 18:00", "11-30 18:00"],
        ),
        ("0 3 * * *", "11-23 03:00", ["11-24 03:00"]),
        # The other forms.
        ("0 9 * * 5L", "10-30 09:00", ["11-27 09:00", "12-25 09:00"]),
        ("0 9 * * L5", "10-30 09:00", ["11-27 09:00", "12-25 09:00"]),
        ("0 9 * * lfri", "10-30 09:00", ["11-27 09:00", "12-25 09:00"]),
        ("0 9 * * 1#2", "11-09 09:00", ["12-14 09:00"]),
        ("0 9 * * mon#2", "11-09 09:00", ["12-14 09:00"]),
        ("0 9 LW * *", "10-30 09:00", ["11-30 09:00", "12-31 09:00"]),
        ("0 9 * jan-mar,DEC sat", "03-28 09:00", ["12-05 09:00", "12-12 09:00"]),
        ("0 9 * * 0", "11-22 09:00", ["11-29 09:00"]),
        ("0 9 * * 7", "11-22 09:00", ["11-29 09:00"]),
        ("5/20 10 * * *", "11-23 10:05", ["11-23 10:25", "11-23 10:45", "11-24 10:05"]),
        ("  0   9 * * *  ", "11-23 09:00", ["11-24 09:00"]),
        ("@hourly", "11-23 10:00", ["11-23 11:00"]),
        ("@daily", "11-23 00:00", ["11-24 00:00"]),
        ("@midnight", "11-23 00:00", ["11-24 00:00"]),
        ("@Midnight 23:05", "11-22 23:05", ["11-23 23:05"]),
        ("@weekly", "11-22 00:00", ["11-29 00:00"]),
        ("@monthly", "11-01 00:00", ["12-01 00:00"]),
        (daily_at(10, 30), "11-22 10:30", ["11-23 10:30"]),
        (weekly_on("Monday", 9, 0), "11-23 09:00", ["11-30 09:00"]),
        (monthly_on(15, 12, 0), "11-15 12:00", ["12-15 12:00"]),
        # A day of the month and a day of the week: either; with a star in front, both.
        ("0 9 24 * SUN", "11-22 09:00", ["11-24 09:00", "11-29 09:00", "12-06 09:00"]),
        ("0 9 */2 * SUN", "11-15 09:00", ["11-29 09:00", "12-13 09:00"]),
        ("0 9 24,25,29 * */3", "10-25 09:00", ["11-25 09:00", "11-29 09:00"]),
    ],
)
def test_due_times_in_jakarta(text: str, previous: str, dues: list[str]) -> None:
    expression = parse(text, zone=JAKARTA)
    expected = [ms(f"2026-{due}:00") for due in dues]
    assert [shown(due) for due in expression.between(ms(NOW), expected[-1], 100)] == [shown(due) for due in expected]
    assert shown(expression.previous(ms(NOW))) == shown(ms(f"2026-{previous}:00"))


def test_yearly_is_the_first_of_january() -> None:
    for text in ("@yearly", "@annually"):
        assert shown(parse(text, zone=JAKARTA).next(ms(NOW))) == "2027-01-01 00:00:00+07"
        assert shown(parse(text, zone=JAKARTA).previous(ms(NOW))) == "2026-01-01 00:00:00+07"


def test_days_that_come_seldom_are_found() -> None:
    leap_monday = parse("0 0 29 2 1", zone=JAKARTA, both_days=True)
    assert shown(leap_monday.next(ms(NOW))) == "2044-02-29 00:00:00+07"
    assert shown(leap_monday.previous(ms(NOW))) == "2016-02-29 00:00:00+07"
    assert shown(parse("0 0 29 2 *", zone=BERLIN).next(ms(NOW)), BERLIN) == "2028-02-29 00:00:00+01"


def test_both_days_must_fit_where_that_is_asked_for() -> None:
    either, both = parse("0 9 1-7 * MON", zone=JAKARTA), parse("0 9 1-7 * MON", zone=JAKARTA, both_days=True)
    assert shown(either.next(ms(NOW))) == "2026-11-30 09:00:00+07"
    assert shown(both.next(ms(NOW))) == "2026-12-07 09:00:00+07"
    assert either != both


def test_seconds_come_first_where_they_are_declared() -> None:
    expression = parse("*/20 30 10 * * *", zone=JAKARTA, seconds=True)
    found = expression.between(ms(NOW), ms("2026-11-23 23:00:00"), 10)
    assert [shown(due) for due in found] == [f"2026-11-23 10:30:{second}+07" for second in ("00", "20", "40")]


def test_every_counts_from_its_anchor_by_real_time() -> None:
    anchor = ms("2026-10-25 00:40:00", BERLIN)  # the clock is put back at 03:00
    expression = parse("@every 1h30m", zone=BERLIN, anchor_ms=anchor)
    found = expression.between(anchor, anchor + 12_600_000 * 2, 3)
    assert [shown(due, BERLIN) for due in found] == [
        "2026-10-25 02:10:00+02",
        "2026-10-25 02:40:00+01",
        "2026-10-25 04:10:00+01",
    ]
    assert expression.next(0) == anchor + 5_400_000
    assert expression.previous(anchor + 5_400_001) == anchor + 5_400_000
    assert expression.previous(anchor + 5_400_000) is None


@given(st.integers(1, 10**6), st.integers(0, 10**10), st.integers(-(10**12), 3 * 10**13))
def test_every_is_due_at_whole_multiples_only(interval: int, anchor_s: int, at_ms: int) -> None:
    expression = parse(f"@every {interval}s", anchor_ms=anchor_s * 1000)
    later, earlier = expression.next(at_ms), expression.previous(at_ms)
    assert later is not None
    assert later > at_ms
    assert (later // 1000 - anchor_s) % interval == 0
    assert later // 1000 > anchor_s
    if earlier is None:
        assert at_ms <= (anchor_s + interval) * 1000
    else:
        assert earlier < at_ms <= earlier + interval * 1000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("@every 90s", 90),
        ("@every 24h", 86_400),
        ("@every 1h0m10s", 3610),
        ("@EVERY 1.5h", 5400),
        ("@every 2 d", 172_800),
    ],
)
def test_every_takes_durations_as_jobsd_and_go_write_them(text: str, seconds: int) -> None:
    assert parse(text).next(0) == seconds * 1000


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("@once 2026-11-30T09:00:00+07:00", "2026-11-30 09:00:00+07"),
        ("@once 2026-11-30T02:00:00Z", "2026-11-30 09:00:00+07"),
        ("@once 2026-11-30 09:00", "2026-11-30 09:00:00+07"),
        ("@once 2026-11-23 10:07:01", "2026-11-23 10:07:01+07"),
        ("@once 2026-11-23 10:07", None),
    ],
)
def test_once_is_due_once(text: str, due: str | None) -> None:
    expression = parse(text, zone=JAKARTA)
    assert shown(expression.next(ms(NOW))) == due
    if due is not None:
        assert expression.previous(ms(NOW)) is None
        assert expression.next(ms("2026-12-01 00:00:00")) is None


def test_once_at_a_time_that_the_clock_leaps_over_is_due_behind_the_leap() -> None:
    assert parse("@once 2026-03-29 02:30", zone=BERLIN).next(0) == ms("2026-03-29 03:00:00", BERLIN)


def test_next_is_strictly_after_and_previous_strictly_before_to_the_millisecond() -> None:
    expression, due = parse("30 0 * * *", zone=JAKARTA), ms("2026-11-24 00:30:00")
    day = 86_400_000
    assert [expression.next(at) for at in (due - 1, due, due + 1)] == [due, due + day, due + day]
    assert [expression.previous(at) for at in (due - 1, due, due + 1)] == [due - day, due - day, due]


def test_between_takes_the_first_or_the_latest_and_both_are_in_order() -> None:
    expression = parse("0 * * * *")
    hour = 3_600_000
    assert expression.between(0, 5 * hour, 2) == [hour, 2 * hour]
    assert expression.between(0, 5 * hour, 2, latest=True) == [4 * hour, 5 * hour]
    assert expression.between(hour, 2 * hour, 9) == expression.between(hour, 2 * hour, 9, latest=True) == [2 * hour]
    assert expression.between(hour, hour, 9) == expression.between(0, 5 * hour, 0) == []


def test_the_calendar_s_ends_are_no_error() -> None:
    for text in ("*/15 * * * *", "30 2 * * *", "0 0 29 2 *", "@every 1h", "@once 2026-11-30 09:00"):
        for zone in ("UTC", BERLIN, "Pacific/Kiritimati", "Pacific/Pago_Pago"):
            expression = parse(text, zone=zone)
            assert expression.next(10**18) is None
            assert expression.next(250_000_000_000_000 - 1) is None
            assert expression.previous(-(10**18)) is None
            expression.next(-(10**18))
            expression.previous(10**18)


def test_expressions_are_equal_if_they_were_parsed_from_the_same() -> None:
    one = parse("0 9 * * *", zone=JAKARTA)
    assert one == parse("0 9 * * *", zone=JAKARTA)
    assert hash(one) == hash(parse("0 9 * * *", zone=JAKARTA))
    others = [parse("0 9 * * *"), parse("00 9 * * *", zone=JAKARTA), parse("0 9 * * *", zone=JAKARTA, anchor_ms=1)]
    assert one not in others
    assert (one.text, one.zone) == ("0 9 * * *", JAKARTA)
    with pytest.raises(AttributeError):
        one.zone = "UTC"  # pyright: ignore[reportAttributeAccessIssue]


@given(
    st.text("0123456789*/-,L#W?MONJAFRI", max_size=9),
    st.sampled_from(Field),
)
def test_what_is_accepted_in_a_field_is_accepted_by_cronsim(item: str, field: Field) -> None:
    fields = ["*"] * 6
    fields[field] = item
    try:
        expression = parse(" ".join(fields), seconds=True)
    except ExpressionError:
        return
    assert expression.next(0) is not None
    assert expression.words
