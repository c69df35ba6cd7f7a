"""Amounts of memory as people write them: "512MB", "1.5GiB"."""

from __future__ import annotations

import re

_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B)", re.IGNORECASE)
_UNITS = {"b": 1} | {
    f"{letter}{kind}": base**power
    for power, letter in enumerate("kmgt", 1)
    for kind, base in (("b", 1000), ("ib", 1024))
}
ALLOWED = 'an amount of memory with its unit, such as "512MB" or "2GiB"'


def parse_size(value: object) -> int:
    """Return the bytes that ``value`` says. Raises ValueError.

    >>> parse_size("512MB"), parse_size("1.5GiB")
    (512000000, 1610612736)
    """
    found = _TEXT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        msg = f"{value!r} is not {ALLOWED}"
        raise ValueError(msg)
    return round(float(found[1]) * _UNITS[found[2].lower()])


def format_size(size: int) -> str:
    """Return ``size`` bytes in the unit that reads best.

    >>> format_size(812_400_000), format_size(999), format_size(16_000)
    ('812 MB', '999 B', '16 kB')
    """
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:  # noqa: PLR2004 - the step between units
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"  # noqa: PLR2004 - two digits
