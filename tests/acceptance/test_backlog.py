"""Postgres is away under load: a daemon slows down when its records are too many, and all are recorded after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from jobsd import Client, JobRequest
from jobsd.store.keys import records_key
from tests.acceptance.witness import RECORDED, counted, runs, settled, until

if TYPE_CHECKING:
    from redis.asyncio import Redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_JOBS = 3000
_LIMIT = 64_000


async def test_jobs_go_on_to_the_limit_then_stop_and_every_one_is_recorded_when_postgres_is_back(
    daemon: Any, redis_url: str, redis: Redis, database_url: str
) -> None:
    name = f"{urlsplit(database_url).path[1:]}_later"  # a database that is not there: a server out of reach
    url = urlsplit(database_url)._replace(path=f"/{name}").geturl()
    env = {"JOBSD_DATABASE_URL": url, "JOBSD_RECORDS__BACKLOG": f"{_LIMIT}B", "JOBSD_WORKER__CONCURRENCY": "10"}
    one = daemon(**RECORDED | env)
    async with Client(redis_url) as client:
        await client.enqueue_many(JobRequest("short", (n,), {}, "default") for n in range(_JOBS))
    slowed = one.wait_for("claims.slowed")
    assert slowed["limit"] == "64 kB"
    assert await redis.memory_usage(records_key(), samples=0) > _LIMIT, "it was to slow nothing before"
    one.wait_for("claims.stopped")
    ended = (await counted(redis))["processed"]
    assert ended < _JOBS

    admin = await asyncpg.connect(database_url)
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        one.wait_for("claims.resumed")
        await until(lambda: settled(redis))
        assert await counted(redis) == {"processed": _JOBS}
        found = await runs(url)
        assert len(found) == len({job for job, _, _ in found}) == _JOBS
        assert one.terminate() == 0
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
