"""A worker that is killed takes no limit and no lock with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobRequest
from jobsd.job import JobOptions
from tests.acceptance.witness import BASE, until, workers_are

if TYPE_CHECKING:
    from redis.asyncio import Redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_LEASE_S = 3
_TRACES = ("held", "turns", "closed", "lane:k=a", "lane:r=stripe")


async def test_limits_and_locks_of_a_killed_worker_are_free_again_within_its_lease_and_two_seconds(
    daemon: Any, redis_url: str, redis: Redis
) -> None:
    env = {
        "JOBSD_WORKER__LEASE": f"{_LEASE_S}s",
        "JOBSD_QUEUES__DEFAULT__GLOBAL_CONCURRENCY": "2",
        "JOBSD_QUEUES__DEFAULT__PER_KEY__CONCURRENCY": "1",
        "JOBSD_RESOURCES__STRIPE": "1",
        "JOBSD_WORKER__MAX_LOSSES": "1",  # so that the lost jobs do not hold what the others wait for
    }
    first = daemon(**env)
    async with Client(redis_url) as client:
        await until(lambda: workers_are(redis, 1))
        unique = JobOptions(limit_key="a", resources="stripe", unique_for="1h", unique_key="the-one")
        running = await client.enqueue(_job("wait_for_go", unique))
        beside = await client.enqueue(_job("wait_for_go", JobOptions(limit_key="b")))
        await until(lambda: _said(redis, 2))
        again = await client.enqueue(_job("add", unique, 1, 2))
        assert again.duplicate
        assert again.id == running.id
        waiting = [
            await client.enqueue(_job("add", options, 1, 2))
            for options in (JobOptions(limit_key="a"), JobOptions(resources="stripe"), JobOptions())
        ]
        second = daemon(**env)
        await until(lambda: workers_are(redis, 2))
        killed_at = time.monotonic()
        first.kill()
        for reference in waiting:
            assert await reference.result(60) == 3
        took = time.monotonic() - killed_at
        assert not (await client.enqueue(_job("add", unique, 1, 2))).duplicate
        for lost in (running, beside):
            with pytest.raises(Exception, match="lost"):
                await lost.result(60)
    await until(lambda: _is_empty(redis))
    assert took < _LEASE_S + 2
    traces = [f"{BASE}:{trace}" for trace in _TRACES]
    assert not await redis.exists(*traces, "jobsd:{main}::held")
    assert not [key async for key in redis.scan_iter("jobsd:{main}::unique:*")]
    assert second.terminate() == 0


def _job(task: str, options: JobOptions, *args: Any) -> JobRequest[Any]:
    return JobRequest(task, args, {}, "default", options)


async def _said(redis: Redis, wanted: int) -> bool:
    return await redis.llen("said") == wanted


async def _is_empty(redis: Redis) -> bool:
    return await redis.zcard(BASE) == 0
