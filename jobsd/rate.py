"""Rates as people write them: ``"5/10s"``, ``"100/m"``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from jobsd.duration import duration_ms, format_duration

ALLOWED = 'a rate such as "5/10s", "100/m", "1000/1h": 1 to 100,000 jobs in 10ms to 31d'

_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(ms|[smhdw]|\d.*)")
_MOST = 100_000
_SHORTEST_MS = 10
_LONGEST_MS = 31 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``count`` starts in any ``window_ms``. Raises ValueError for what is out of bounds."""

    count: int
    window_ms: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= _MOST or not _SHORTEST_MS <= self.window_ms <= _LONGEST_MS:
            msg = f"{str(self)!r} is not {ALLOWED}"
            raise ValueError(msg)

    @classmethod
    def parse(cls, text: object) -> Rate:
        """Return the rate that ``text`` names; a unit alone is one of it. Raises ValueError.

        >>> Rate.parse("5/10s")
        Rate(count=5, window_ms=10000)
        >>> str(Rate.parse("100/m"))
        '100/1m'
        """
        found = _RATE.fullmatch(text.lower()) if isinstance(text, str) else None
        try:
            if found is not None:
                count, window = found.groups()
                return cls(int(count), duration_ms(window if window[0].isdigit() else f"1{window}"))
        except ValueError:
            pass
        msg = f"{text!r} is not {ALLOWED}"
        raise ValueError(msg)

    def __str__(self) -> str:
        return f"{self.count}/{format_duration(timedelta(milliseconds=self.window_ms))}"
