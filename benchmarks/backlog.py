"""Jobs a second: one worker process, a backlog of jobs that do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.filling import TEXT, fill_arq, fill_jobsd
from benchmarks.jobsd_worker import noop
from benchmarks.processes import IncompleteError, measuring
from jobsd.store.jobs import Jobs
from jobsd.store.keys import base_key, records_key

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

CONCURRENCY = 100
_WITHIN_S = 60.0
_WITHIN_S_EACH = 0.0005  # of a long backlog, each job
_MEASURE = "backlog"


async def measure_jobsd(ground: Ground, report: Report, jobs: int) -> None:
    """Results kept as by default, nothing recorded."""
    report.add(_MEASURE, "jobsd", **await run_jobsd(ground, jobs))


async def measure_jobsd_recording(ground: Ground, report: Report, jobs: int) -> None:
    """Every execution recorded, by the worker's own process; ends when the last row is in Postgres."""
    figures = await run_jobsd(ground, jobs, recording=True)
    report.add(_MEASURE, "jobsd, recording", **figures)
    report.add(_MEASURE, "  - jobs had ended", jobs_per_s=jobs / figures["ended_s"])


async def measure_arq(ground: Ground, report: Report, jobs: int) -> None:
    report.add(_MEASURE, "arq", **await run_arq(ground, jobs))


async def run_jobsd(
    ground: Ground,
    jobs: int,
    *,
    recording: bool = False,
    keep_results: bool = True,
    limits: str = "",
    keys: int = 0,
) -> dict[str, float]:
    """Return what such a backlog takes, having checked that every job of it has ended.

    ``limits`` is a limits text (limits.lua) for the queue, ``keys`` how many limit keys share the jobs.
    """
    await ground.clear()
    if limits:
        await Jobs(ground.redis).limit("default", "set", limits)
    tasks = [noop.opts(limit_key=f"tenant-{key}") for key in range(keys)] or [noop]
    await fill_jobsd(ground, (tasks[number % len(tasks)].job(number, TEXT) for number in range(jobs)))
    urls = {"redis_url": ground.redis_url, "database_url": ground.database_url if recording else None}
    found = await run_process(ground, "jobsd_worker", jobs, **urls, keep_results=keep_results)
    base = base_key("default")
    check("jobs left in jobsd's queue", await ground.redis.zcard(base), 0)
    check("jobs processed", int(await ground.redis.hget(f"{base}:stats", "processed") or 0), jobs)
    if recording:
        check("rows in Postgres", await ground.pool.fetchval("SELECT count(*) FROM jobsd.executions"), jobs)
        check("records left in the stream", await ground.redis.xlen(records_key()), 0)
        found["postgres_us"] = found["postgres_s"] / jobs * 1e6
    return found


async def run_arq(ground: Ground, jobs: int, *, keep_results: bool = True) -> dict[str, float]:
    await ground.clear()
    await fill_arq(ground.redis, "noop", ((number, TEXT) for number in range(jobs)))
    found = await run_process(ground, "arq_worker", jobs, redis_url=ground.redis_url, keep_results=keep_results)
    check("jobs left in arq's queue", await ground.redis.zcard("arq:queue"), 0)
    return found


async def run_process(ground: Ground, module: str, jobs: int, **options: object) -> dict[str, Any]:
    """Return the figures of a worker, and what the servers had to do from its start to its end."""
    within_s = max(_WITHIN_S, jobs * _WITHIN_S_EACH)
    before, commands = ground.cpu(), await ground.commands()
    async with measuring(module, within_s, jobs=jobs, concurrency=CONCURRENCY, **options) as worker:
        found = await worker.answer()
    after = ground.cpu()
    if "seconds" not in found:
        raise IncompleteError(f"{module}: {found['ended']:,} of {jobs:,} jobs had ended after {within_s:g} s")
    told = ("seconds", "ended_s", "rss_early_mib", "rss_late_mib")
    return {
        **{name: found[name] for name in told if name in found},
        "jobs_per_s": jobs / found["seconds"],
        "worker_us": found["cpu_s"] / jobs * 1e6,
        "valkey_us": (after.valkey_s - before.valkey_s) / jobs * 1e6,
        "postgres_s": after.postgres_s - before.postgres_s,
        "commands": (await ground.commands() - commands) / jobs,
    }


def check(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise IncompleteError(f"{what}: {found:,}, expected {expected:,}")
