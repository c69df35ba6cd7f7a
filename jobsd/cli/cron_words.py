"""Due times for people: in a schedule's zone, and how far away."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from jobsd.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_LONG_S = 7 * 86_400
_SECOND = timedelta(seconds=1)


def at_in_zone(at: datetime, zone: str, *, seconds: bool = False) -> str:
    """Return what clocks in the zone show, with their offset; without ``seconds`` they are shown where there are any.

    >>> from datetime import UTC, datetime
    >>> at_in_zone(datetime(2026, 11, 30, 16, tzinfo=UTC), "Asia/Jakarta")
    '2026-11-30 23:00+07:00'
    """
    local = at.astimezone(zone_named(zone))
    return local.replace(microsecond=0).isoformat(sep=" ", timespec="seconds" if seconds or local.second else "minutes")


def with_seconds(times: Iterable[datetime]) -> bool:
    """Whether times that stand below one another are shown with seconds: all are, or none."""
    return any(at.second for at in times)


def short_in_zone(at: datetime, zone: str, *, seconds: bool = False) -> str:
    """Return the same without the year.

    >>> from datetime import UTC, datetime
    >>> short_in_zone(datetime(2026, 11, 30, 16, tzinfo=UTC), "Asia/Jakarta")
    '11-30 23:00+07:00'
    """
    return at_in_zone(at, zone, seconds=seconds).partition("-")[2]


def upcoming(at: datetime, now: datetime) -> str:
    return f"in {distance(at - now)}" if at - now >= _SECOND else "now"


def ago(at: datetime, now: datetime) -> str:
    return f"{distance(now - at)} ago" if now - at >= _SECOND else "just now"


def distance(time: timedelta) -> str:
    """Return a time in its two largest units, or in days alone.

    >>> distance(timedelta(hours=3, minutes=12, seconds=5)), distance(timedelta(days=30, hours=2))
    ('3h 12m', '30d')
    """
    left = round(time.total_seconds())
    if left >= _LONG_S:
        return f"{left // 86_400:,}d"
    first = next(n for n, (_, size) in enumerate(_UNITS) if left >= size or size == 1)
    parts: list[str] = []
    for unit, size in _UNITS[first : first + 2]:
        count, left = divmod(left, size)
        if count or not parts:
            parts.append(f"{count}{unit}")
    return " ".join(parts)


def lateness(time: timedelta) -> str:
    """Return how late a run began: ms below ten seconds.

    >>> lateness(timedelta(milliseconds=1234.5)), lateness(timedelta(seconds=75))
    ('1,234 ms', '1m 15s')
    """
    return f"{time // timedelta(milliseconds=1):,} ms" if time < 10 * _SECOND else distance(time)
