"""One tenant's backlog is nobody else's: limit keys take turns, and what waits for its limit costs the server nothing.

The promise of 100,000 jobs in front is seen with ACCEPTANCE_TENANT_JOBS=100000.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobRequest
from jobsd.job import JobOptions
from tests.acceptance.witness import BASE, until, workers_are

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_JOBS = int(os.environ.get("ACCEPTANCE_TENANT_JOBS", "20000"))
_TURNS_S = 2


def _calls(task: str, tenant: str, count: int) -> Iterator[JobRequest[Any]]:
    return (JobRequest(task, (n,), {}, "default", JobOptions(limit_key=tenant)) for n in range(count))


async def test_a_tenants_ten_jobs_do_not_wait_for_the_backlog_of_another(
    daemon: Any, redis_url: str, redis: Redis
) -> None:
    one = daemon(JOBSD_QUEUES__DEFAULT__PER_KEY__CONCURRENCY="2", JOBSD_LOG__LEVEL="INFO")
    await until(lambda: workers_are(redis, 1))
    async with Client(redis_url) as client:
        await client.enqueue_many(_calls("short", "a", _JOBS))
        began = time.monotonic()
        others = await client.enqueue_many(_calls("short", "b", 10))
        await asyncio.gather(*(other.result(60) for other in others))
        took = time.monotonic() - began
        assert await redis.zcard(BASE) > _JOBS / 2, "the first tenant's backlog was worked off before"
    assert took < _TURNS_S
    assert one.terminate() == 0


async def test_jobs_that_wait_for_their_limit_cost_the_server_nothing(
    daemon: Any, redis_url: str, redis: Redis
) -> None:
    """Commands, not time: what 100 jobs of 10 ms need while all others wait, is a few each."""
    one = daemon(JOBSD_QUEUES__DEFAULT__PER_KEY__CONCURRENCY="1", JOBSD_LOG__LEVEL="INFO")
    await until(lambda: workers_are(redis, 1))
    async with Client(redis_url) as client:
        await client.enqueue_many(_calls("short", "a", _JOBS))
        begun = await _processed(redis) + 1
        await until(lambda: _has_processed(redis, begun))
        scripts, cpu_s, at = await _scripts(redis), await _cpu_s(redis), time.monotonic()
        await until(lambda: _has_processed(redis, begun + 100))
        used = await _scripts(redis) - scripts
        share = (await _cpu_s(redis) - cpu_s) / (time.monotonic() - at)
    print(f"{used / 100:.1f} scripts a job, {share:.1%} of the server's CPU")  # noqa: T201 - for whoever looks
    assert used < 100 * 8
    assert one.terminate() == 0


async def _processed(redis: Redis) -> int:
    return int(await redis.hget(f"{BASE}:stats", "processed") or 0)


async def _has_processed(redis: Redis, wanted: int) -> bool:
    return await _processed(redis) >= wanted


async def _scripts(redis: Redis) -> int:
    stats = await redis.info("commandstats")
    return stats["cmdstat_evalsha"]["calls"]


async def _cpu_s(redis: Redis) -> float:
    cpu = await redis.info("cpu")
    return cpu["used_cpu_user"] + cpu["used_cpu_sys"]
