"""What was probably meant by what is refused: each function returns the reason and the suggestion of one refusal."""

from __future__ import annotations

import re
from difflib import get_close_matches

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
SHORTCUTS = ("hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually", "every", "once", "reboot")

_UNITS = {*("second", "sec", "s", "minute", "min", "m", "hour", "hr", "h", "day", "d", "week", "w")}
_ITEM = rf"(?:[*?HR]|LW?|[0-9]+[LW]?|(?:{'|'.join(WEEKDAYS)})(?:[A-Z]*DAY)?L?|L?(?:{'|'.join(WEEKDAYS + MONTHS)}))"
_LOOKS_LIKE_A_FIELD = re.compile(rf"{_ITEM}(?:[-/,#]{_ITEM})*", re.IGNORECASE)
_FIVE = "minute, hour, day of the month, month, day of the week"


def count(words: list[str], *, seconds: bool) -> str:
    """Too many fields, or too few."""
    given = f"{len(words)} field{'' if len(words) == 1 else 's'}"
    near = get_close_matches(words[0].lower(), SHORTCUTS, n=1) if words else []
    rest = " ".join(words[1:])
    if near == ["every"]:
        rest = spoken(rest or "hour")
    if near and rest is not None:
        rest = f"@{near[0]} {rest}".rstrip()
        return f'has {given}; did you mean "{rest}"?'
    if seconds:
        hint = f'; did you mean "0 {" ".join(words)}"?' if len(words) == 5 else ""  # noqa: PLR2004
        return f"has {given}, and with seconds it needs six: second, {_FIVE}{hint}"
    if len(words) == 6:  # noqa: PLR2004
        return (
            "has 6 fields, but seconds are not declared: declare them (seconds=True in code, seconds = true in "
            "config) and write them first, where croniter has them last; or leave the seconds out"
        )
    year = "; there is no field for the year" if len(words) == 7 else ""  # noqa: PLR2004
    return f"has {given}, and it needs five: {_FIVE}{year}"


def zone_in_front(word: str) -> str | None:
    """A zone in the expression, as a crontab has it on a line of its own."""
    found = re.fullmatch("(?:CRON_)?TZ=(.*)", word)
    if found is None:
        return None
    example = f'"{found[1]}"' if found[1] else '"Asia/Jakarta", for example'
    return f"the zone stands beside the expression: zone = {example}"


def behind(text: str, words: list[tuple[str, int]], needed: int) -> str | None:
    """A comment or a command behind the fields; words come with their places."""
    if len(words) <= needed:
        return None
    *fits, last = (_LOOKS_LIKE_A_FIELD.fullmatch(word) for word, _ in words[: needed + 1])
    if last is not None or not all(fits):
        return None
    rest = text[words[needed][1] :].rstrip(" ")
    fields = text[: words[needed][1]].strip(" ")
    return (
        f"{rest!r} is no field: behind the {'five' if needed == 5 else 'six'} nothing follows, no comment and no "  # noqa: PLR2004
        f'command; did you mean "{fields}"?'
    )


def spoken(interval: str) -> str | None:
    """Return the duration that is meant by what people say.

    >>> spoken("5 minutes"), spoken("hour"), spoken("1 hour 30 mins"), spoken("monday")
    ('5m', '1h', '1h30m', None)
    """
    words = [word for word in re.findall(r"[0-9]+|[a-z]+|\S", interval.lower()) if word not in {"and", ","}]
    if words and not words[0].isdigit():
        words = ["1", *words]
    numbers, units = words[::2], words[1::2]
    if not units or len(numbers) != len(units):
        return None
    for number, unit in zip(numbers, units, strict=True):
        if not number.strip("0").isdigit() or not (unit in _UNITS or (unit[-1] == "s" and unit[:-1] in _UNITS - {"m"})):
            return None
    return "".join(f"{number}{unit[0]}" for number, unit in zip(numbers, units, strict=True))


