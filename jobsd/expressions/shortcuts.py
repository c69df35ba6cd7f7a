"""What begins with @: names of usual expressions, ``@daily 2:00``, ``@every 1h30m``, ``@once 2026-11-30T09:00``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from jobsd.duration import duration_ms
from jobsd.expressions.error import ExpressionError
from jobsd.expressions.fields import Fields, read_fields
from jobsd.expressions.hints import SHORTCUTS, spoken
from jobsd.expressions.instants import EARLIEST, LATEST, Every, Once
from jobsd.expressions.wall import EPOCH, SECOND, first_shown

if TYPE_CHECKING:
    from datetime import tzinfo

NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.0+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)
_LONGEST_MS = 36_525 * 86_400_000


def read_shortcut(text: str, zone: tzinfo, *, anchor: int) -> Fields | Every | Once:
    """Return what a text that begins with @ says. ``anchor`` is in seconds. Raises ExpressionError."""
    at = text.index("@")
    name, _, rest = text[at:].rstrip(" ").partition(" ")
    given = rest.strip(" ")
    begins = len(text.rstrip(" ")) - len(given)
    position = (begins, begins + len(given))
    match name.lower():
        case "@every":
            return Every(_interval(text, given, position), anchor)
        case "@once":
            return _once(text, given, position, zone)
        case "@reboot":
            problem = (
                "is due at no time: any number of daemons start and stop, and none of that is a due time; "
                "let the program that starts them enqueue the job, or use an on_startup hook"
            )
            raise ExpressionError(text, problem, position=(at, at + len(name)))
        case known if known in NAMES:
            return read_fields(_with_time(text, known, given, position), seconds=False)
        case unknown:
            near = get_close_matches(unknown[1:], SHORTCUTS, n=1)
            hint = f'; did you mean "@{near[0]}"?' if near else "; known are @" + ", @".join(SHORTCUTS[:-1])
            raise ExpressionError(text, f"{name!r} is unknown{hint}", position=(at, at + len(name)))


def _with_time(text: str, name: str, given: str, position: tuple[int, int]) -> str:
    """Return the five fields, with the time of day that may stand behind @daily."""
    fields = NAMES[name]
    if not given:
        return fields
    found = _TIME.fullmatch(given)
    if fields != NAMES["@daily"]:
        hour, minute = (int(found[1]), int(found[2])) if found else (2, 0)
        meant = fields.replace("0 0", f"{minute} {hour}", 1) if name != "@hourly" else f"{minute} * * * *"
        raise ExpressionError(
            text, f'{name} takes no time of day, only @daily does; did you mean "{meant}"?', position=position
        )
    if found is None:
        raise ExpressionError(
            text, f'{given!r} is no time of day from 0:00 to 23:59, as in "{name} 2:00"', position=position
        )
    return f"{int(found[2])} {int(found[1])} * * *"


def _interval(text: str, given: str, position: tuple[int, int]) -> int:
    """Return seconds."""
    if not given:
        raise ExpressionError(text, 'lacks how often; did you mean "@every 1h"?', position=position)
    try:
        interval_ms = duration_ms(given)
    except ValueError:
        near = f"{given}s" if given.isascii() and given.isdigit() else spoken(given)
        meant = f'; did you mean "{near}"?' if near else ', such as "90s", "1h30m", "2d"'
        raise ExpressionError(text, f"{given!r} is no duration{meant}", position=position) from None
    if interval_ms < 1000 or interval_ms % 1000:  # noqa: PLR2004 - one second
        raise ExpressionError(text, f"{given!r} is not a number of whole seconds, at least 1s", position=position)
    if interval_ms > _LONGEST_MS:
        raise ExpressionError(text, f"{given!r} is longer than a hundred years", position=position)
    return interval_ms // 1000


def _once(text: str, given: str, position: tuple[int, int], zone: tzinfo) -> Once:
    try:
        # fromisoformat alone takes more than people can read: week dates, any sign between date and time.
        instant = datetime.fromisoformat(given.upper()) if _INSTANT.fullmatch(given) else None
    except ValueError:
        instant = None
    if instant is None:
        wrong = f"{given!r} is no instant of whole seconds" if given else "lacks its instant"
        problem = f'{wrong}, as in "2026-11-30T09:00:00+07:00" or "2026-11-30 09:00"'
        raise ExpressionError(text, problem, position=position)
    if instant.tzinfo is None:
        at = first_shown(zone, (instant - EPOCH) // SECOND)
    else:
        at = (instant - EPOCH.replace(tzinfo=UTC)) // SECOND
    if not EARLIEST <= at < LATEST:
        raise ExpressionError(text, f"{given!r} lies outside of the years 1970 to 9997", position=position)
    return Once(at)
