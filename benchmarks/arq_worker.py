"""An arq worker, tuned: polls 50 times as often as by default, and runs as many jobs at once as jobsd."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import uvloop
from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks.meter import Meter, reached
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


async def main(redis_socket: str, jobs: int, concurrency: int, within_s: float) -> None:
    worker = Worker(
        [noop, arrive],
        redis_settings=RedisSettings(unix_socket_path=redis_socket),
        poll_delay=POLL_DELAY_S,
        max_jobs=concurrency,
        handle_signals=False,
    )
    running = asyncio.create_task(worker.async_run())

    def written() -> int:
        # A job counts as complete when its function has returned; its result is written before its slot is free.
        return worker.jobs_complete - worker.job_counter

    figures: dict[str, float] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await reached(written, jobs)
            figures |= {"seconds": meter.seconds(), "cpu_s": meter.cpu_s()}
    ended = written()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await worker.close()
    answer(ended=ended, waits_ms=meter.waits_ms, **figures)


if __name__ == "__main__":
    uvloop.run(main(**options()))
