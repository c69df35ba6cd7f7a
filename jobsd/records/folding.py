"""Changes that recorders have left, summed up: statistics by the hour, and failures that are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.records.queries import query

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.records.pool import Pool

MOST = 1_000
"""Changes, or hours, that one call takes at the most of each kind."""


async def fold(pool: Pool) -> int:
    """Fold some of the changes; return how many. At MOST there may be more. 0 also where another one does it."""
    async with pool.transaction() as connection:
        if not await connection.fetchval(query("fold_alone")):
            return 0
        statistics = await connection.fetchval(query("fold_statistics"), MOST)
        return max(statistics, await connection.fetchval(query("fold_errors"), MOST))


async def forget(pool: Pool, *, statistics_before: datetime, errors_before: datetime) -> int:
    """Delete hours, and failures last seen, before these instants; return how many. At MOST there may be more."""
    statistics = await pool.fetchval(query("forget_statistics"), statistics_before, MOST)
    return max(statistics, await pool.fetchval(query("forget_errors"), errors_before, MOST))
