"""Jobs a second: one worker process, a backlog of jobs that do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.jobsd_worker import noop
from benchmarks.processes import IncompleteError, measuring
from jobsd.client import Client
from jobsd.store.keys import base_key, records_key

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

CONCURRENCY = 100
_WITHIN_S = 60.0
_TEXT = "hello world"
_MEASURE = "backlog"


async def measure_jobsd(ground: Ground, report: Report, jobs: int) -> None:
    """Results kept as by default, nothing recorded."""
    await _fill_jobsd(ground, jobs)
    found = await _run(ground, "jobsd_worker", jobs, redis_url=ground.redis_url, database_url=None)
    await _check_jobsd(ground, jobs)
    report.add(_MEASURE, "jobsd", **_figures(found, jobs))


async def measure_jobsd_recording(ground: Ground, report: Report, jobs: int) -> None:
    """Every execution recorded, by the worker's own process; ends when the last row is in Postgres."""
    await _fill_jobsd(ground, jobs)
    urls = {"redis_url": ground.redis_url, "database_url": ground.database_url}
    found = await _run(ground, "jobsd_worker", jobs, **urls)
    await _check_jobsd(ground, jobs)
    _check("rows in Postgres", await ground.pool.fetchval("SELECT count(*) FROM jobsd.executions"), jobs)
    _check("records left in the stream", await ground.redis.xlen(records_key()), 0)
    report.add(_MEASURE, "jobsd, recording", **_figures(found, jobs), postgres_us=found["postgres_s"] / jobs * 1e6)
    report.add(_MEASURE, "  - jobs had ended", jobs_per_s=jobs / found["ended_s"])


async def measure_arq(ground: Ground, report: Report, jobs: int) -> None:
    await ground.clear()
    pool = await create_pool(RedisSettings(unix_socket_path=ground.redis_socket))
    for number in range(jobs):
        await pool.enqueue_job("noop", number, _TEXT)
    await pool.aclose()
    found = await _run(ground, "arq_worker", jobs, redis_socket=ground.redis_socket)
    _check("jobs left in arq's queue", await ground.redis.zcard("arq:queue"), 0)
    report.add(_MEASURE, "arq", **_figures(found, jobs))


async def _fill_jobsd(ground: Ground, jobs: int) -> None:
    await ground.clear()
    async with Client(ground.redis_url) as client:
        await client.enqueue_many(noop.job(number, _TEXT) for number in range(jobs))


async def _run(ground: Ground, module: str, jobs: int, **options: object) -> dict[str, Any]:
    """Return what the worker says of itself, and the CPU seconds that the servers had from its start to its end."""
    before = ground.cpu()
    async with measuring(module, _WITHIN_S, jobs=jobs, concurrency=CONCURRENCY, **options) as worker:
        found = await worker.answer()
    after = ground.cpu()
    if "seconds" not in found:
        raise IncompleteError(f"{module}: {found['ended']:,} of {jobs:,} jobs had ended after {_WITHIN_S:g} s")
    return {
        **found,
        "valkey_s": after.valkey_s - before.valkey_s,
        "postgres_s": after.postgres_s - before.postgres_s,
    }


def _figures(found: dict[str, Any], jobs: int) -> dict[str, float]:
    return {
        "jobs_per_s": jobs / found["seconds"],
        "worker_us": found["cpu_s"] / jobs * 1e6,
        "valkey_us": found["valkey_s"] / jobs * 1e6,
    }


async def _check_jobsd(ground: Ground, jobs: int) -> None:
    base = base_key("default")
    _check("jobs left in jobsd's queue", await ground.redis.zcard(base), 0)
    _check("jobs processed", int(await ground.redis.hget(f"{base}:stats", "processed") or 0), jobs)


def _check(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise IncompleteError(f"{what}: {found:,}, expected {expected:,}")
