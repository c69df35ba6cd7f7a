"""What a killed worker and a stopped Postgres cost: nothing is lost, and the ledger has every run once."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from jobsd import Client, JobRequest
from jobsd.embedded import Embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis.asyncio import Redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_LEASE_S = 3
_BACKLOG = 50_000
_RECORDED = {"JOBSD_RECORDS__MIGRATE": "auto", "JOBSD_LOG__LEVEL": "INFO"}


async def until(happened: Callable[[], Any], seconds: float = 120) -> None:
    """Wait until an awaited look says yes."""
    async with asyncio.timeout(seconds):
        while not await happened():
            await asyncio.sleep(0.02)


def _calls(task: str, count: int, *args: Any) -> Iterator[JobRequest[Any]]:
    return (JobRequest(task, args or (n,), {}, "default") for n in range(count))


async def test_a_hundred_running_jobs_survive_the_kill_of_their_worker_ahead_of_the_backlog(
    daemon: Any, redis_url: str, redis: Redis, database_url: str
) -> None:
    env = _RECORDED | {"JOBSD_WORKER__LEASE": f"{_LEASE_S}s", "JOBSD_DATABASE_URL": database_url}
    first = daemon(**env)
    async with Client(redis_url) as client:
        running = await client.enqueue_many(_calls("wait_for_go", 100, "go"))
        await until(lambda: _said(redis, 100))
        second = daemon(**env)
        await until(lambda: _workers(redis, 2))
        await client.enqueue_many(_calls("short", _BACKLOG))
        killed_at = time.monotonic()
        first.kill()
        await until(lambda: _said(redis, 200))
        took = time.monotonic() - killed_at
        assert await redis.zcard("jobsd:{main}:default") > 0, "the backlog was worked off first"
        await redis.set("go", 1)
        for reference in running:
            assert await reference.result(60) == "done"
        await until(lambda: _drained(redis))
        await until(lambda: _nothing_waits(redis))
        assert second.terminate() == 0
    assert took < _LEASE_S + 2
    ledger = await asyncpg.connect(database_url)
    runs = await ledger.fetch(
        "SELECT attempt, outcome, count(*) FROM jobsd.executions WHERE task = 'wait_for_go' GROUP BY 1, 2 ORDER BY 1"
    )
    backlog = await ledger.fetch(
        "SELECT attempt, outcome, count(*) FROM jobsd.executions WHERE task = 'short' GROUP BY 1, 2"
    )
    await ledger.close()
    assert [tuple(row) for row in runs] == [(1, "lost", 100), (2, "succeeded", 100)]
    assert [tuple(row) for row in backlog] == [(1, "succeeded", _BACKLOG)]


@pytest.fixture
def state() -> Iterator[Path]:
    # As root the servers run as another user, who must be able to reach it.
    made = Path(tempfile.mkdtemp(prefix="jobsd-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


async def test_every_run_is_recorded_once_when_postgres_stops_under_five_thousand_jobs(
    daemon: Any, redis_url: str, redis: Redis, state: Path
) -> None:
    postgres = Embedded(state, valkey=False, fsync=False)
    database_url = (await postgres.start()).database_url
    assert database_url is not None
    try:
        one = daemon(JOBSD_DATABASE_URL=database_url, **_RECORDED)
        async with Client(redis_url) as client:
            await client.enqueue_many(_calls("short", 5000))
            await until(lambda: _some_recorded(database_url))
            await postgres.stop()
            one.wait_for("postgres.unreachable")
            await until(lambda: _drained(redis))
            assert await redis.xlen("jobsd:{main}::records") > 0
        await postgres.start()
        one.wait_for("postgres.connected")
        await until(lambda: _nothing_waits(redis))
        assert one.terminate() == 0
        ledger = await asyncpg.connect(database_url)
        row = await ledger.fetchrow(
            "SELECT count(*), count(DISTINCT job_id) AS jobs, max(attempt) FROM jobsd.executions"
        )
        await ledger.close()
        assert row is not None
        assert tuple(row) == (5000, 5000, 1)
    finally:
        await postgres.stop()


async def _some_recorded(database_url: str) -> bool:
    ledger = await asyncpg.connect(database_url)
    try:
        return await ledger.fetchval("SELECT to_regclass('jobsd.executions') IS NOT NULL") and bool(
            await ledger.fetchval("SELECT EXISTS (SELECT FROM jobsd.executions)")
        )
    finally:
        await ledger.close()


async def _said(redis: Redis, count: int) -> bool:
    return await redis.llen("said") >= count


async def _workers(redis: Redis, count: int) -> bool:
    return await redis.zcard("jobsd:{main}::workers") == count


async def _drained(redis: Redis) -> bool:
    return await redis.zcard("jobsd:{main}:default") == 0


async def _nothing_waits(redis: Redis) -> bool:
    return await redis.xlen("jobsd:{main}::records") == 0
