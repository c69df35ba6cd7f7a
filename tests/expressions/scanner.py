"""Due times by brute force: every minute is looked at, and nothing of jobsd or cronsim is used.

The rules, once more and independently. The clock on the wall shows what zoneinfo says of each UTC minute.

* Interval (minute or hour begins with ``*``): due at each minute at which the clock shows what fits. In an overlap it
  shows it twice, so it is due twice; a time that it leaps over is never shown.
* Fixed time (all other expressions): due when the clock first reaches *or passes* what fits. So a time that the clock
  leaps over is due at the first minute behind the leap, together with all others in the leap; and one that the clock
  shows again is not due again.
* A day fits if its day of the month or its day of the week does; where one of the two fields begins with ``*``, or
  ``both`` is asked for, if both do.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
ZONES = sorted(available_timezones() - {"Factory", "localtime"})
FIRST, BEHIND = datetime(2024, 1, 1, tzinfo=UTC), datetime(2033, 1, 1, tzinfo=UTC)


class Scanner:
    """One expression, read anew. ``unit`` is what the scan steps by, in seconds: 60, or 1 with six fields."""

    def __init__(self, text: str, *, both: bool = False) -> None:
        fields = text.lower().split()
        self.unit = 60 if len(fields) == 5 else 1
        self.interval = any(field[0] == "*" for field in fields[:-3])
        second, minute, hour, self.day, month, self.weekday = ["0", *fields][-6:]
        self.seconds, self.minutes, self.hours = numbers(second, 0, 59), numbers(minute, 0, 59), numbers(hour, 0, 23)
        self.months = numbers(month, 1, 12, MONTHS)
        self.both = both or "*" in (self.day[0], self.weekday[0])
        self.day_fits = cache(self._day_fits)

    def fits(self, wall: int) -> bool:
        """Whether this second on the wall fits."""
        days, second = divmod(wall, 86_400)
        return (
            second // 60 % 60 in self.minutes
            and second // 3600 in self.hours
            and second % 60 in self.seconds
            and self.day_fits(days)
        )

    def _day_fits(self, days: int) -> bool:
        day = date(1970, 1, 1) + timedelta(days=days)
        if day.month not in self.months:
            return False
        of_month = any(day_of_month(item, day) for item in self.day.split(","))
        of_week = any(day_of_week(item, day) for item in self.weekday.split(","))
        return of_month and of_week if self.both else of_month or of_week

    def dues(self, shown: list[tuple[int, int]]) -> list[int]:
        """Return the due instants among (instant, wall), steps that follow each other. The first is not told of."""
        if self.interval:
            return [at for at, wall in shown[1:] if self.fits(wall)]
        found: list[int] = []
        latest = shown[0][1]
        for at, wall in shown[1:]:
            if wall > latest:
                if any(self.fits(passed) for passed in range(latest + self.unit, wall + 1, self.unit)):
                    found.append(at)
                latest = wall
        return found


def numbers(field: str, low: int, high: int, names: list[str] | None = None) -> set[int]:
    def number(word: str) -> int:
        return names.index(word) + low if names and word in names else int(word)

    found: set[int] = set()
    for item in field.split(","):
        base, _, step = item.partition("/")
        if base == "*":
            first, last = low, high
        else:
            first = number(base.split("-")[0])
            last = number(base.split("-")[1]) if "-" in base else high if step else first
        found |= {value for value in range(first, last + 1) if (value - first) % int(step or 1) == 0}
    return found


def day_of_month(item: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if item == "l":
        return day.day == last
    if item == "lw":
        rest = [day.replace(day=number) for number in range(day.day + 1, last + 1)]
        return day.isoweekday() <= 5 and all(later.isoweekday() > 5 for later in rest)
    return day.day in numbers(item, 1, 31)


def day_of_week(item: str, day: date) -> bool:
    today = day.isoweekday() % 7
    if "l" in item:
        wanted = DAYS.index(item.strip("l")) if item.strip("l") in DAYS else int(item.strip("l")) % 7
        return today == wanted and (day + timedelta(days=7)).month != day.month
    if "#" in item:
        wanted, _, nth = item.partition("#")
        return day_of_week(wanted, day) and int(nth) == len(range(day.day, 0, -7))
    return today in {number % 7 for number in numbers(item, 0, 7, DAYS)}


@lru_cache(maxsize=2)
def shown(zone: str, first: int, behind: int, unit: int = 60) -> list[tuple[int, int]]:
    """Return (instant, wall) for each step from ``first`` until before ``behind``, in seconds."""
    where, found = ZoneInfo(zone), []
    for at in range(first, behind, unit):
        wall = datetime.fromtimestamp(at, where)
        found.append((at, calendar.timegm(wall.timetuple())))
    return found


def transitions(zone: str) -> list[int]:
    """Return the instants, 2024 to 2032, at which the zone's clock is put forward or back."""
    where = ZoneInfo(zone)
    found: list[int] = []
    six_hours = 6 * 3600
    before = datetime.fromtimestamp(int(FIRST.timestamp()), where).utcoffset()
    for at in range(int(FIRST.timestamp()), int(BEHIND.timestamp()), six_hours):
        offset = datetime.fromtimestamp(at, where).utcoffset()
        if offset != before:
            minutes = range(at - six_hours + 60, at + 1, 60)
            found.append(next(m for m in minutes if datetime.fromtimestamp(m, where).utcoffset() == offset))
            before = offset
    return found
