"""What each promise costs: the same no-op job without one, and in each form that keeps one; all are recorded.

What commits with a job is compared with a job that makes the same INSERT by itself. The clock starts when the worker
is ready. The jobs of the outbox wait in Postgres by then, the others in Valkey: what it takes to put them there is
told apart, a hundred a call, and a transaction.
"""

from __future__ import annotations

import resource
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.backlog import CONCURRENCY, check
from benchmarks.filling import TEXT, fill_jobsd
from benchmarks.jobsd_worker import noop
from benchmarks.processes import IncompleteError, measuring
from benchmarks.promises_worker import take_step, transact, write, write_in_step
from jobsd.client import Client
from jobsd.store.keys import base_key, records_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.ground import Ground
    from benchmarks.report import Report
    from jobsd.definition import Task

PLAIN = "no promise"
OUTBOX = "from the outbox"
WRITE = "INSERT, no promise"
TRANSACTION = "INSERT in ctx.transaction"
STEP = "ctx.step"
STEP_TRANSACTION = "INSERT in ctx.step_transaction"
_MEASURE = "promises"
_A_CALL = 100
_WITHIN_S = 60.0
WRITES = "CREATE TABLE IF NOT EXISTS bench_writes (number integer NOT NULL, text text NOT NULL)"


class Left(NamedTuple):
    """What a form leaves in Postgres for each job."""

    writes: int = 0
    effects: int = 0
    steps: int = 0


async def measure_plain(ground: Ground, report: Report, jobs: int) -> None:
    await _clear(ground)
    put = await _put(ground, jobs, in_transactions=False)
    report.add(_MEASURE, PLAIN, **put, **await _work(ground, jobs, Left()))


async def measure_outbox(ground: Ground, report: Report, jobs: int) -> None:
    await _clear(ground)
    put = await _put(ground, jobs, in_transactions=True)
    check("jobs in the outbox", await _count(ground, "jobsd.outbox"), jobs)
    report.add(_MEASURE, OUTBOX, **put, **await _work(ground, jobs, Left()))


async def measure_write(ground: Ground, report: Report, jobs: int) -> None:
    await _measure(ground, report, jobs, WRITE, write, Left(writes=1))


async def measure_transaction(ground: Ground, report: Report, jobs: int) -> None:
    await _measure(ground, report, jobs, TRANSACTION, transact, Left(writes=1, effects=1))


async def measure_step(ground: Ground, report: Report, jobs: int) -> None:
    await _measure(ground, report, jobs, STEP, take_step, Left(steps=1))


async def measure_step_transaction(ground: Ground, report: Report, jobs: int) -> None:
    await _measure(ground, report, jobs, STEP_TRANSACTION, write_in_step, Left(writes=1, steps=1))


async def _measure(ground: Ground, report: Report, jobs: int, row: str, task: Task[..., Any], left: Left) -> None:
    await _clear(ground)
    await fill_jobsd(ground, (task.job(number, TEXT) for number in range(jobs)))
    report.add(_MEASURE, row, **await _work(ground, jobs, left))


async def _clear(ground: Ground) -> None:
    await ground.pool.execute(WRITES)
    await ground.pool.execute("TRUNCATE bench_writes")
    await ground.clear()
    # A Redis that was emptied while no daemon lived is another one, for which the outbox waits half a minute.
    await ground.pool.execute("DELETE FROM jobsd.outbox_home")


async def _put(ground: Ground, jobs: int, *, in_transactions: bool) -> dict[str, float]:
    """Enqueue a hundred jobs a call, each call in a transaction if so; return what that took, all three together."""
    lend = ground.pool.transaction if in_transactions else _nothing
    async with Client(ground.redis_url) as client:
        before, began = _all_s(ground), time.perf_counter()
        for start in range(0, jobs, _A_CALL):
            async with lend() as conn:
                put = noop.opts(conn=conn) if in_transactions else noop
                await client.enqueue_many(put.job(number, TEXT) for number in range(start, min(start + _A_CALL, jobs)))
        seconds = time.perf_counter() - began
    return {"put_per_s": jobs / seconds, "put_us": (_all_s(ground) - before) / jobs * 1e6}


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield None


async def _work(ground: Ground, jobs: int, left: Left) -> dict[str, float]:
    """Return what a worker takes for the jobs, having checked that each left all that it is to leave."""
    places = {"redis_url": ground.redis_url, "database_url": ground.database_url, "servers": ground.servers()}
    worker = measuring("promises_worker", _WITHIN_S, jobs=jobs, concurrency=CONCURRENCY, **places)
    async with worker as process:
        found = await process.answer()
    if "seconds" not in found:
        raise IncompleteError(f"{found['ended']:,} of {jobs:,} jobs had ended after {_WITHIN_S:g} s")
    check("jobs left in jobsd's queue", await ground.redis.zcard(base_key("default")), 0)
    check("records left in the stream", await ground.redis.xlen(records_key()), 0)
    check("rows in Postgres", await _count(ground, "jobsd.executions"), jobs)
    check("jobs left in the outbox", await _count(ground, "jobsd.outbox"), 0)
    check("rows that the jobs wrote", await _count(ground, "bench_writes"), left.writes * jobs)
    check("effects that are kept", await _count(ground, "jobsd.effects"), left.effects * jobs)
    check("steps that are kept", await _count(ground, "jobsd.steps"), left.steps * jobs)
    worker_us, valkey_us, postgres_us = (used / jobs * 1e6 for used in (found["cpu_s"], *found["servers_s"]))
    return {
        "jobs_per_s": jobs / found["seconds"],
        "worker_us": worker_us,
        "valkey_us": valkey_us,
        "postgres_us": postgres_us,
        "all_us": worker_us + valkey_us + postgres_us,
    }


async def _count(ground: Ground, table: str) -> int:
    return await ground.pool.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - the names above


def _all_s(ground: Ground) -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime + sum(ground.cpu())
