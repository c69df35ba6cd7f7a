"""An arq worker, tuned: polls 50 times as often as by default, and runs as many jobs at once as jobsd."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import uvloop
from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks.meter import LOOK_EVERY_S, Meter, reached
from benchmarks.processes import answer, options

POLL_DELAY_S = 0.01

meter = Meter()


async def noop(ctx: dict[str, Any], number: int, text: str) -> int:
    del ctx, text
    meter.begin()
    return number


async def arrive(ctx: dict[str, Any], sent_ns: int) -> None:
    del ctx
    meter.arrived(sent_ns)


async def fall_due(ctx: dict[str, Any]) -> None:
    meter.due(ctx["job_id"])


async def restart(ctx: dict[str, Any]) -> None:
    del ctx
    meter.restart()


async def nap(ctx: dict[str, Any], seconds: float) -> None:
    del ctx
    meter.begin()
    await asyncio.sleep(seconds)


async def main(
    redis_url: str,
    jobs: int,
    concurrency: int,
    within_s: float,
    *,
    keep_results: bool = True,
    look_every_s: float = LOOK_EVERY_S,
) -> None:
    kept = {} if keep_results else {"keep_result": 0}
    worker = Worker(
        [noop, arrive, fall_due, restart, nap],
        redis_settings=RedisSettings.from_dsn(redis_url),
        poll_delay=POLL_DELAY_S,
        max_jobs=concurrency,
        handle_signals=False,
        **kept,
    )
    running = asyncio.create_task(worker.async_run())

    def written() -> int:
        # A job counts as complete when its function has returned; its result is written before its slot is free.
        return worker.jobs_complete - worker.job_counter

    figures: dict[str, float] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await reached(written, jobs, look_every_s)
            figures |= {"seconds": meter.seconds(), "cpu_s": meter.cpu_s()}
    ended = written()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await worker.close()
    answer(ended=ended, waits_ms=meter.waits_ms, began_ms=meter.began_ms, **figures)


if __name__ == "__main__":
    uvloop.run(main(**options()))
