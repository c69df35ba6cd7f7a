"""An expression in words: first the times of the day, then the days, then the zone.

cronsim has such words too, but they say "every 15th minute of every hour", "the 22th day", and "and" where one of two
days is enough.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from jobsd.duration import format_duration
from jobsd.expressions.days_in_words import MONTH_NAMES, days_in_words
from jobsd.expressions.instants import Every, Once
from jobsd.expressions.spans import Span, joined, ordinal, spans, spelled
from jobsd.expressions.wall import EPOCH, SECOND, piece_at
from jobsd.zones import zone_named

if TYPE_CHECKING:
    from jobsd.expressions.cron import Cron

_LISTED = 4  # so many times of the day are named one by one


def in_words(rule: Cron | Every | Once, zone: str) -> str:
    """Return ``every 15 minutes, Asia/Jakarta`` and the like. ``@every`` goes by no zone, so none is named."""
    match rule:
        case Every(interval=interval):
            text = format_duration(timedelta(seconds=interval))
            return "every " + "".join(f"{sign} " if sign.isalpha() else sign for sign in text).rstrip()
        case Once(at=at):
            wall = EPOCH + (at + piece_at(zone_named(zone), at).offset) * SECOND
            clock = _clock(wall.hour, wall.minute, wall.second or None)
            return f"once, at {clock} on {wall.day} {MONTH_NAMES[wall.month]} {wall.year}, {zone}"
        case _:
            second, minute, hour, day, month, weekday = rule.fields.parts
            times = _times(spans(second, 0, 59), spans(minute, 0, 59), spans(hour, 0, 23))
            days = days_in_words(day, month, weekday, both=rule.fields.both_days)
            named = day != "*" or weekday != "*" or not times.startswith("at ") or not rule.fields.fixed
            return f"{times}{'' if named else ' every day'}{days}, {zone}"


def _times(seconds: list[Span], minutes: list[Span], hours: list[Span]) -> str:
    if all(span.single for field in (seconds, minutes, hours) for span in field):
        on_the_minute = seconds == [Span(0, 0)]
        clocks = [
            _clock(hour.first, minute.first, None if on_the_minute else second.first)
            for hour in sorted(hours)
            for minute in sorted(minutes)
            for second in sorted(seconds)
        ]
        if len(clocks) <= _LISTED:
            return f"at {joined(clocks)}"
    if seconds == [Span(0, 0)]:
        return _minutes(minutes, hours)
    second = _units("second", seconds)
    if _all(minutes) and _all(hours):
        return second if seconds[0].star and _fills(seconds[0], 60) else f"{second} of every minute"
    minute = "every minute" if _all(minutes) else _units("minute", minutes, of=True)
    return f"{second} of {minute}" + ("" if _all(hours) else f" of {_hours(hours)}")


def _minutes(minutes: list[Span], hours: list[Span]) -> str:
    """Times on the minute."""
    if len(minutes) == len(hours) == 1:
        (minute,), (hour,) = minutes, hours
        if minute == (0, 0, 1, False) and not hour.single:
            ends = "" if hour.star else f" from {_clock(hour.first)} to {_clock(hour.last)}"
            return _units("hour", [hour]) if hour.star else f"{_every('hour', hour.step)}{ends}"
        if not minute.single and hour.single:
            ends = f"from {_clock(hour.first, minute.first)} to {_clock(hour.first, minute.last)}"
            return f"{_every('minute', minute.step)} {ends}"
        if minute.star and _fills(minute, 60) and hour.step == 1 and not hour.star:
            return f"{_every('minute', minute.step)} from {_clock(hour.first)} to {_clock(hour.last, minute.last)}"
    words = _units("minute", minutes)
    if _all(hours) and len(minutes) == 1 and minutes[0].star and _fills(minutes[0], 60):
        return words
    return f"{words} of {'every hour' if _all(hours) else _hours(hours)}"


def _hours(hours: list[Span]) -> str:
    """The hours that something is within."""
    if len(hours) == 1 and hours[0].star:
        return f"every {ordinal(hours[0].step)} hour from midnight"
    return f"hour{'' if len(hours) == 1 and hours[0].single else 's'} {spelled(hours)}"


def _units(unit: str, found: list[Span], *, of: bool = False) -> str:
    """Seconds, minutes or hours: ``every 15 minutes``, ``at minutes 0 and 30``; ``of`` them: ``minutes 0 and 30``."""
    if len(found) == 1 and not found[0].single:
        (span,) = found
        whole, start = (24, "midnight") if unit == "hour" else (60, "the start")
        if of:
            return f"every {ordinal(span.step)} {unit} from {span.first} to {span.last}"
        if span.star:
            return _every(unit, span.step) + ("" if _fills(span, whole) else f" from {start}")
        return f"{_every(unit, span.step)} from {span.first} to {span.last}"
    return f"{'' if of else 'at '}{unit}{'' if len(found) == 1 else 's'} {spelled(found)}"


def _every(unit: str, step: int) -> str:
    return f"every {unit}" if step == 1 else f"every {step} {unit}s"


def _fills(span: Span, whole: int) -> bool:
    """Whether the steps go on evenly over the end."""
    return whole % span.step == 0


def _all(field: list[Span]) -> bool:
    return len(field) == 1 and field[0].star and field[0].step == 1


def _clock(hour: int, minute: int = 0, second: int | None = None) -> str:
    return f"{hour:02}:{minute:02}" + ("" if second is None else f":{second:02}")
