"""1,000 jobs a second beside one that takes a whole CPU: where it runs decides what the others feel of it.

The control is the same computation in a process that jobsd knows nothing of: on this machine it takes as much from
everybody. From just before enqueue() to the task's first line, as in latency.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.backlog import CONCURRENCY
from benchmarks.hog_tasks import arrive, in_child, in_thread
from benchmarks.latency import distribution
from benchmarks.processes import CHECKOUT, IncompleteError, measuring
from jobsd.client import Client
from jobsd.errors import JobFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.ground import Ground
    from benchmarks.report import Report

_MEASURE = "hog"
_WARM_UP = 20
_EVERY_S = 0.001
_STARTS_WITHIN_S = 20.0
_TIMEOUT_S = 1.0
OUTSIDE = "the hog outside of jobsd"


async def measure_outside(ground: Ground, report: Report, seconds: int) -> None:
    await _measure(ground, report, seconds, OUTSIDE, None)


async def measure_child(ground: Ground, report: Report, seconds: int) -> None:
    await _measure(ground, report, seconds, "in a child process", in_child)


async def measure_thread(ground: Ground, report: Report, seconds: int) -> None:
    await _measure(ground, report, seconds, "in a thread", in_thread)


async def _measure(ground: Ground, report: Report, seconds: int, row: str, hog: Any) -> None:
    await ground.clear()
    jobs = round(seconds / _EVERY_S)
    within_s = 2 * seconds + _STARTS_WITHIN_S
    worker = measuring(
        "hog_worker", within_s, redis_url=ground.redis_url, jobs=_WARM_UP + jobs, concurrency=CONCURRENCY
    )
    async with Client(ground.redis_url) as client, worker as process:
        for _ in range(_WARM_UP):
            await process.while_running((await client.enqueue(arrive, time.monotonic_ns())).result(_STARTS_WITHIN_S))
        late_ms = await _killed_late_ms(client) if hog is in_child else float("nan")
        async with _a_hog(ground, client, hog, seconds):
            began = time.perf_counter()
            for number in range(jobs):
                await asyncio.sleep(began + number * _EVERY_S - time.perf_counter())
                await client.enqueue(arrive, time.monotonic_ns())
        waits = (await process.answer())["waits_ms"][_WARM_UP:]
    if len(waits) != jobs:
        raise IncompleteError(f"{len(waits):,} of {jobs:,} jobs arrived")
    report.add(_MEASURE, row, killed_late_ms=late_ms, **distribution(waits))


@contextlib.asynccontextmanager
async def _a_hog(ground: Ground, client: Client, hog: Any, seconds: int) -> AsyncIterator[None]:
    """Compute meanwhile, from the beginning of the block on."""
    computing = seconds + 1.0
    if hog is None:
        program = f"from benchmarks.hog_tasks import burn; burn({computing})"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=CHECKOUT)
        await asyncio.sleep(0.5)  # it is at work by then
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return
    await ground.redis.delete("hog:began")
    job = await client.enqueue(hog, computing)
    async with asyncio.timeout(_STARTS_WITHIN_S):
        while not await ground.redis.exists("hog:began"):  # noqa: ASYNC110 - its first line has no event here
            await asyncio.sleep(0.01)
    yield
    await job.result(_STARTS_WITHIN_S)


async def _killed_late_ms(client: Client) -> float:
    """Return how long after its timeout a job that never yields has ended."""
    job = await client.enqueue(in_child, 0.0)
    await job.result(_STARTS_WITHIN_S)  # the child is there
    job = await client.enqueue(in_child.opts(timeout=f"{_TIMEOUT_S:g}s"), 60.0)
    began = time.perf_counter()
    with contextlib.suppress(JobFailedError):
        await job.result(_STARTS_WITHIN_S)
    return (time.perf_counter() - began - _TIMEOUT_S) * 1000
