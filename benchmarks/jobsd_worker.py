"""A jobsd worker as the daemon runs it, with its recorder when there is a database; ends after so many jobs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks.meter import LOOK_EVERY_S, Meter, reached, rss_mib
from benchmarks.processes import answer, options
from jobsd.definition import registry, task
from jobsd.engine.options import QueueOptions, WorkerOptions
from jobsd.engine.worker import Worker
from jobsd.records.pool import open_pool
from jobsd.relay.recorder import Recorder
from jobsd.store.connection import connect
from jobsd.store.record_stream import RecordStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobsd.context import Context

meter = Meter()


@task("bench:noop")
async def noop(ctx: Context, number: int, text: str) -> int:
    del ctx, text
    meter.begin()
    return number


@task("bench:arrive")
async def arrive(ctx: Context, sent_ns: int) -> None:
    del ctx
    meter.arrived(sent_ns)


@task("bench:fall_due")
async def fall_due(ctx: Context) -> None:
    meter.due(ctx.job_id)


@task("bench:restart")
async def restart(ctx: Context) -> None:
    del ctx
    meter.restart()


@task("bench:nap")
async def nap(ctx: Context, seconds: float) -> None:
    del ctx
    meter.begin()
    await asyncio.sleep(seconds)


async def main(
    redis_url: str,
    database_url: str | None,
    jobs: int,
    concurrency: int,
    within_s: float,
    *,
    keep_results: bool = True,
    look_every_s: float = LOOK_EVERY_S,
) -> None:
    kept = {} if keep_results else {"keep_completed_count": 0}
    worker = Worker(
        redis_url,
        registry,
        {"default": QueueOptions()},
        WorkerOptions(concurrency=concurrency, **kept),
        records=database_url is not None,
    )
    running = asyncio.create_task(worker.run())
    figures: dict[str, float] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s), a_recorder(redis_url, database_url) as recorder:
            await reached(lambda: worker.finisher.accepted, jobs // 20, look_every_s)
            figures["rss_early_mib"] = rss_mib()
            await reached(lambda: worker.finisher.accepted, jobs, look_every_s)
            figures["ended_s"] = meter.seconds()
            if recorder is not None:
                await reached(lambda: recorder.recorded, jobs, look_every_s)
            figures |= {"seconds": meter.seconds(), "cpu_s": meter.cpu_s(), "rss_late_mib": rss_mib()}
    worker.stop()
    await running
    answer(ended=worker.finisher.accepted, waits_ms=meter.waits_ms, began_ms=meter.began_ms, **figures)


@asynccontextmanager
async def a_recorder(redis_url: str, database_url: str | None) -> AsyncIterator[Recorder | None]:
    """Run a recorder meanwhile, if there is a database."""
    if database_url is None:
        yield None
        return
    redis, pool = connect(redis_url), await open_pool(database_url)
    recorder = Recorder(RecordStream(redis, "bench"), pool)
    running: asyncio.Task[Any] = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        recorder.stop()
        await running
        await redis.aclose()
        await pool.close()


if __name__ == "__main__":
    uvloop.run(main(**options()))
