"""A queue that is paused hands out no jobs, but takes a dead worker's back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobRequest, JobState
from tests.acceptance.witness import BASE, RECORDED, counted, runs, settled, until, workers_are

if TYPE_CHECKING:
    from redis.asyncio import Redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_LEASE_S = 4  # time enough for a command to pause the queue before the job is taken back


async def test_a_killed_workers_job_returns_to_its_paused_queue_and_runs_first_when_it_is_resumed(
    daemon: Any, redis_url: str, redis: Redis, database_url: str
) -> None:
    env = RECORDED | {
        "JOBSD_WORKER__LEASE": f"{_LEASE_S}s",
        "JOBSD_WORKER__CONCURRENCY": "1",  # what runs first is then told first
        "JOBSD_DATABASE_URL": database_url,
    }
    first = daemon(**env)
    async with Client(redis_url) as client:
        job = await client.enqueue("wait_for_go")
        await until(lambda: redis.llen("said"))
        second = daemon(**env)
        await until(lambda: workers_are(redis, 2))
        killed_at = time.monotonic()
        first.kill()
        assert daemon("queues", "pause", "default").wait() == 0
        assert not await runs(database_url), "the queue was to be paused before the loss"
        await client.enqueue_many(JobRequest("wait_for_go", (), {}, "default") for _ in range(20))

        second.wait_for("job.lost", job_id=job.id)
        await until(lambda: _recorded(database_url))
        took = time.monotonic() - killed_at
        assert await runs(database_url) == [(job.id, 1, "lost")]
        assert await job.status() is JobState.PENDING
        assert not await redis.exists(f"{BASE}:active", f"arq:in-progress:{job.id}")
        assert await redis.hexists("jobsd:{main}::state", f"paused:{BASE}")
        assert await redis.llen("said") == 1, "a paused queue hands out no jobs"
        assert took < _LEASE_S + 2

        await redis.set("go", 1)
        assert daemon("queues", "resume", "default").wait() == 0
        assert await job.result(60) == "done"
    await until(lambda: settled(redis))
    said = [line.decode() for line in await redis.lrange("said", 0, 2)]
    assert said == [f"{job.id} 1 started", f"{job.id} 2 started", f"{job.id} 2 ended"]
    assert await counted(redis) == {"lost": 1, "processed": 21}
    assert len(await runs(database_url)) == 22
    assert second.terminate() == 0


async def _recorded(database_url: str) -> bool:
    return bool(await runs(database_url))
