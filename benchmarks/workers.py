"""Several worker processes on one queue: what they do together, and that no job runs twice."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from benchmarks.backlog import CONCURRENCY, check
from benchmarks.filling import TEXT, fill_jobsd
from benchmarks.processes import IncompleteError, Measuring, measuring
from benchmarks.tally_worker import tally
from jobsd.store.jobs import Jobs
from jobsd.store.keys import base_key, shard_key

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

NUMBERS = (1, 2, 8)
_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.005
_SETTLED_S = 0.5
_MEASURE = "workers"


async def measure(ground: Ground, report: Report, jobs: int) -> None:
    for number in NUMBERS:
        report.add(_MEASURE, f"{number} process{'es' * (number > 1)}", **await _together(ground, number, jobs))


async def _together(ground: Ground, number: int, jobs: int) -> dict[str, float]:
    """All workers stand ready at a queue that is paused and full; the time begins when it opens."""
    await ground.clear()
    queue = Jobs(ground.redis)
    await queue.pause("default", paused=True)
    await fill_jobsd(ground, (tally.job(job, TEXT) for job in range(jobs)))
    async with AsyncExitStack() as stack, asyncio.timeout(_WITHIN_S):
        processes: list[Measuring] = [
            await stack.enter_async_context(
                measuring("tally_worker", _WITHIN_S, redis_url=ground.redis_url, concurrency=CONCURRENCY)
            )
            for _ in range(number)
        ]
        while await ground.redis.zcard(f"{shard_key()}:workers") < number:  # noqa: ASYNC110 - a sign-on has no event
            await asyncio.sleep(_LOOK_EVERY_S)
        await asyncio.sleep(_SETTLED_S)
        began = time.perf_counter()
        await queue.pause("default", paused=False)
        await _all_ended(ground, jobs)
        seconds = time.perf_counter() - began
        for process in processes:
            process.terminate()
        began_by = [(await process.answer())["numbers"] for process in processes]
    check("jobs left", await ground.redis.zcard(base_key("default")), 0)
    begun = [job for jobs_of_one in began_by for job in jobs_of_one]
    if set(begun) != set(range(jobs)):
        raise IncompleteError(f"{len(set(begun)):,} of {jobs:,} jobs were run")
    return {
        "jobs_per_s": jobs / seconds,
        "fewest": min(len(jobs_of_one) for jobs_of_one in began_by),
        "twice": len(begun) - jobs,
    }


async def _all_ended(ground: Ground, jobs: int) -> None:
    """Return when the endings of all jobs are written, as the queue itself counts them."""
    stats = f"{base_key('default')}:stats"
    while int(await ground.redis.hget(stats, "processed") or 0) < jobs:  # noqa: ASYNC110 - a total has no event
        await asyncio.sleep(_LOOK_EVERY_S)
