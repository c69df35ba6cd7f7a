"""From just before enqueue() to the task's first line in another process, while nothing else happens."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.backlog import CONCURRENCY
from benchmarks.jobsd_worker import arrive
from benchmarks.processes import IncompleteError, Measuring, measuring
from jobsd.client import Client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.ground import Ground
    from benchmarks.report import Report

_MEASURE = "latency"
_EVERY_S = 0.02
_WARM_UP = 5
_START_WITHIN_S = 15.0


async def measure_jobsd(ground: Ground, report: Report, jobs: int) -> None:
    await ground.clear()
    worker = _worker("jobsd_worker", jobs, redis_url=ground.redis_url, database_url=None)
    async with Client(ground.redis_url) as client, worker as process:

        async def send() -> Any:
            return await client.enqueue(arrive, time.monotonic_ns())

        _add(report, "jobsd", await _waits(process, send, jobs))


async def measure_arq(ground: Ground, report: Report, jobs: int) -> None:
    await ground.clear()
    pool = await create_pool(RedisSettings.from_dsn(ground.redis_url))
    async with pool, _worker("arq_worker", jobs, redis_url=ground.redis_url) as process:

        async def send() -> Any:
            return await pool.enqueue_job("arrive", time.monotonic_ns())

        _add(report, "arq", await _waits(process, send, jobs))


def _worker(module: str, jobs: int, **places: str | None) -> Any:
    within_s = _START_WITHIN_S + 2 * jobs * _EVERY_S
    return measuring(module, within_s, jobs=_WARM_UP + jobs, concurrency=CONCURRENCY, **places)


async def _waits(process: Measuring, send: Callable[[], Awaitable[Any]], jobs: int) -> list[float]:
    for _ in range(_WARM_UP):  # then the worker is up, and the client's connections are made
        sent = await send()
        await process.while_running(sent.result(timeout=_START_WITHIN_S))
    began = time.perf_counter()
    for number in range(jobs):
        await asyncio.sleep(began + number * _EVERY_S - time.perf_counter())
        await send()
    found = await process.answer()
    waits: list[float] = found["waits_ms"][_WARM_UP:]
    if len(waits) != jobs:
        raise IncompleteError(f"{len(waits):,} of {jobs:,} jobs arrived")
    return waits


def distribution(waits: list[float]) -> dict[str, float]:
    return {"p50_ms": statistics.median(waits), "p99_ms": statistics.quantiles(waits, n=100)[98], "max_ms": max(waits)}


def _add(report: Report, row: str, waits: list[float]) -> None:
    report.keep(_MEASURE, row, waits)
    report.add(_MEASURE, row, **distribution(waits))
