"""How long questions to a large ledger take: ``python -m benchmarks.ledger [--rows 10000000]``.

Rows and hours are made by Postgres itself, as so many recorded executions would have left them.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from benchmarks.ground import a_ground
from jobsd.records import History
from jobsd.records.folding import fold

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobsd.records.pool import Pool

DAYS = 60
TASKS = 50
_CHUNK = 250_000
_ROUNDS = 15

# Durations and waits are log-normal; one in fifty attempts fails, of eleven kinds. No two rows start at once.
_EXECUTIONS = """
INSERT INTO jobsd.executions (
    job_id, task, queue, attempt, outcome, transition, enqueued_at, scheduled_for, started_at, finished_at, worker,
    message, error_type, args, result_data, schedule_id, batch_id, fingerprint)
SELECT 'job-' || n, 'task:' || n % $3, CASE WHEN n % 3 = 0 THEN 'critical' ELSE 'default' END, 1,
    CASE WHEN failed THEN 'failed' ELSE 'succeeded' END, CASE WHEN failed THEN 'retry' ELSE 'completed' END,
    at - waited, at - waited, at, at + took, 'host-1',
    CASE WHEN failed THEN 'ValueError: ' || n END, CASE WHEN failed THEN 'ValueError' END,
    '{"args": [], "kwargs": {}}', to_jsonb(n),
    CASE WHEN n % 100 = 0 THEN 'schedule-' || n % 7 END, CASE WHEN n % 1000 < 10 THEN 'batch-' || n / 1000 END,
    CASE WHEN failed THEN 'kind-' || n % 11 END
FROM (SELECT n, n % 53 = 7 AS failed,
        $4::timestamptz + n * make_interval(secs => $5 * 86400.0 / $6) AS at,
        make_interval(secs => exp(-4 + 2.5 * (random() + random() + random() - 1.5))) AS took,
        make_interval(secs => exp(-6 + 2.5 * (random() + random() + random() - 1.5))) AS waited
      FROM generate_series($1::bigint, $2::bigint) AS n) AS made
"""
_CHANGES = """
INSERT INTO jobsd.statistics_changes
SELECT 'hour', at, task, queue, n, n - failed, failed, 0, 0, 0, 0, 0, 0, 0, failed, 0, ms,
    (SELECT array_agg(b) FROM (SELECT b FROM unnest(durations) AS b GROUP BY b ORDER BY b) AS found),
    (SELECT array_agg(c) FROM (SELECT count(*) AS c FROM unnest(durations) AS b GROUP BY b ORDER BY b) AS found),
    (SELECT array_agg(b) FROM (SELECT b FROM unnest(waits) AS b GROUP BY b ORDER BY b) AS found),
    (SELECT array_agg(c) FROM (SELECT count(*) AS c FROM unnest(waits) AS b GROUP BY b ORDER BY b) AS found)
FROM (SELECT date_trunc('hour', started_at, 'UTC') AS at, task, queue, count(*) AS n,
        count(*) FILTER (WHERE NOT success) AS failed, sum((duration_seconds * 1000)::bigint) AS ms,
        array_agg(jobsd.bucket(duration_seconds::float8)) AS durations,
        array_agg(jobsd.bucket(extract(epoch FROM started_at - scheduled_for)::float8)) AS waits
      FROM jobsd.executions GROUP BY date_trunc('hour', started_at, 'UTC'), task, queue) AS hours
"""
_ERRORS = """
INSERT INTO jobsd.errors
SELECT task, fingerprint, 'ValueError', count(*), min(started_at), max(started_at), max(job_id), max(message)
FROM jobsd.executions WHERE fingerprint IS NOT NULL GROUP BY task, fingerprint
"""


async def load(pool: Pool, rows: int, *, until: datetime, say: Callable[[str], None] = lambda _: None) -> None:
    """Fill an empty ledger with ``rows`` executions of the 60 days before ``until``."""
    since = until - timedelta(days=DAYS)
    async with pool.connection() as connection:
        for day in range(0, DAYS + 31, 28):
            await connection.fetchval("SELECT jobsd.ensure_partition($1)", since + timedelta(days=day))
        for start in range(0, rows, _CHUNK):
            end = min(start + _CHUNK, rows) - 1
            await connection.execute(_EXECUTIONS, start, end, TASKS, since, DAYS, rows, timeout=600)
            say(f"{end + 1:,} rows")
        await connection.execute(_CHANGES, timeout=1200)
        await connection.execute(_ERRORS, timeout=600)
    while await fold(pool):
        pass
    async with pool.connection() as connection:
        for table in ("executions", "statistics", "statistics_changes", "errors"):
            await connection.execute(f"VACUUM ANALYZE jobsd.{table}", timeout=1200)


def questions(history: History, now: datetime) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Return what people ask, each as a call."""
    day, week, month = (now - timedelta(days=days) for days in (1, 7, 30))
    deep = now - timedelta(days=20)
    return {
        "page: the newest": history.executions,
        "page: 20 days back": lambda: history.executions(until=deep),
        "page: of a task": lambda: history.executions(task="task:7"),
        "page: of a task and a week": lambda: history.executions(task="task:7", since=week, until=day),
        "page: failed": lambda: history.executions(outcome="failed"),
        "page: failed, of a task": lambda: history.executions(task="task:49", outcome="failed"),
        "page: failed, of a task that never does": lambda: history.executions(task="task:7", outcome="failed"),
        "page: timed out, which nothing did": lambda: history.executions(outcome="timed_out"),
        "page: of a job": lambda: history.executions(job_id="job-4242"),
        "page: of a job that never was": lambda: history.executions(job_id="none"),
        "page: of a schedule": lambda: history.executions(schedule="schedule-3"),
        "page: of a batch": lambda: history.executions(batch="batch-42"),
        "page: of one kind of failure": lambda: history.executions(fingerprint="kind-4"),
        "statistics: all tasks, 24 h": lambda: history.statistics(since=day),
        "statistics: all tasks, 7 days": lambda: history.statistics(since=week),
        "statistics: all tasks, 30 days": lambda: history.statistics(since=month),
        "statistics: all tasks by hour, 24 h": lambda: history.statistics(since=day, step="hour"),
        "statistics: one task by hour, 7 days": lambda: history.statistics(since=week, task="task:7", step="hour"),
        "statistics: one task by day, 30 days": lambda: history.statistics(since=month, task="task:7", step="day"),
        "errors: the latest": history.errors,
    }


async def main(rows: int) -> None:
    async with a_ground() as ground:
        now = datetime.now(UTC)
        began = time.monotonic()
        await load(ground.pool, rows, until=now, say=_say)
        size = await ground.pool.fetchval(
            "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('jobsd.executions')"
        )
        hours = await ground.pool.fetchval("SELECT count(*) FROM jobsd.statistics")
        _say(f"loaded in {time.monotonic() - began:.0f} s: {size / 1e9:.1f} GB, {hours:,} rows of statistics")
        print(f"{'ms of ' + format(rows, ',') + ' rows':<45} {'median':>8} {'worst':>8}")
        for name, ask in questions(History(ground.pool), now).items():
            taken = [await _timed(ask) for _ in range(_ROUNDS)]
            print(f"{name:<45} {statistics.median(taken):>8.1f} {max(taken):>8.1f}")


async def _timed(ask: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await ask()
    return (time.perf_counter() - began) * 1000


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="executions in the ledger (10,000,000)")
    asyncio.run(main(parser.parse_args().rows))
