"""Texts of the usual expressions, for who would rather not write them: ``daily_at(10, 30)`` is ``"30 10 * * *"``.

They are in the zone of the schedule. Wrong numbers and names raise ExpressionError.
"""

from __future__ import annotations

from difflib import get_close_matches

from jobsd.expressions.error import ExpressionError

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def every_minute() -> str:
    return "* * * * *"


def every_five_minutes() -> str:
    return "*/5 * * * *"


def every_ten_minutes() -> str:
    return "*/10 * * * *"


def every_fifteen_minutes() -> str:
    return "*/15 * * * *"


def every_thirty_minutes() -> str:
    return "*/30 * * * *"


def hourly() -> str:
    return "@hourly"


def daily() -> str:
    return "@daily"


def weekly() -> str:
    """Sunday at 00:00."""
    return "@weekly"


def monthly() -> str:
    """The 1st at 00:00."""
    return "@monthly"


def yearly() -> str:
    """1 January at 00:00."""
    return "@yearly"


def daily_at(hour: int, minute: int = 0) -> str:
    """Every day at this time.

    >>> daily_at(10, 30)
    '30 10 * * *'
    """
    call = f"daily_at({hour!r}, {minute!r})"
    return f"{_within(call, 'minute', minute, 0, 59)} {_within(call, 'hour', hour, 0, 23)} * * *"


def weekly_on(day: str, hour: int = 0, minute: int = 0) -> str:
    """Each ``day`` of the week, by its English name or the first three letters of it.

    Numbers are not taken: 0 is Monday to Python and Sunday to cron.

    >>> weekly_on("monday", 9, 0)
    '0 9 * * MON'
    """
    call = f"weekly_on({day!r}, {hour!r}, {minute!r})"
    name = day.lower() if isinstance(day, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
    if name not in _WEEKDAYS and name not in {known[:3] for known in _WEEKDAYS}:
        near = get_close_matches(name, _WEEKDAYS, n=1)
        hint = f'did you mean "{near[0]}"?' if near else 'days are "monday" to "sunday"'
        raise ExpressionError(call, f"{day!r} is not the name of a day of the week; {hint}")
    clock = f"{_within(call, 'minute', minute, 0, 59)} {_within(call, 'hour', hour, 0, 23)}"
    return f"{clock} * * {name[:3].upper()}"


def monthly_on(day: int, hour: int = 0, minute: int = 0) -> str:
    """Each month on this day; from 29 on not in every month, which is what ``"0 23 L * *"`` is for.

    >>> monthly_on(15, 12, 0)
    '0 12 15 * *'
    """
    call = f"monthly_on({day!r}, {hour!r}, {minute!r})"
    clock = f"{_within(call, 'minute', minute, 0, 59)} {_within(call, 'hour', hour, 0, 23)}"
    return f"{clock} {_within(call, 'day', day, 1, 31)} * *"


def _within(call: str, what: str, value: int, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ExpressionError(call, f"{what} is {value!r}; allowed are {low} to {high}")
    return value
