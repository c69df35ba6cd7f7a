"""Five or six fields, each item of them checked where it stands.

cronsim reads the same grammar, but says only which field is bad, and takes a few things that mean nothing (``L/2``,
``*/90`` minutes). What passes here passes there.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

from jobsd.expressions import hints
from jobsd.expressions.days import LAST, LAST_WORKDAY, Item, some_day
from jobsd.expressions.error import ExpressionError

if TYPE_CHECKING:
    from cronsim import CronSim

_NTH = 5


class Field(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()  # of low, low + 1, …


SECOND = Field("second", 0, 59)
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY = Field("day of the month", 1, 31)
MONTH = Field("month", 1, 12, hints.MONTHS)
WEEKDAY = Field("day of the week", 0, 7, hints.WEEKDAYS)
FIELDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True, slots=True)
class Fields:
    """What cronsim reads: always six fields, in capitals. ``both_days``: a day must fit the fourth and the sixth."""

    parts: tuple[str, str, str, str, str, str]
    both_days: bool

    @property
    def fixed(self) -> bool:
        """Whether they name times of the day, and not an interval."""
        return not any(part.startswith("*") for part in self.parts[:3])

    def sim(self) -> CronSim:
        """Return a walker of the calendar that knows no zone. Equal fields share what was read."""
        walker = copy(_every_second())
        walker.seconds, walker.minutes, walker.hours, walker.days, walker.months, weekdays = (
            cast("set[int]", _read(at, part)) for at, part in enumerate(self.parts)
        )
        walker.weekdays = cast("set[Item]", weekdays)
        walker.day_and = self.both_days
        return walker


@cache
def _every_second() -> CronSim:
    from cronsim import CronSim  # noqa: PLC0415 - whoever only declares schedules may not have it

    return CronSim("* * * * * *", datetime(2000, 1, 1))  # noqa: DTZ001 - it walks walls


@lru_cache(maxsize=4096)
def _read(at: int, part: str) -> set[Item]:
    from cronsim.cronsim import Field as Reader  # noqa: PLC0415

    return Reader(at).parse(part)


@lru_cache(maxsize=1024)
def read_fields(text: str, *, seconds: bool, both_days: bool = False) -> Fields:
    """Return the fields that ``text`` names. Raises ExpressionError."""
    words = [(found[0], found.start()) for found in re.finditer("[^ ]+", text)]
    _count(text, words, seconds=seconds)
    if not seconds:
        words.insert(0, ("0", 0))
    parts: list[str] = []
    values: list[frozenset[Item]] = []
    for field, (word, at) in zip(FIELDS, words, strict=True):
        try:
            part, found = _field(field, word)
        except _RefusedError as refused:
            first, last = refused.position
            raise ExpressionError(text, str(refused), position=(at + first, at + last), field=field.name) from None
        parts.append(part)
        values.append(found)
    both_days = both_days or parts[3].startswith("*") or parts[5].startswith("*")
    if both_days and not some_day(*values[3:]):
        raise ExpressionError(text, hints.never(parts[3], parts[4], parts[5]), position=_span(words[3]))
    second, minute, hour, day, month, weekday = parts
    return Fields((second, minute, hour, day, month, weekday), both_days)


def _count(text: str, words: list[tuple[str, int]], *, seconds: bool) -> None:
    given = [word for word, _ in words]
    needed = len(FIELDS) if seconds else len(FIELDS) - 1
    if (zone := hints.zone_in_front(given[0])) is not None:
        raise ExpressionError(text, zone, position=_span(words[0]))
    if (behind := hints.behind(text, words, needed)) is not None:
        raise ExpressionError(text, behind, position=(words[needed][1], len(text.rstrip(" "))))
    if len(words) != needed:
        raise ExpressionError(text, hints.count(given, seconds=seconds))


def _span(word: tuple[str, int]) -> tuple[int, int]:
    return word[1], word[1] + len(word[0])


class _RefusedError(Exception):
    """The reason, and the place in the field."""

    position: tuple[int, int] = (0, 0)


@lru_cache(maxsize=4096)
def _field(field: Field, word: str) -> tuple[str, frozenset[Item]]:
    """Return a field as cronsim wants it, and its values."""
    parts: list[str] = []
    values: set[Item] = set()
    at = 0
    for item in word.split(","):
        try:
            part, found = _item(field, item.upper())
        except _RefusedError as refused:
            refused.position = (at, at + len(item))
            raise
        parts.append(part)
        values |= found
        at += len(item) + 1
    return ",".join(parts), frozenset(values)


def _item(field: Field, item: str) -> tuple[str, set[Item]]:
    if special := _special(field, item):
        return special
    base, slash, step = item.partition("/")
    first, dash, last = base.partition("-")
    if base == "*":
        low, high = field.low, field.high
    elif dash:
        low, high = _value(field, first, item), _value(field, last, item)
        if high < low:
            raise _RefusedError(hints.reversed_range(item, first, last, field.low, field.high, field.names))
    else:
        low = _value(field, first, item)
        high = field.high if slash else low
    if not slash:
        return item, set(range(low, high + 1))
    if not re.fullmatch("[0-9]+", step):
        raise _RefusedError(hints.step_no_number(item, step))
    if int(step) == 0 or int(step) > high - low:
        raise _RefusedError(hints.step_of_nothing(item, base, int(step), low, field.name))
    return item, set(range(low, high + 1, int(step)))


def _special(field: Field, item: str) -> tuple[str, set[Item]] | None:
    """Return the forms of the two fields of days that are no numbers."""
    if field is DAY and item in {"L", "LW"}:
        return item, {LAST if item == "L" else LAST_WORKDAY}
    if field is WEEKDAY and (found := re.fullmatch("(?:L([0-9]|[A-Z]{3})|([0-9]|[A-Z]{3})L)", item)):
        day = _value(field, found[1] or found[2], item)
        return f"{day}L", {(day % 7, LAST)}
    if field is WEEKDAY and (found := re.fullmatch("([0-9]|[A-Z]{3})#([0-9]+)", item)):
        day, nth = _value(field, found[1], item), int(found[2])
        if not 1 <= nth <= _NTH:
            raise _RefusedError(hints.nth(item, nth))
        return item, {(day % 7, nth)}
    return None


def _value(field: Field, word: str, item: str) -> int:
    if word in field.names:
        return field.names.index(word) + field.low
    if not re.fullmatch("[0-9]+", word):
        raise _RefusedError(hints.no_value(item, word, field.name, field.names))
    value = int(word)
    if not field.low <= value <= field.high:
        raise _RefusedError(hints.out_of_range(item, value, field.low, field.high, field.name))
    return value
