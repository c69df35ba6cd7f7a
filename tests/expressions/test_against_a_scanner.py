"""next() and previous() against a brute-force scanner, which has its own reading of expressions and of the rules.

A sample by default; with JOBSD_EXPRESSIONS=all every transition of every zone and 2,500 random windows, some minutes.
"""

from __future__ import annotations

import os
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from jobsd.expressions import Expression, ExpressionError, parse
from tests.expressions.scanner import BEHIND, FIRST, ZONES, Scanner, shown, transitions

ALL = os.environ.get("JOBSD_EXPRESSIONS") == "all"
HOUR, DAY = 3600, 86_400
WINDOWS = 2_500 if ALL else 20
SEED = int(os.environ.get("JOBSD_EXPRESSIONS_SEED", "9"))

# Half an hour, at midnight, four times a year, a quarter to three, two hours at once, backwards in winter.
ODD = [
    "Africa/Cairo", "Africa/Casablanca", "America/Havana", "America/Santiago", "America/St_Johns", "Antarctica/Troll",
    "Asia/Beirut", "Asia/Gaza", "Atlantic/Azores", "Australia/Lord_Howe", "Europe/Berlin", "Europe/Dublin",
    "Pacific/Chatham",
]  # fmt: skip

figures: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def _figures():
    yield
    print(dict(figures))  # noqa: T201 - with -s: what was compared


def compare(expression: Expression, scanner: Scanner, times: list[tuple[int, int]], points: list[int]) -> None:
    """Compare from both ends of the window, and from each of the points; times[0] is a day and more before it."""
    begins, ends = points[0], points[-1]
    dues = [due for due in scanner.dues(times) if due > begins]
    where = f"{expression.text!r} in {expression.zone}"
    found = expression.between(begins * 1000, ends * 1000, 3000)
    assert found == [due * 1000 for due in dues if due <= ends][:3000], f"{where}: next from {begins}"
    found = expression.between(begins * 1000, ends * 1000, 3000, latest=True)
    assert found == [due * 1000 for due in dues if due <= ends][-3000:], f"{where}: previous from {ends}"
    figures["comparisons"] += 2 * len(found)
    for at in points:
        at_next, at_previous = bisect_right(dues, at), bisect_left(dues, at) - 1
        due = expression.next(at * 1000)
        if at_next < len(dues):
            assert due == dues[at_next] * 1000, f"{where}: next from {at}"
        else:
            assert due is None or due > times[-1][0] * 1000, f"{where}: next from {at}"
        due = expression.previous(at * 1000)
        if at_previous >= 0:
            assert due == dues[at_previous] * 1000, f"{where}: previous from {at}"
        else:
            assert due is None or due <= begins * 1000, f"{where}: previous from {at}"
        figures["comparisons"] += 2


def expressions_for(zone: str, transition: int) -> list[str]:
    """Fixed times at, in and around what the clock leaps over or shows twice, and intervals."""
    walls = [datetime.fromtimestamp(at, ZoneInfo(zone)).replace(tzinfo=None) for at in (transition - 60, transition)]
    low, high = min(walls), max(walls)
    middle = low + (high - low) / 2
    return [
        f"{low.minute} {low.hour} * * *",
        f"{middle.minute} {middle.hour} * * *",
        f"{high.minute} {high.hour} * * *",
        f"{middle.minute} {middle.hour} {middle.day} {middle.month} *",
        f"{middle.minute},{high.minute} {low.hour},{middle.hour},{high.hour} * * {middle:%a}",
        f"10-50/20 {low.hour}-{high.hour} * * *" if low.hour <= high.hour else "10-50/20 0-23 * * *",
        f"*/20 {middle.hour} * * *",
        f"{middle.minute} * * * *",
        "*/30 * * * *",
        "0 */2 * * *",
        "0 0 * * *",
    ]


