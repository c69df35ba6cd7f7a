"""Jobs that wait before a measurement begins, of both systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from arq.constants import default_queue_name, expires_extra_ms, job_key_prefix
from arq.jobs import serialize_job
from arq.utils import timestamp_ms

from jobsd.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.asyncio import Redis

    from benchmarks.ground import Ground
    from jobsd.job import JobRequest

TEXT = "hello world"
_AT_ONCE = 1_000


async def fill_jobsd(ground: Ground, jobs: Iterable[JobRequest[Any]]) -> None:
    async with Client(ground.redis_url) as client:
        await client.enqueue_many(jobs)


async def fill_arq(redis: Redis, function: str, calls: Iterable[tuple[Any, ...]]) -> None:
    """Write what ``enqueue_job`` writes, a thousand jobs a round trip: arq itself sends one after another."""
    pipe = redis.pipeline(transaction=False)
    for arguments in calls:
        now, job_id = timestamp_ms(), uuid4().hex
        pipe.psetex(job_key_prefix + job_id, expires_extra_ms, serialize_job(function, arguments, {}, None, now))
        pipe.zadd(default_queue_name, {job_id: now})
        if len(pipe) >= 2 * _AT_ONCE:
            await pipe.execute()
    await pipe.execute()
