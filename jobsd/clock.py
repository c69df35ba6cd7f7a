"""The only place that reads time.

Instants that decide about jobs come from the Redis server's clock; what is read here serves
durations, logs and ids. Wall clocks jump, so durations use ``monotonic``.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

monotonic = time.monotonic

ahead_ms = 0
"""How far a test has moved the clock (jobsd.testing); ``monotonic`` goes on as it does."""


def now_ms() -> int:
    """Return the wall clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000 + ahead_ms


def utc_from_ms(ms: int) -> datetime:
    """Return the instant ``ms`` (epoch milliseconds) as an aware datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def ms_from_datetime(at: datetime) -> int:
    """Return ``at`` in epoch milliseconds. A naive datetime is refused: nobody knows its zone."""
    if at.tzinfo is None:
        msg = f"{at!r} has no time zone"
        raise ValueError(msg)
    return int(at.timestamp() * 1000)