@pytest.mark.parametrize("zone", ZONES if ALL else ODD)
def test_around_each_transition_of_a_zone_next_and_previous_are_what_a_scan_of_all_minutes_finds(zone: str) -> None:
    found = transitions(zone)
    figures["zones"] += 1
    for transition in found if ALL else found[:2]:
        figures["transitions"] += 1
        begins, ends = transition - 2 * DAY, transition + 2 * DAY
        times = shown(zone, begins - 2 * DAY, ends + 60)
        near = [transition + seconds for seconds in (-61, -60, -59, -1, 0, 1, 59, 60, 61)]
        points = sorted({*range(begins, ends + 1, HOUR // 2 if ALL else 4 * HOUR), *near})
        for text in expressions_for(zone, transition):
            compare(parse(text, zone=zone), Scanner(text), times, points)


@pytest.mark.parametrize("zone", ODD if ALL else ["Australia/Lord_Howe", "America/Havana"])
@pytest.mark.parametrize("text", ["*/20 */30 * * * *", "30 15,45 0,1,2,3 * * *", "0 0 */2 * * *", "*/7 30 0,2 * * *"])
def test_seconds_follow_the_same_rules(zone: str, text: str) -> None:
    for transition in transitions(zone)[:2]:
        times = shown(zone, transition - 5 * HOUR, transition + 5 * HOUR, 1)
        points = list(range(transition - HOUR, transition + 4 * HOUR, 599))
        compare(parse(text, zone=zone, seconds=True), Scanner(text), times, points)


@pytest.mark.timeout(1800)
def test_in_random_windows_of_40_days_next_and_previous_are_what_a_scan_of_all_minutes_finds() -> None:
    chance = random.Random(SEED)
    for _ in range(WINDOWS):
        expression, scanner = a_random_expression(chance)
        begins = chance.randrange(int(FIRST.timestamp()), int(BEHIND.timestamp()) - 45 * DAY, 60)
        times = shown(expression.zone, begins - 2 * DAY, begins + 40 * DAY + 60)
        points = sorted({begins, begins + 40 * DAY, *(begins + chance.randrange(40 * DAY) for _ in range(20))})
        compare(expression, scanner, times, points)
        figures["windows"] += 1


def a_random_expression(chance: random.Random) -> tuple[Expression, Scanner]:
    while True:
        day, weekday = chance.choice([("*", "*"), (a_day(chance), "*"), ("*", a_weekday(chance)), *[("", "")] * 2])
        text = " ".join(
            [
                a_field(chance, 0, 59),
                a_field(chance, 0, 23),
                day or a_day(chance),
                a_field(chance, 1, 12) if chance.random() < 0.3 else "*",
                weekday or a_weekday(chance),
            ]
        )
        both = chance.random() < 0.2
        try:
            return parse(text, zone=chance.choice(ZONES), both_days=both), Scanner(text, both=both)
        except ExpressionError as error:
            assert "never due" in str(error)  # noqa: PT017 - nothing else may be wrong with it


def a_field(chance: random.Random, low: int, high: int) -> str:
    first, last = sorted(chance.sample(range(low, high + 1), 2))
    return ",".join(
        chance.choice(
            [
                "*",
                f"*/{chance.randint(1, (high - low) // 2)}",
                f"{first}",
                f"{first}",
                f"{first}-{last}",
                f"{first}-{last}/{chance.randint(1, last - first)}",
                f"{first}/{chance.randint(1, high - first)}",
            ]
        )
        for _ in range(chance.choice([1, 1, 1, 2, 3]))
    )


def a_day(chance: random.Random) -> str:
    return chance.choice(["L", "LW", f"L,{chance.randint(1, 28)}", a_field(chance, 1, 31), a_field(chance, 1, 31)])


def a_weekday(chance: random.Random) -> str:
    day = chance.choice([*"01234567", "MON", "tue", "Sun"])
    return chance.choice([f"{day}L", f"L{day}", f"{day}#{chance.randint(1, 5)}", day, "MON-FRI", a_field(chance, 0, 6)])


def test_the_scan_itself_is_right_where_anybody_can_check_it() -> None:
    """Berlin put its clock forward on 29 March 2026 at 01:00 UTC, and back on 25 October 2026 at 01:00 UTC."""

    def scan(text: str, day: int, month: int) -> list[str]:
        begins = int(datetime(2026, month, day, tzinfo=UTC).timestamp())
        dues = Scanner(text).dues(shown("Europe/Berlin", begins - 60, begins + 4 * HOUR))
        return [f"{datetime.fromtimestamp(due, UTC):%H:%M}" for due in dues]

    assert scan("30 2 * * *", 29, 3) == ["01:00"]
    assert scan("30 2 * * *", 25, 10) == ["00:30"]
    assert scan("*/30 2 * * *", 29, 3) == []
    assert scan("*/30 2 * * *", 25, 10) == ["00:00", "00:30", "01:00", "01:30"]
    assert scan("0 */2 * * *", 25, 10) == ["00:00", "01:00", "03:00"]
