"""What can be seen from outside of jobs that ran in daemons: their own words, the counters, the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from tests.waiting import until as patient_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis.asyncio import Redis

BASE = "jobsd:{main}:default"
RECORDED = {"JOBSD_RECORDS__MIGRATE": "auto", "JOBSD_LOG__LEVEL": "INFO"}


PATIENCE_S = 60


async def until(happened: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
    """Wait as other tests do, with more patience: whole daemons start and stop."""
    await patient_until(happened, patience_s)


class Told(NamedTuple):
    """One line of what the tasks told to their file."""

    job_id: str
    attempt: int
    what: str
    at: float


def told(place: Path, what: str | None = None) -> list[Told]:
    """Return what was told so far by the daemons that work in ``place``, or only one kind of it."""
    if not (place / "told").exists():
        return []
    lines = [line for line in (place / "told").read_text().splitlines(keepends=True) if line.endswith("\n")]
    words = [line.split() for line in lines]
    every = [Told(job_id, int(attempt), said, float(at)) for job_id, attempt, said, at in words]
    return [one for one in every if what in {None, one.what}]


async def workers_are(redis: Redis, count: int) -> bool:
    return await redis.zcard("jobsd:{main}::workers") == count


async def counted(redis: Redis) -> dict[str, int]:
    """Return the queue's counters, those that were ever counted."""
    return {name.decode(): int(count) for name, count in (await redis.hgetall(f"{BASE}:stats")).items()}


async def settled(redis: Redis) -> bool:
    """Tell whether nothing waits or runs, and every record has reached the ledger."""
    waiting = await redis.zcard(BASE) + await redis.zcard(f"{BASE}:active")
    return waiting + await redis.xlen("jobsd:{main}::records") == 0


async def runs(database_url: str) -> list[tuple[str, int, str]]:
    """Return every row of the ledger as job, attempt, outcome; none before there is a ledger."""
    ledger = await asyncpg.connect(database_url)
    try:
        if not await ledger.fetchval("SELECT to_regclass('jobsd.executions') IS NOT NULL"):
            return []
        rows = await ledger.fetch("SELECT job_id, attempt, outcome FROM jobsd.executions ORDER BY 1, 2, started_at")
        return [tuple(row) for row in rows]
    finally:
        await ledger.close()
