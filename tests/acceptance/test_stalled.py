"""A function that blocks the loop for good: its process ends itself, and the job goes on elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobsd import Client
from tests.acceptance.witness import RECORDED, counted, runs, settled, told, until, workers_are

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

_TIMEOUT_S = 0.5
_MAX_STALL_S = 1


async def test_a_process_whose_function_is_stuck_ends_with_70_and_another_daemon_takes_the_job(
    daemon: Any, redis_url: str, redis: Redis, database_url: str, tmp_path: Path
) -> None:
    env = RECORDED | {
        "JOBSD_TASKS": "stalling_tasks",
        "JOBSD_DATABASE_URL": database_url,
        "JOBSD_WORKER__LEASE": "1s",
        "JOBSD_WORKER__MAX_STALL": f"{_MAX_STALL_S}s",
    }
    stuck, other = daemon(**env), daemon(**env)
    await until(lambda: workers_are(redis, 2))
    async with Client(redis_url) as client:
        job = await client.enqueue("stalls_once")
        await until(lambda: stuck.process.poll() is not None or other.process.poll() is not None)
        if stuck.process.poll() is None:
            stuck, other = other, stuck
        assert stuck.wait() == 70
        assert await job.result(30) == "well"
    line = stuck.wait_for("loop.stalled")
    assert (line["job_id"], line["task"], line["limit_s"]) == (job.id, "stalls_once", _TIMEOUT_S + _MAX_STALL_S)
    assert "time.sleep(3600)" in line["stack"]
    first, second = told(tmp_path, "started")
    assert datetime.fromisoformat(line["time"]).timestamp() - first.at > _TIMEOUT_S + _MAX_STALL_S / 2, "not before"
    assert (first.attempt, second.attempt) == (1, 2)
    other.wait_for("job.lost", job_id=job.id)
    await until(lambda: settled(redis))
    assert await runs(database_url) == [(job.id, 1, "lost"), (job.id, 2, "succeeded")]
    assert await counted(redis) == {"lost": 1, "processed": 1}
    assert other.terminate() == 0
