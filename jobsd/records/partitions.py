"""A month to a partition, made before the first row of the month arrives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

import asyncpg

from jobsd.records.queries import query

if TYPE_CHECKING:
    from jobsd.records.pool import Pool


class Month(NamedTuple):
    """``blocked``: its rows lie in the default partition, and go on doing so. ``busy``: try again later."""

    first_day: datetime
    state: Literal["made", "present", "blocked", "busy"]


async def ensure_partitions(pool: Pool, now: datetime) -> list[Month]:
    """Give this month and the next their partitions. Safe in any number of processes at once.

    Making one needs the table for itself, and whoever waits for that makes all others wait behind it: it gives
    up behind a long reader. Rows of a month without a partition are kept in the default one.
    """
    this = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (this + timedelta(days=31)).replace(day=1)
    try:
        async with pool.transaction() as connection:
            await connection.execute(query("give_up_on_locks"))
            await connection.execute(query("lock_schema"))
            return [Month(day, await connection.fetchval(query("ensure_partition"), day)) for day in (this, following)]
    except asyncpg.LockNotAvailableError:
        return [Month(this, "busy"), Month(following, "busy")]
