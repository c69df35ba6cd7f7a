"""Redis is away under a thousand running jobs: none runs twice, none is counted as lost, each is recorded once.

ACCEPTANCE_OUTAGE_S and ACCEPTANCE_OUTAGE_LEASE_S, 40 and 5 for the full size, set how long it is away.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobRequest
from jobsd.store.connection import connect
from tests.acceptance.own_valkey import Valkey
from tests.acceptance.witness import RECORDED, counted, runs, settled, told, until, workers_are

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from redis.asyncio import Redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_JOBS = 1000
_END_MEANWHILE = 300
_AWAY_S = float(os.environ.get("ACCEPTANCE_OUTAGE_S", "10"))
_LEASE_S = float(os.environ.get("ACCEPTANCE_OUTAGE_LEASE_S", "3"))


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Valkey]:
    made = Valkey(tmp_path)
    await made.start()
    yield made
    made.kill()


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    async with connect(valkey.url) as client:
        yield client


async def paused(valkey: Valkey) -> Callable[[], Awaitable[None]]:
    """Let the server answer nobody for a while; return a wait for the answer that comes late."""
    async with connect(valkey.url) as redis:
        await redis.execute_command("CLIENT", "PAUSE", int(_AWAY_S * 1000), "ALL")

    async def answered() -> None:
        async with connect(valkey.url, call_timeout_s=None) as redis:
            await redis.ping()

    return answered


async def killed(valkey: Valkey) -> Callable[[], Awaitable[None]]:
    """Kill the server; return a wait for its time to come back."""
    valkey.kill()
    back_at = time.monotonic() + _AWAY_S

    async def restarted() -> None:
        await asyncio.sleep(back_at - time.monotonic())
        await valkey.start()

    return restarted


@pytest.mark.parametrize("outage", [paused, killed])
async def test_a_thousand_running_jobs_outlive_an_outage_of_many_leases(
    daemon: Any, valkey: Valkey, redis: Redis, database_url: str, tmp_path: Path, outage: Callable[[Valkey], Any]
) -> None:
    env = RECORDED | {
        "JOBSD_REDIS_URL": valkey.url,
        "JOBSD_DATABASE_URL": database_url,
        "JOBSD_WORKER__LEASE": f"{_LEASE_S:g}s",
        "JOBSD_WORKER__CONCURRENCY": str(_JOBS),  # each of the two has room for all
    }
    daemons = [daemon(**env), daemon(**env)]
    async with Client(valkey.url) as client:
        await until(lambda: workers_are(redis, 2))
        await client.enqueue_many(_calls("meanwhile", _END_MEANWHILE))
        await client.enqueue_many(_calls("afterwards", _JOBS - _END_MEANWHILE))
    await until(lambda: len(told(tmp_path, "started")) == _JOBS)

    last_seen, _ = await redis.time()
    began = time.monotonic()
    back = await outage(valkey)
    (tmp_path / "meanwhile").touch()
    await until(lambda: len(told(tmp_path, "ended")) == _END_MEANWHILE)
    assert time.monotonic() - began < _AWAY_S, "these were to end while nobody answers"
    await back()

    await until(lambda: _written(redis, _END_MEANWHILE))
    await until(lambda: _losses_would_show(redis, last_seen))
    assert len(told(tmp_path, "started")) == _JOBS, "one was started a second time"
    (tmp_path / "afterwards").touch()
    await until(lambda: _written(redis, _JOBS))
    await until(lambda: settled(redis))

    assert await counted(redis) == {"processed": _JOBS}
    assert [one.terminate() for one in daemons] == [0, 0]
    assert Counter(one.what for one in told(tmp_path)) == {"started": _JOBS, "ended": _JOBS}
    ids = {one.job_id for one in told(tmp_path, "started")}
    assert await runs(database_url) == [(job_id, 1, "succeeded") for job_id in sorted(ids)]
    assert len(ids) == _JOBS


def _calls(gate: str, count: int) -> list[JobRequest[Any]]:
    return [JobRequest("endure", (gate,), {}, "default") for _ in range(count)]


async def _written(redis: Redis, count: int) -> bool:
    return (await counted(redis)).get("processed", 0) == count


async def _losses_would_show(redis: Redis, last_seen: int) -> bool:
    """Tell whether the amnesty for the outage is over, and a second more: who was taken for dead would be by now."""
    now, _ = await redis.time()
    amnesty_end = int(await redis.hget("jobsd:{main}::state", "amnesty") or 0) / 1000
    return last_seen + _AWAY_S < amnesty_end < now - 1
