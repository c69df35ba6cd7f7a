"""A month to a partition, made before the first row of the month arrives, dropped when the last one is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

import asyncpg

from jobsd.events import Event
from jobsd.logger import log
from jobsd.records.queries import query

if TYPE_CHECKING:
    from jobsd.records.pool import Pool

AHEAD = 2
"""Months after this one that have a partition."""


class Month(NamedTuple):
    """``blocked``: many of its rows lie in the default partition, and go on doing so. ``busy``: try again later."""

    first_day: datetime
    state: Literal["made", "present", "blocked", "busy"]


class Dropped(NamedTuple):
    """``busy``: there is more to drop, but somebody reads; try again later."""

    months: list[datetime]
    busy: bool


async def ensure_partitions(pool: Pool, now: datetime) -> list[Month]:
    """Give this month and the next two their partitions. Safe in any number of processes at once.

    Rows of a month without a partition are kept in the default one, and moved when it gets its own. Making one waits
    for the default partition only, and gives up behind a long reader; inserts do not wait, except where rows move.
    """
    return [await _ensure(pool, day) for day in _first_days(now)]


async def drop_partitions(pool: Pool, before: datetime) -> Dropped:
    """Drop the months that were over at ``before``. Safe in any number of processes at once.

    Dropping needs the ledger for itself, and whoever waits for that makes all others wait behind it: it gives up
    after 250 ms behind a long reader.
    """
    months: list[datetime] = []
    try:
        while month := await _drop_oldest(pool, before):
            months.append(month)
            log.info(Event.PARTITION_DROPPED, month=f"{month:%Y-%m}")
    except asyncpg.LockNotAvailableError:
        return Dropped(months, busy=True)
    return Dropped(months, busy=False)


async def _ensure(pool: Pool, day: datetime) -> Month:
    try:
        async with pool.transaction() as connection:
            await connection.execute(query("give_up_on_locks"))
            await connection.execute(query("lock_schema"))
            return Month(day, await connection.fetchval(query("ensure_partition"), day))
    except asyncpg.LockNotAvailableError:
        return Month(day, "busy")


async def _drop_oldest(pool: Pool, before: datetime) -> datetime | None:
    async with pool.transaction() as connection:
        await connection.execute(query("give_up_on_locks"))
        await connection.execute(query("lock_schema"))
        return await connection.fetchval(query("drop_partition"), before)


def _first_days(now: datetime) -> list[datetime]:
    days = [now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)]
    while len(days) <= AHEAD:
        days.append((days[-1] + timedelta(days=31)).replace(day=1))
    return days
