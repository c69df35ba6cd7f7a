"""A worker that was stopped for longer than its leases, and comes back with endings that nobody wants any more."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobRequest
from tests.acceptance.witness import RECORDED, counted, runs, settled, told, until, workers_are

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_JOBS = 10


async def test_the_late_endings_of_a_stopped_worker_are_refused(
    daemon: Any, redis_url: str, redis: Redis, database_url: str, tmp_path: Path
) -> None:
    env = RECORDED | {"JOBSD_WORKER__LEASE": "2s", "JOBSD_DATABASE_URL": database_url}
    stopped = daemon(**env)
    stopped.wait_for("daemon.started")
    async with Client(redis_url) as client:
        jobs = await client.enqueue_many(_calls())
        ids = {job.id for job in jobs}
        await until(lambda: len(told(tmp_path, "started")) == _JOBS)
        other = daemon(**env)
        await until(lambda: workers_are(redis, 2))

        stopped.process.send_signal(signal.SIGSTOP)
        await until(lambda: {one.job_id for one in told(tmp_path, "started") if one.attempt == 2} == ids)
        for job_id in ids:
            other.wait_for("job.lost", job_id=job_id)

        (tmp_path / "first").touch()
        stopped.process.send_signal(signal.SIGCONT)
        for job_id in ids:
            stopped.wait_for("ending.refused", job_id=job_id, attempt=1)
        assert (await counted(redis))["stale"] == _JOBS
        assert len(told(tmp_path, "ended")) == _JOBS, "these are the first runs; the second ones go on"
        assert await redis.zcard("jobsd:{main}:default:active") == _JOBS

        (tmp_path / "second").touch()
        for job in jobs:
            assert await job.result(60) == 2
    await until(lambda: settled(redis))
    assert await counted(redis) == {"lost": _JOBS, "stale": _JOBS, "processed": _JOBS}
    assert await runs(database_url) == sorted(
        run for job_id in ids for run in ((job_id, 1, "lost"), (job_id, 2, "succeeded"))
    )
    assert stopped.terminate() == 0
    assert other.terminate() == 0
    assert stopped.count("ending.refused") == _JOBS
    assert other.count("ending.refused") == 0


def _calls() -> list[JobRequest[Any]]:
    return [JobRequest("stopped_in_its_tracks", (_JOBS,), {}, "default") for _ in range(_JOBS)]
