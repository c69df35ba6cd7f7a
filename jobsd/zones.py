"""Time zones by their names, such as ``Asia/Jakarta``."""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

_OF_THE_MACHINE = {"localtime", "posixrules", "Factory"}
"""Names that stand for another zone on each machine, or for none."""

_OFFSET = re.compile(r"(?:UTC|GMT)? ?([+-])([0-9]{1,2}):?([0-9]{2})?", re.IGNORECASE)


def zone_named(name: str) -> tzinfo:
    """Return the time zone. Raises ValueError with the name that was probably meant.

    >>> zone_named("UTC")
    datetime.timezone.utc
    """
    if name == "UTC":  # known even where the machine has no time zones installed
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        if offset := _OFFSET.fullmatch(name):
            other = _instead(*offset.groups())
            msg = f'{name!r} is an offset, and no time zone; name a place, such as "Asia/Jakarta"{other}'
            raise ValueError(msg) from None
        near = get_close_matches(name, available_timezones() - _OF_THE_MACHINE, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ', such as "UTC" or "Asia/Jakarta"'
        msg = f"{name!r} is not the name of a time zone{hint}"
        raise ValueError(msg) from None


def _instead(sign: str, hours: str, minutes: str | None) -> str:
    """Return the zone of that offset, where there is one."""
    if int(minutes or 0):
        return ""
    if not int(hours):
        return ', or "UTC"'
    zone = f"Etc/GMT{'-' if sign == '+' else '+'}{int(hours)}"
    return f', or "{zone}", whose sign is the other way round' if zone in available_timezones() else ""
