"""Aggregation: the lists of many calls become the one list of one job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsd.duration import duration_ms

if TYPE_CHECKING:
    from datetime import timedelta

MOST_ITEMS = 100_000
LONGEST_MS = 366 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Aggregate:
    """How long a job takes in the lists of further calls; made by ``aggregate``."""

    grace_ms: int
    max_size: int
    max_delay_ms: int


def aggregate(grace: str | timedelta, *, max_size: int = 1000, max_delay: str | timedelta | None = None) -> Aggregate:
    """Let one job take in the lists of all calls of its task until none has come for ``grace``.

    It runs ``max_delay`` after its first call at the latest (ten times ``grace`` where that is not given), and at once
    when its list has ``max_size`` items; no list is longer. Raises ValueError.

    >>> aggregate("2s", max_size=100)
    Aggregate(grace_ms=2000, max_size=100, max_delay_ms=20000)
    """
    grace_ms = duration_ms(grace)
    max_delay_ms = min(10 * grace_ms, LONGEST_MS) if max_delay is None else duration_ms(max_delay)
    if not 0 < grace_ms <= max_delay_ms <= LONGEST_MS:
        msg = f"grace is {grace!r} and max_delay {max_delay!r}; 0 < grace <= max_delay <= 366 days"
        raise ValueError(msg)
    if not isinstance(max_size, int) or isinstance(max_size, bool) or not 1 <= max_size <= MOST_ITEMS:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"max_size is {max_size!r}; it must be a whole number, 1 to {MOST_ITEMS:,}"
        raise ValueError(msg)
    return Aggregate(grace_ms, max_size, max_delay_ms)
