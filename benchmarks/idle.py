"""A worker with nothing to do: what it sends to Valkey all the same, and the CPU that this takes."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from arq import create_pool
from arq.connections import RedisSettings
from redis.asyncio import Redis

from benchmarks.backlog import CONCURRENCY
from benchmarks.filling import TEXT
from benchmarks.jobsd_worker import noop, restart
from benchmarks.processes import IncompleteError, Measuring, measuring
from jobsd.client import Client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.ground import Ground
    from benchmarks.report import Report

_SETTLED_S = 2.0
_LOOK_EVERY_S = 0.5  # looking is not to be what an idle worker does
_WITHIN_S = 60.0
_MEASURE = "idle"
_IN_A_SCRIPT = "lua"  # as MONITOR marks what no client has sent


async def measure_jobsd(ground: Ground, report: Report, seconds: int) -> None:
    await ground.clear()
    urls = {"redis_url": ground.redis_url, "database_url": ground.database_url}
    async with Client(ground.redis_url) as client, _worker("jobsd_worker", **urls) as process:
        first = await client.enqueue(noop, 1, TEXT)
        await process.while_running(first.result(timeout=_WITHIN_S))
        figures = await _idle(ground, process, lambda: client.enqueue(restart), seconds)
    report.add(_MEASURE, "jobsd, recording", **figures)


async def measure_arq(ground: Ground, report: Report, seconds: int) -> None:
    await ground.clear()
    pool = await create_pool(RedisSettings.from_dsn(ground.redis_url))
    async with pool, _worker("arq_worker", redis_url=ground.redis_url) as process:
        first = await pool.enqueue_job("noop", 1, TEXT)
        await process.while_running(first.result(timeout=_WITHIN_S))
        figures = await _idle(ground, process, lambda: pool.enqueue_job("restart"), seconds)
    report.add(_MEASURE, "arq", **figures)


def _worker(module: str, **places: str) -> Any:
    return measuring(module, _WITHIN_S, jobs=3, concurrency=CONCURRENCY, look_every_s=_LOOK_EVERY_S, **places)


async def _idle(
    ground: Ground, process: Measuring, send: Callable[[], Awaitable[Any]], seconds: int
) -> dict[str, float]:
    """The worker measures its CPU from one job to the next, and there is nothing between them."""
    await asyncio.sleep(_SETTLED_S)
    await send()
    sent = await _commands_sent(ground, seconds)
    await send()
    found = await process.answer()
    if "seconds" not in found:
        raise IncompleteError(f"{found['ended']} of 3 jobs had ended after {_WITHIN_S:g} s")
    return {
        "round_trips": sent.total() / seconds,
        "cpu": found["cpu_s"] / found["seconds"],
        **{f"sent_{command}": number / seconds for command, number in sent.items()},
    }


async def _commands_sent(ground: Ground, seconds: int) -> Counter[str]:
    """Return how many commands of each name clients send meanwhile: never fewer than their round trips.

    MONITOR shows them one by one. The server's own counters also count what scripts call.
    """
    sent: Counter[str] = Counter()
    redis = Redis.from_url(ground.redis_url)  # this connection is silent for longer than the engine's may be
    with suppress(TimeoutError):
        async with redis, redis.monitor() as monitor, asyncio.timeout(seconds):
            while True:
                seen = await monitor.next_command()
                if seen["client_type"] != _IN_A_SCRIPT:
                    sent[seen["command"].split()[0].lower()] += 1
    return sent
