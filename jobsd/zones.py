"""Time zones by their names, such as ``Asia/Jakarta``."""

from __future__ import annotations

from datetime import UTC, tzinfo
from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

_OF_THE_MACHINE = {"localtime", "posixrules", "Factory"}
"""Names that stand for another zone on each machine, or for none."""


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
        near = get_close_matches(name, available_timezones() - _OF_THE_MACHINE, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ', such as "UTC" or "Asia/Jakarta"'
        msg = f"{name!r} is not the name of a time zone{hint}"
        raise ValueError(msg) from None