def never(day: str, month: str, weekday: str) -> str:
    """No day of any year fits."""
    months = "" if month == "*" else f" in month {month}"
    if weekday == "*":
        return f'is never due: there is no day {day}{months}; did you mean "L", the last day of the month?'
    return f"is never due: no day{months} fits both the day of the month {day!r} and the day of the week {weekday!r}"


def reversed_range(item: str, first: str, last: str, low: int, high: int, names: tuple[str, ...]) -> str:
    """A range that goes over the field's end."""
    if not first.isdigit():
        lowest, highest = names[0], names[-1]
    else:
        lowest, highest = str(low), str(high - 1 if names == WEEKDAYS else high)
    before = first if first == highest else f"{first}-{highest}"
    after = last if last == lowest else f"{lowest}-{last}"
    return f'{item!r} goes backwards; did you mean "{before},{after}"?'


def step_no_number(item: str, step: str) -> str:
    return (
        f'{item!r} has no number behind its "/"' if not step else f"{item!r} has the step {step!r}, which is no number"
    )


def step_of_nothing(item: str, base: str, step: int, low: int, field: str) -> str:
    """A step of zero, or one that leaves the first value alone."""
    if step == 0:
        return f'{item!r} has a step of 0; did you mean "{base}"?'
    every = {"second": "s", "minute": "m", "hour": "h"}.get(field)
    other = f' or, for the whole schedule, "@every {step}{every}"' if base == "*" and every else ""
    return f'{item!r} steps over everything but {low}; did you mean "{low}"{other}?'


def nth(item: str, given: int) -> str:
    last = item.partition("#")[0] + "L"
    return f'{item!r} counts to {given}; a month has 1 to 5 of a day of the week, and the last is "{last}"'


def no_value(item: str, word: str, field: str, names: tuple[str, ...]) -> str:
    """Something that is neither a number nor a name of the field."""
    if not item:
        return "is empty: a comma too many"
    if (quartz := _quartz(item, field)) is not None:
        return f"{item!r} {quartz}"
    if word[:3] in names:
        return f'{word!r} is too long a name; did you mean "{word[:3]}"?'
    near = get_close_matches(word, names, n=1)
    if near:
        return f'{word!r} is no name; did you mean "{near[0]}"?'
    if word[:3] in WEEKDAYS:
        return f"{item!r} is a day of the week; its place is the last field"
    if word[:3] in MONTHS:
        return f"{item!r} is a month; its place is the field before the last"
    if not word:
        return f"{item!r} lacks a number"
    return f"{word!r} is not a number" + (f" or a name ({names[0]} to {names[-1]})" if names else "")


def _quartz(item: str, field: str) -> str | None:
    days = field in {"day of the month", "day of the week"}
    if item == "?":
        return 'is Quartz; write "*"'
    if field == "day of the month" and re.fullmatch("[0-9]+W", item):
        return f'is Quartz, and no day is moved here; write "{item[:-1]}", or "LW" for the last weekday of the month'
    if field == "day of the month" and re.fullmatch("L-[0-9]+", item):
        return 'is Quartz, and no day is counted from the end here; write "L" or a day such as "28"'
    if days and item == "W":
        return 'is Quartz; write "MON-FRI" in the last field'
    if field == "day of the week" and item == "L":
        return 'lacks its day; write "5L" for the last Friday, or "6" for Saturday'
    if re.fullmatch(r"H(\(.*\))?(/.*)?|R", item):
        return "is Jenkins'; write a number, and give the schedule a jitter"
    if days and re.match("(LW?)/", item):
        return f'has a step, and there is one such day in a month; write "{item.partition("/")[0]}"'
    return None


def out_of_range(item: str, value: int, low: int, high: int, field: str) -> str:
    """A number that the field has not."""
    said = f"{item!r} is" if item.isdigit() else f"{value} in {item!r} is"
    if value < low:
        return f'{said} under {low}; did you mean "{low}"?'
    meant = {("hour", 24): "0", ("minute", 60): "0", ("second", 60): "0", ("day of the month", 32): "L"}
    near = meant.get((field, value))
    return f"{said} over {high}" + (f'; did you mean "{near}"?' if near else f"; {low} to {high} are allowed")
