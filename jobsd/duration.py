"""Durations as people write them: ``"30s"``, ``"5m"``, ``"1h30m"``."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s?(ms|[smhdw])")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?\s?(?:ms|[smhdw])\s?)+")

ALLOWED = 'a duration such as "500ms", "30s", "5m", "1h30m", "2d"'


def parse_duration(value: object) -> timedelta:
    """Return the duration that ``value`` names.

    A bare number is refused: nobody can see whether it means seconds or milliseconds.
    Raises ValueError with what is allowed.

    >>> parse_duration("1h30m")
    datetime.timedelta(seconds=5400)
    >>> parse_duration("500ms")
    datetime.timedelta(microseconds=500000)
    """
    if isinstance(value, timedelta):
        if value < timedelta(0):
            msg = f"{value!r} is negative"
            raise ValueError(msg)
        return value
    if isinstance(value, str):
        text = value.strip().lower()
        if _WHOLE.fullmatch(text):
            try:
                return timedelta(seconds=sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(text)))
            except OverflowError:
                msg = f"{value!r} is too long"
                raise ValueError(msg) from None
    msg = f"{value!r} is not {ALLOWED}"
    raise ValueError(msg)


def duration_ms(value: object) -> int:
    """Return the duration in whole milliseconds; see parse_duration."""
    return round(parse_duration(value) / timedelta(milliseconds=1))


def format_duration(value: timedelta) -> str:
    """Return the shortest text that parse_duration reads back.

    >>> format_duration(timedelta(minutes=90))
    '1h30m'
    >>> format_duration(timedelta(milliseconds=1500))
    '1s500ms'
    """
    left = round(value / timedelta(milliseconds=1))
    if left == 0:
        return "0s"
    parts: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
