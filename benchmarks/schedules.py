"""10,000 schedules in one daemon: until all are planned, what a tick takes, all due at once, and memory.

What the loop is held for is CPU of its thread between two of its turns: that others use the machine does not count.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from benchmarks.backlog import check
from benchmarks.processes import IncompleteError, measuring
from benchmarks.schedules_worker import a_schedule
from jobsd.records.schedules import PostgresSchedules
from jobsd.schedule.options import schedule_of
from jobsd.store.keys import base_key

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

_MEASURE = "schedules"
DECLARED, RUN_TIME, REDIS = "declared", "of run time", "declared, Redis alone"
_SCHEDULES = 10_000
_DUE_AFTER_S = 25  # those that are to be planned are so by then, and a few idle ticks are over
_PUT_WITHIN_S = 40
_AT_ONCE = 10
_TABLES = "jobsd.schedules, jobsd.schedule_runs, jobsd.schedule_declarations"


async def measure_declared(ground: Ground, report: Report, seconds: int) -> None:
    await _clear(ground)
    await _measure(ground, report, DECLARED, seconds, declared=_SCHEDULES, due=int(time.time()) + _DUE_AFTER_S)


async def measure_redis(ground: Ground, report: Report, seconds: int) -> None:
    await _clear(ground)
    due = int(time.time()) + _DUE_AFTER_S
    await _measure(ground, report, REDIS, seconds, declared=_SCHEDULES, due=due, recorded=False)


async def measure_run_time(ground: Ground, report: Report, seconds: int) -> None:
    await _clear(ground)
    due = int(time.time()) + _PUT_WITHIN_S + _DUE_AFTER_S
    store = PostgresSchedules(ground.pool)

    async def put(numbers: range) -> None:
        for number in numbers:
            name, written = a_schedule(number, due)
            await store.put(schedule_of(name, written, source="runtime"), version=None)

    await asyncio.gather(*(put(range(first, _SCHEDULES, _AT_ONCE)) for first in range(_AT_ONCE)))
    if time.time() > due - _DUE_AFTER_S:
        raise IncompleteError(f"it took more than {_PUT_WITHIN_S} s to put them in")
    await _measure(ground, report, RUN_TIME, seconds, declared=0, due=due)


async def _clear(ground: Ground) -> None:
    await ground.clear()
    await ground.pool.execute(f"TRUNCATE {_TABLES}")


async def _measure(
    ground: Ground, report: Report, row: str, seconds: int, *, declared: int, due: int, recorded: bool = True
) -> None:
    worker = measuring(
        "schedules_worker",
        due - time.time() + 2 * seconds,
        redis_url=ground.redis_url,
        database_url=ground.database_url if recorded else None,
        declared=declared,
        schedules=_SCHEDULES,
        due=due,
        watch_s=seconds,
    )
    async with worker as process:
        figures = await process.answer()
    if "jobs_s" not in figures:
        raise IncompleteError(f"{figures['planned']:,} were planned, {figures['fired']:,} have become jobs")
    check("jobs that wait", await ground.redis.zcard(base_key("default")), _SCHEDULES)
    for name in ("planned", "fired"):
        del figures[name]
    report.add(_MEASURE, row, **figures)
