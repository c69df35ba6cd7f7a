"""Days and months in words. Names do not follow the machine's locale."""

from __future__ import annotations

from jobsd.expressions.spans import Span, joined, number, ordinal, spans, spelled

MONTH_NAMES = (
    "", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def days_in_words(day: str, month: str, weekday: str, *, both: bool) -> str:
    """Return `` on the 15th of the month``, ``, Monday to Friday``, or nothing for every day.

    ``both``: a day must fit both fields of days.
    """
    months = "" if month == "*" else spelled(spans(month, 1, 12), MONTH_NAMES.__getitem__)
    within = months and f" {_preposition(month, 'in')}{months}"
    of_months = f" of {months or 'the month'}"
    if weekday == "*":
        if day == "*":
            return within
        if day.isdigit() and months in MONTH_NAMES[1:]:
            return f" on {int(day)} {months}"
        return f" {_preposition(day, 'on')}{_days(day)}{of_months}"
    weekdays = _weekdays(weekday) + (of_months if "#" in weekday or "L" in weekday else within)
    preposition = _preposition(weekday, "on")
    if day == "*":
        return f", {weekdays}" if preposition == "from " else f" on {weekdays}"
    days = f" {_preposition(day, 'on')}{_days(day)}{of_months}"
    return f"{days} if that is {_weekdays(weekday)}" if both else f"{days} or {preposition}{weekdays}"


def _preposition(part: str, usual: str) -> str:
    """Return what goes in front of days or months: one run of them is told as "from … to …"."""
    first, dash, last = part.partition("-")
    run = dash and not set(part) & set(",/#L") and Span(number(first), number(last)).run
    return "from " if run else f"{usual} "


def _days(part: str) -> str:
    items = part.split(",")
    named = {"L": "the last day", "LW": "the last weekday (Monday to Friday)"}
    plain = ",".join(item for item in items if item not in named)
    words = [spelled(spans(plain, 1, 31), lambda day: f"the {ordinal(day)}", "day")] if plain else []
    return joined(words + [name for item, name in named.items() if item in items])


def _weekdays(part: str) -> str:
    words: list[str] = []
    plain: list[str] = []
    for item in part.split(","):
        day, counted, nth = item.partition("#")
        if item.endswith("L"):
            words.append(f"the last {_DAY_NAMES[number(item[:-1])]}")
        elif counted:
            words.append(f"the {ordinal(int(nth))} {_DAY_NAMES[number(day)]}")
        else:
            plain.append(item)
    if plain:
        words.insert(0, spelled(spans(",".join(plain), 0, 7), _DAY_NAMES.__getitem__, "day"))
    return joined(words)
