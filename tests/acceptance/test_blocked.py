"""Tasks that do not let go of the loop, or of themselves: they run once at a time, and the log says who they are.

ACCEPTANCE_BLOCK_S and ACCEPTANCE_BLOCK_LEASE_S, 60 and 5 for the full size, set how long the one sleeps.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobState
from tests.acceptance.witness import BASE, RECORDED, counted, runs, settled, told, until, workers_are

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_BLOCK_S = float(os.environ.get("ACCEPTANCE_BLOCK_S", "9"))
_BLOCK_LEASE_S = float(os.environ.get("ACCEPTANCE_BLOCK_LEASE_S", "2"))
_REPORTED_WITHIN_S = 2


async def test_a_task_that_blocks_for_many_leases_runs_once_and_is_named_at_once(
    daemon: Any, redis_url: str, redis: Redis, database_url: str, tmp_path: Path
) -> None:
    env = RECORDED | {"JOBSD_WORKER__LEASE": f"{_BLOCK_LEASE_S:g}s", "JOBSD_DATABASE_URL": database_url}
    blocked = daemon(**env)
    blocked.wait_for("daemon.started")
    async with Client(redis_url) as client:
        job = await client.enqueue("sleeps_without_yielding", _BLOCK_S)
        await until(lambda: told(tmp_path, "started"))
        idle = daemon(**env)
        await until(lambda: workers_are(redis, 2))
        line = blocked.wait_for("loop.blocked", task="sleeps_without_yielding", job_id=job.id)
        assert not told(tmp_path, "ended"), "it is said while it lasts"
        assert await job.result(_BLOCK_S + 60) == "slept"
    (started,), (ended,) = told(tmp_path, "started"), told(tmp_path, "ended")
    assert ended.at - started.at >= _BLOCK_S > 2 * _BLOCK_LEASE_S
    assert datetime.fromisoformat(line["time"]).timestamp() - started.at < _REPORTED_WITHIN_S
    assert "time.sleep(seconds)" in line["stack"]
    assert line["running"] == ["sleeps_without_yielding"]
    await until(lambda: settled(redis))
    assert await runs(database_url) == [(job.id, 1, "succeeded")]
    assert await counted(redis) == {"processed": 1}
    assert blocked.terminate() == 0
    assert idle.terminate() == 0
    assert idle.count("job.lost") == blocked.count("lease.lost") == 0
    assert [line["event"] for line in blocked.lines if line.get("job_id") == job.id] == ["loop.blocked"]


async def test_a_retry_waits_for_the_end_of_a_run_that_ignores_its_cancellation(
    daemon: Any, redis_url: str, redis: Redis, database_url: str, tmp_path: Path
) -> None:
    env = RECORDED | {
        "JOBSD_WORKER__LEASE": "2s",
        "JOBSD_WORKER__CANCEL_GRACE": "200ms",
        "JOBSD_DATABASE_URL": database_url,
    }
    daemons = [daemon(**env), daemon(**env)]
    async with Client(redis_url) as client:
        await until(lambda: workers_are(redis, 2))
        job = await client.enqueue("ignores_its_cancellation")
        await until(lambda: told(tmp_path, "cancelled"))
        first_lease_end = await redis.zscore(f"{BASE}:active", job.id)
        await until(lambda: _held_until(redis, job.id, first_lease_end + 2000))
        assert await job.status() is JobState.ACTIVE
        (tmp_path / "gate").touch()
        assert await job.result(60) == "done"
    assert [(one.attempt, one.what) for one in told(tmp_path) if one.what != "cancelled"] == [
        (1, "started"),
        (1, "ended"),
        (2, "started"),
        (2, "ended"),
    ]
    _, first_end, second_start, _ = [one.at for one in told(tmp_path) if one.what != "cancelled"]
    assert first_end <= second_start
    await until(lambda: settled(redis))
    assert await runs(database_url) == [(job.id, 1, "timed_out"), (job.id, 2, "succeeded")]
    assert await counted(redis) == {"processed": 2, "failed": 1}
    assert [one.terminate() for one in daemons] == [0, 0]
    resisted = [line for one in daemons for line in one.lines if line["event"] == "job.resisted"]
    assert [(line["job_id"], line["task"]) for line in resisted] == [(job.id, "ignores_its_cancellation")]


async def _held_until(redis: Redis, job_id: str, ms: float) -> bool:
    """Tell whether the lease was prolonged so far: that it was, leases after the timeout, is the event."""
    end = await redis.zscore(f"{BASE}:active", job_id)
    assert end is not None, "the job was let go while it ran"
    return end >= ms
