"""Whether any day of any year fits a day of the month, a month and a day of the week."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

LAST, LAST_WORKDAY = -1, -2  # days of the month: L and LW. A pair with LAST is the last such day of the week

Item = int | tuple[int, int]  # a number, or a day of the week (Sunday is 0) and the how manieth in its month

_DAYS_IN = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SUNDAY, _SATURDAY = 0, 6
_WEEK = 7


def some_day(days: AbstractSet[Item], months: AbstractSet[Item], weekdays: AbstractSet[Item]) -> bool:
    """Whether some day fits all three. In 28 years each month, a leap year's too, begins on each day of the week.

    >>> some_day({31}, {2}, set(range(8))), some_day({29}, {2}, {1})
    (False, True)
    """
    weekdays = {item % _WEEK if isinstance(item, int) else item for item in weekdays}
    return any(
        _fits(day, begins, _DAYS_IN[month], days, weekdays)
        for month in months
        if isinstance(month, int)
        for begins in range(_WEEK)
        for day in range(1, _DAYS_IN[month] + 1)
    )


def _fits(day: int, begins: int, length: int, days: AbstractSet[Item], weekdays: AbstractSet[Item]) -> bool:
    weekday = (begins + day - 1) % _WEEK
    ends = (begins + length - 1) % _WEEK
    last_workday = length - {_SUNDAY: 2, _SATURDAY: 1}.get(ends, 0)
    return (day in days or (LAST in days and day == length) or (LAST_WORKDAY in days and day == last_workday)) and (
        weekday in weekdays
        or ((weekday, LAST) in weekdays and day + _WEEK > length)
        or (weekday, (day + 6) // _WEEK) in weekdays
    )
