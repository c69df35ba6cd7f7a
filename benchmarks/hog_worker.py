"""A jobsd worker with a child process for what takes a CPU; ends after so many of the jobs that do nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import uvloop

from benchmarks.hog_tasks import meter
from benchmarks.meter import LOOK_EVERY_S, reached
from benchmarks.processes import answer, options
from jobsd.daemon.child import child_setup
from jobsd.daemon.settings import Settings
from jobsd.definition import registry
from jobsd.engine.options import QueueOptions, WorkerOptions
from jobsd.engine.worker import Worker


async def main(redis_url: str, jobs: int, concurrency: int, within_s: float) -> None:
    child = child_setup(Settings(tasks=["benchmarks.hog_tasks"]), redis_url=redis_url, database_url=None)
    given = WorkerOptions(concurrency=concurrency, children=1)
    worker = Worker(redis_url, registry, {"default": QueueOptions()}, given, child=child)
    running = asyncio.create_task(worker.run())
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await reached(lambda: len(meter.waits_ms), jobs, LOOK_EVERY_S)
            await reached(lambda: not worker.attempts, True, LOOK_EVERY_S)
    worker.stop()
    await running
    answer(waits_ms=meter.waits_ms)


if __name__ == "__main__":
    uvloop.run(main(**options()))
