"""Hours of the day in which jobs may start: ``"22:00-06:00 Asia/Jakarta"``, ``"22:00-06:00,12:00-13:00"``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from jobsd.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

ALLOWED = 'hours such as "22:00-06:00", "22:00-06:00,12:00-13:00" or "22:00-06:00 Asia/Jakarta"'
ALWAYS = (0, 2**53)

_WINDOW = re.compile(r"(\d{1,2}):(\d{2})\s?-\s?(\d{1,2}):(\d{2})")
_ZONE = re.compile(r"\s+(?=[^\d\s,-])")  # the space before it: windows go on with a digit, a comma or a dash
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what a clock on the wall shows
_MS = timedelta(milliseconds=1)
_MINUTE = 60_000
_HOUR = 60 * _MINUTE
_DAY = 24 * 60
_BACK, _AHEAD = 72 * _HOUR, 96 * _HOUR  # an interval is at most two days long, and one zone left out a day
_STEP = 12 * _HOUR  # no zone changes its offset twice in this time


@dataclass(frozen=True, slots=True)
class Hours:
    """Windows in minutes of the day, [start, end), in the order in which they were written.

    A window is open while the clock on the zone's walls shows a time in it. On the day on which that clock is put
    forward, a window therefore loses the part that is never shown (02:00-03:00 may not come at all); on the day on
    which it is put back, what is shown twice counts twice. So of two windows that divide the day one is always open.
    """

    windows: tuple[tuple[int, int], ...]
    zone: str

    @classmethod
    def parse(cls, text: object, zone: str = "UTC") -> Hours:
        """Return the hours that ``text`` names, in its own zone or else in ``zone``. Raises ValueError.

        >>> str(Hours.parse("22:00-6:00, 12:00-13:00", zone="Asia/Jakarta"))
        '22:00-06:00,12:00-13:00 Asia/Jakarta'
        """
        if not isinstance(text, str):
            msg = f"{text!r} is not {ALLOWED}"
            raise ValueError(msg)  # noqa: TRY004 - to a user it is a wrong value
        windows, *given = _ZONE.split(text.strip(), maxsplit=1)
        named = given[0] if given else zone
        zone_named(named)
        return cls(tuple(_window(one.strip(), text) for one in windows.split(",")), named)

    def interval(self, now_ms: int) -> tuple[int, int]:
        """Return the interval [from, until), in epoch ms, in which ``now_ms`` lies, or else the next one.

        >>> Hours.parse("00:00-24:00").interval(1_800_000_000_000) == ALWAYS
        True
        """
        if len({minute % _DAY for start, end in self.windows for minute in range(start, end)}) == _DAY:
            return ALWAYS
        found: list[tuple[int, int]] = []
        for start, end in sorted(self._intervals(now_ms)):
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], end))
            else:
                found.append((start, end))
        return next(interval for interval in found if interval[1] > now_ms)

    def _intervals(self, now_ms: int) -> Iterator[tuple[int, int]]:
        """Yield when windows are open around now, in pieces."""
        for begins, ends, offset in _pieces(zone_named(self.zone), now_ms - _BACK, now_ms + _AHEAD):
            first_day = (begins + offset) // (_DAY * _MINUTE) - 1
            last_day = (ends + offset) // (_DAY * _MINUTE)
            for day in range(first_day, last_day + 1):
                for window in self.windows:
                    start, end = ((day * _DAY + minute) * _MINUTE - offset for minute in window)
                    if start < ends and end > begins:
                        yield max(start, begins), min(end, ends)

    def __str__(self) -> str:
        return ",".join(f"{_clock(start)}-{_clock(end)}" for start, end in self.windows) + f" {self.zone}"


def _window(text: str, whole: str) -> tuple[int, int]:
    found = _WINDOW.fullmatch(text)
    if found is None:
        msg = f"{text!r} in {whole!r} is not two times of the day; allowed are {ALLOWED}"
        raise ValueError(msg)
    hour, minute, last_hour, last_minute = map(int, found.groups())
    start, end = hour * 60 + minute, last_hour * 60 + last_minute
    if minute > 59 or last_minute > 59 or start >= _DAY or end > _DAY:  # noqa: PLR2004 - minutes of an hour
        msg = f"{text!r} in {whole!r} is no time of the day: 00:00 to 23:59, and 24:00 where a window ends"
        raise ValueError(msg)
    if start == end:
        msg = f"{text!r} in {whole!r} ends when it begins; the whole day is 00:00-24:00"
        raise ValueError(msg)
    return start, end if end > start else end + _DAY


def _clock(minute: int) -> str:
    minute = minute if minute <= _DAY else minute - _DAY
    return f"{minute // 60:02}:{minute % 60:02}"


def _pieces(zone: tzinfo, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (from, until, offset) in ms: the times between the changes of the zone's offset."""
    begins, offset = start, _offset(zone, start)
    for at in range(start + _STEP, end + _STEP, _STEP):
        if (new := _offset(zone, at)) != offset:
            before, after = at - _STEP, at
            while after - before > 1:
                middle = (before + after) // 2
                before, after = (before, middle) if _offset(zone, middle) == new else (middle, after)
            yield begins, after, offset
            begins, offset = after, new
    yield begins, end, offset


def _offset(zone: tzinfo, at: int) -> int:
    wall = (_EPOCH + at * _MS).replace(tzinfo=UTC).astimezone(zone)
    return (wall.utcoffset() or timedelta()) // _MS
