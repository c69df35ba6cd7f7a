"""A worker as the daemon runs it, with recorder, pusher and ``ctx.db``: no-op jobs, with and without a promise.

It says what the servers did from its own start on: a connection that is opened would count more than a job.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks.accounting import cpu_s
from benchmarks.jobsd_worker import a_recorder, meter
from benchmarks.meter import LOOK_EVERY_S, reached
from benchmarks.processes import answer, options
from jobsd.definition import registry, task
from jobsd.engine.options import QueueOptions, WorkerOptions
from jobsd.engine.worker import Worker
from jobsd.records.pool import TASK_POOL_SIZE, open_pool, open_task_pool
from jobsd.relay.outbox import Pusher
from jobsd.store.connection import connect
from jobsd.store.outbox import PushedJobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobsd.context import Context
    from jobsd.relay.recorder import Recorder

_WRITE = "INSERT INTO bench_writes (number, text) VALUES ($1, $2)"


@task("bench:write")
async def write(ctx: Context, number: int, text: str) -> int:
    """Write a row, and promise nothing: what is to be paid in any case."""
    await ctx.db.execute(_WRITE, number, text)
    return number


@task("bench:transact")
async def transact(ctx: Context, number: int, text: str) -> int:
    async with ctx.transaction() as conn:
        await conn.execute(_WRITE, number, text)
    return number


@task("bench:step")
async def take_step(ctx: Context, number: int, text: str) -> int:
    del text
    return await ctx.step("note", _noted, number)


@task("bench:step_write")
async def write_in_step(ctx: Context, number: int, text: str) -> int:
    return await ctx.step_transaction("write", _written, number, text)


async def _noted(number: int) -> int:
    return number


async def _written(conn: Any, number: int, text: str) -> int:
    await conn.execute(_WRITE, number, text)
    return number


async def main(
    redis_url: str, database_url: str, jobs: int, concurrency: int, within_s: float, servers: list[int]
) -> None:
    figures: dict[str, Any] = {}
    async with _a_warm_pool(database_url) as pool, a_recorder(redis_url, database_url) as recorder:
        assert recorder is not None
        async with asyncio.timeout(within_s):
            await reached(lambda: recorder.ready, wanted=True, look_every_s=LOOK_EVERY_S)
        worker = Worker(
            redis_url,
            registry,
            {"default": QueueOptions()},
            WorkerOptions(concurrency=concurrency),
            records=True,
            shared={"db": pool},
        )
        before = [cpu_s(server) for server in servers]
        running = asyncio.create_task(worker.run())
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await worker.ready.wait()
                meter.begin()
                async with _a_pusher(redis_url, database_url, recorder):
                    await reached(lambda: recorder.recorded, jobs, LOOK_EVERY_S)
                    figures = {"seconds": meter.seconds(), "cpu_s": meter.cpu_s()}
        if figures:
            figures["servers_s"] = [cpu_s(server) - then for server, then in zip(servers, before, strict=True)]
        worker.stop()
        await running
    answer(ended=worker.finisher.accepted, **figures)


@asynccontextmanager
async def _a_warm_pool(database_url: str) -> AsyncIterator[Any]:
    """Lend what tasks have as ``ctx.db``, with all its connections open, as in a daemon that has run for a while."""
    pool = await open_task_pool(database_url)
    async with pool:
        connections = await asyncio.gather(*(pool.acquire() for _ in range(TASK_POOL_SIZE)))
        for connection in connections:
            await pool.release(connection)
        yield pool


@asynccontextmanager
async def _a_pusher(redis_url: str, database_url: str, recorder: Recorder) -> AsyncIterator[None]:
    redis, pool = connect(redis_url), await open_pool(database_url)
    try:
        async with Pusher(pool, PushedJobs(redis), lambda: recorder.ready).running():
            yield
    finally:
        await redis.aclose()
        await pool.close()


if __name__ == "__main__":
    uvloop.run(main(**options()))
