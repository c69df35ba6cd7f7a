"""One of several jobsd workers: runs until it is told to end, then says which jobs it has begun."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import uvloop

from benchmarks.processes import answer, options
from jobsd.definition import registry, task
from jobsd.engine.options import QueueOptions, WorkerOptions
from jobsd.engine.worker import Worker

if TYPE_CHECKING:
    from jobsd.context import Context

begun: list[int] = []


@task("bench:tally")
async def tally(ctx: Context, number: int, text: str) -> int:
    del ctx, text
    begun.append(number)
    return number


async def main(redis_url: str, concurrency: int, within_s: float) -> None:
    worker = Worker(redis_url, registry, {"default": QueueOptions()}, WorkerOptions(concurrency=concurrency))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    async with asyncio.timeout(within_s):
        await worker.run()
    answer(numbers=begun)


if __name__ == "__main__":
    uvloop.run(main(**options()))
