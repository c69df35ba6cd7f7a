"""Rows a second of a recorder that has nothing to do but to record: a stream of records that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.backlog import check, run_process
from benchmarks.filling import TEXT
from jobsd.clock import now_ms
from jobsd.execution import Execution
from jobsd.records.inserting import as_json
from jobsd.store.keys import records_key

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

_AN_ENTRY = 50  # endings that a worker writes at once, under load
_MEASURE = "recorder"


async def measure(ground: Ground, report: Report, rows: int) -> None:
    await ground.clear()
    pipe = ground.redis.pipeline(transaction=False)
    for start in range(0, rows, _AN_ENTRY):
        pipe.xadd(records_key(), dict(_record(number) for number in range(start, min(start + _AN_ENTRY, rows))))  # pyright: ignore[reportArgumentType]
        if len(pipe) == _AN_ENTRY:
            await pipe.execute()
    await pipe.execute()
    figures = await run_process(
        ground, "recorder_worker", rows, redis_url=ground.redis_url, database_url=ground.database_url
    )
    check("rows in Postgres", await ground.pool.fetchval("SELECT count(*) FROM jobsd.executions"), rows)
    check("records left in the stream", await ground.redis.xlen(records_key()), 0)
    figures["postgres_us"] = figures["postgres_s"] / rows * 1e6
    report.add(_MEASURE, "jobsd", **figures)


def _record(number: int) -> tuple[str, bytes]:
    """Return what a worker leaves of a no-op job."""
    now, job_id = now_ms(), f"01k{number:023}"
    args = {"args": [number, TEXT], "kwargs": {}}
    run = Execution(
        job_id, "0a1b2c3d", "bench:noop", "default", 1, "succeeded", "completed", now - 9, now - 9, now - 1, now,
        "laptop-29475-b1505c", args=args, result_data=number,
    )  # fmt: skip
    return job_id, as_json(run)
