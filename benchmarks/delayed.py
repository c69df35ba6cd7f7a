"""How late delayed jobs begin, and whether one begins too early."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.constants import default_queue_name

from benchmarks.backlog import CONCURRENCY, check
from benchmarks.jobsd_worker import fall_due
from benchmarks.latency import distribution
from benchmarks.processes import measuring
from jobsd.client import Client
from jobsd.store.keys import base_key

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

_SHORTEST_MS, _LONGEST_MS = 1_000, 5_000
_WITHIN_S = 30.0
_MEASURE = "delayed"


async def measure_jobsd(ground: Ground, report: Report, jobs: int) -> None:
    await ground.clear()
    async with (
        Client(ground.redis_url) as client,
        _worker("jobsd_worker", jobs, redis_url=ground.redis_url, database_url=None) as process,
    ):
        for delay in _delays(jobs):
            await client.enqueue(fall_due.opts(delay=delay))
        due = await _due_times(ground, base_key("default"), jobs)
        _add(report, "jobsd", due, await process.answer())


async def measure_arq(ground: Ground, report: Report, jobs: int) -> None:
    await ground.clear()
    pool = await create_pool(RedisSettings.from_dsn(ground.redis_url))
    async with pool, _worker("arq_worker", jobs, redis_url=ground.redis_url) as process:
        for delay in _delays(jobs):
            await pool.enqueue_job("fall_due", _defer_by=delay)
        due = await _due_times(ground, default_queue_name, jobs)
        _add(report, "arq", due, await process.answer())


def _worker(module: str, jobs: int, **places: str | None) -> Any:
    return measuring(module, _WITHIN_S, jobs=jobs, concurrency=CONCURRENCY, **places)


def _delays(jobs: int) -> list[timedelta]:
    """Return the same delays in every run, for both systems."""
    dice = random.Random(jobs)
    return [timedelta(milliseconds=dice.randint(_SHORTEST_MS, _LONGEST_MS)) for _ in range(jobs)]


async def _due_times(ground: Ground, queue: str, jobs: int) -> dict[str, float]:
    """Return when each job is due, in ms by the server's clock, as its queue says before the first has begun."""
    waiting = await ground.redis.zrange(queue, 0, -1, withscores=True)
    check("jobs that wait for their time", len(waiting), jobs)
    return {job_id.decode(): due for job_id, due in waiting}


def _add(report: Report, row: str, due: dict[str, float], found: dict[str, Any]) -> None:
    # Both processes and the server read the clock of the one machine.
    late = [at_ms - due[job_id] for job_id, at_ms in found["began_ms"].items()]
    check("delayed jobs that began", len(late), len(due))
    report.keep(_MEASURE, row, late)
    report.add(_MEASURE, row, **distribution(late), least_ms=min(late), early=sum(ms < 0 for ms in late))
