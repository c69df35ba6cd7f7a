"""What the views say. How they come to be is in test_views_made.py."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from jobsd.clock import now_ms
from jobsd.embedded.binaries import find_postgres
from jobsd.records.views import ensure_views
from jobsd.records.writing import write
from tests.records.ledger import NOON, NOON_MS, a_ledger, a_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobsd.records.pool import Pool

PSQL = find_postgres().path.with_name("psql")

# As they are printed where job_executions comes from, word for word.
RECENT = """\
-- Recent executions
SELECT job_id, started_at, duration_seconds, success, message
FROM job_executions
ORDER BY started_at DESC
LIMIT 20;
"""
FAILED = """\
-- Failed executions
SELECT *
FROM job_executions
WHERE success = false
  AND started_at >= NOW() - INTERVAL '24 hours'
ORDER BY started_at DESC;
"""
STATISTICS = """\
-- Job statistics
SELECT 
  job_id,
  COUNT(*) as total_runs,
  SUM(CASE WHEN success THEN 1 ELSE 0 END) as successful_runs,
  AVG(duration_seconds) as avg_duration
FROM job_executions
WHERE started_at >= NOW() - INTERVAL '7 days'
GROUP BY job_id;
"""  # noqa: W291 - as it is printed

MINUTE_MS, DAY_MS = 60_000, 86_400_000
ENDS = {
    "succeeded": "completed",
    "failed": "archived",
    "timed_out": "archived",
    "snoozed": "scheduled",
    "dropped": "removed",
    "cancelled": "archived",
    "interrupted": "requeued",
    "lost": "archived",
    "expired": "archived",
}


@asynccontextmanager
async def views(url: str) -> AsyncIterator[Pool]:
    async with a_ledger(url) as pool:
        await ensure_views(pool, "public")
        yield pool


def a_run(ago_ms: int, **facts):
    start = now_ms() - ago_ms
    return a_record(started_at=start, finished_at=start + 1500, **facts)


def every_outcome():
    return [a_record(job_id=outcome, outcome=outcome, transition=end) for outcome, end in ENDS.items()]


async def columns(pool: Pool, view: str) -> list[tuple[str, str]]:
    sql = (
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position"
    )
    return [(row["column_name"], row["data_type"]) for row in await pool.fetch(sql, view)]


async def test_the_columns_are_those_of_the_documents_in_their_order(ledger_url):
    async with views(ledger_url) as pool:
        assert await columns(pool, "job_executions") == [
            ("id", "bigint"),
            ("job_id", "text"),
            ("started_at", "timestamp with time zone"),
            ("finished_at", "timestamp with time zone"),
            ("duration_seconds", "numeric"),
            ("success", "boolean"),
            ("message", "text"),
            ("error_trace", "text"),
            ("result_data", "json"),
            ("created_at", "timestamp with time zone"),
            ("updated_at", "timestamp with time zone"),
        ]
        assert await columns(pool, "job_log") == [
            ("id", "uuid"),
            ("job_id", "text"),
            ("queue_name", "text"),
            ("status", "text"),
            ("result", "json"),
            ("error_message", "text"),
            ("created_at", "timestamp with time zone"),
        ]


async def test_what_ran_succeeded_or_failed_or_was_neither(ledger_url):
    async with views(ledger_url) as pool:
        await write(
            pool,
            [a_record(**record.execution._asdict() | {"task": record.execution.job_id}) for record in every_outcome()],
        )
        waited = a_record(task="cancelled while it waited", outcome="cancelled", transition="archived", worker="")
        await write(pool, [waited._replace(execution=waited.execution._replace(job_id="waited"))])
        found = {row["job_id"]: row["success"] for row in await pool.fetch("SELECT * FROM job_executions")}
    assert found == {
        "succeeded": True,
        "failed": False,
        "timed_out": False,
        "cancelled": False,
        "lost": False,
        "snoozed": None,
        "interrupted": None,
        "dropped": None,
    }


async def test_an_execution_is_shown_with_all_that_is_known_of_it(ledger_url):
    failed = a_record(
        outcome="failed", transition="retry", message="no route", error_trace="Traceback …", result_data=None
    )
    async with views(ledger_url) as pool:
        await write(pool, [failed])
        [row] = await pool.fetch("SELECT * FROM job_executions")
        [kept] = await pool.fetch("SELECT id, created_at, updated_at FROM jobsd.executions")
    assert (row["job_id"], row["message"], row["error_trace"]) == ("email:send", "no route", "Traceback …")
    assert (row["started_at"], float(row["duration_seconds"]), row["result_data"]) == (NOON, 1.234, None)
    assert {name: row[name] for name in ("id", "created_at", "updated_at")} == dict(kept)


async def test_the_message_of_a_success_is_the_one_that_its_result_brings(ledger_url):
    results = [{"success": True, "message": "150 made", "data": {"made": 150}}, {"message": 5}, ["message"], "x", None]
    async with views(ledger_url) as pool:
        await write(pool, [a_record(attempt=n, result_data=result) for n, result in enumerate(results, 1)])
        rows = await pool.fetch("SELECT message, result_data FROM job_executions ORDER BY id")
    assert [row["message"] for row in rows] == ["150 made", None, None, None, None]
    assert [row["result_data"] and json.loads(row["result_data"]) for row in rows] == results


async def test_two_schedules_of_three_runs_each_are_two_groups_of_three(ledger_url):
    runs = [
        a_run(n * MINUTE_MS, job_id=f"{schedule}-{n}", schedule_id=schedule)
        for schedule in ("nightly", "hourly")
        for n in range(3)
    ]
    async with views(ledger_url) as pool:
        await write(pool, runs)
        rows = await pool.fetch("SELECT job_id, count(*) AS runs FROM job_executions GROUP BY job_id")
    assert {row["job_id"]: row["runs"] for row in rows} == {"nightly": 3, "hourly": 3}


async def test_the_printed_queries_mean_what_they_meant(ledger_url):
    failed = {"outcome": "failed", "transition": "retry", "message": "no"}
    runs = [
        a_run(1 * MINUTE_MS, job_id="1", schedule_id="nightly"),
        a_run(2 * MINUTE_MS, job_id="2", schedule_id="nightly", **failed),
        a_run(3 * MINUTE_MS, job_id="3", outcome="snoozed", transition="scheduled"),
        a_run(2 * DAY_MS, job_id="4", **failed),
        a_run(8 * DAY_MS, job_id="5"),
        *(a_run(9 * DAY_MS + n, job_id=f"old-{n}") for n in range(20)),
    ]
    async with views(ledger_url) as pool:
        await write(pool, runs)
        recent, bad, statistics = [await pool.fetch(sql) for sql in (RECENT, FAILED, STATISTICS)]
    assert len(recent) == 20
    assert [(row["job_id"], row["success"]) for row in recent[:5]] == [
        ("nightly", True),
        ("nightly", False),
        ("email:send", None),
        ("email:send", False),
        ("email:send", True),
    ]
    assert [(row["job_id"], row["message"]) for row in bad] == [("nightly", "no")]
    found = {row["job_id"]: (row["total_runs"], row["successful_runs"], row["avg_duration"]) for row in statistics}
    assert found == {"nightly": (2, 1, 1.5), "email:send": (2, 0, 1.5)}


@pytest.mark.skipif(not PSQL.exists(), reason="there is no psql beside this Postgres")
async def test_the_printed_block_runs_in_psql_as_it_stands(ledger_url):
    async with views(ledger_url) as pool:
        await write(pool, [a_run(MINUTE_MS, job_id="1", schedule_id="nightly")])
        arguments = [str(PSQL), "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--csv", ledger_url]
        process = await asyncio.create_subprocess_exec(*arguments, stdin=-1, stdout=-1, stderr=-1)
        out, errors = await process.communicate(f"{RECENT}\n{FAILED}\n{STATISTICS}".encode())
    assert (process.returncode, errors.decode()) == (0, "")
    lines = out.decode().splitlines()
    assert lines[0] == "job_id,started_at,duration_seconds,success,message"
    assert lines[-1].startswith("nightly,1,1,1.5000")


async def test_the_job_log_has_one_row_for_each_job_that_ended(ledger_url):
    retried = a_record(job_id="failed", attempt=7, outcome="failed", transition="retry", started_at=NOON_MS - 1)
    async with views(ledger_url) as pool:
        await write(pool, [*every_outcome(), retried])
        rows = await pool.fetch("SELECT * FROM job_log")
        finished = await pool.fetchval("SELECT finished_at FROM jobsd.executions WHERE job_id = 'succeeded'")
    assert {row["job_id"]: row["status"] for row in rows} == {
        "succeeded": "COMPLETED",
        "dropped": "COMPLETED",
        "failed": "FAILED",
        "timed_out": "FAILED",
        "cancelled": "FAILED",
        "lost": "FAILED",
        "expired": "FAILED",
    }
    assert len(rows) == 7
    assert {row["job_id"] for row in rows if row["result"] is not None} == {"succeeded"}
    assert {row["queue_name"] for row in rows} == {"default"}
    assert {row["created_at"] for row in rows} == {finished}


async def test_every_failure_in_the_job_log_has_an_error_message(ledger_url):
    bad = {"outcome": "failed", "transition": "archived"}
    records = [
        a_record(job_id="said", message="no route", error_type="OSError", **bad),
        a_record(job_id="mute", message="", error_type="OSError", **bad),
        a_record(job_id="bare", **bad),
        a_record(job_id="dropped", message="not needed any more", outcome="dropped", transition="removed"),
    ]
    async with views(ledger_url) as pool:
        await write(pool, records)
        found = {row["job_id"]: row["error_message"] for row in await pool.fetch("SELECT * FROM job_log")}
    assert found == {"said": "no route", "mute": "OSError", "bare": "failed", "dropped": None}


async def test_a_job_run_again_from_the_archive_has_a_row_for_each_of_its_ends(ledger_url):
    async with views(ledger_url) as pool:
        await write(
            pool, [a_record(outcome="failed", transition="archived"), a_record(attempt=2, started_at=NOON_MS + 9)]
        )
        rows = await pool.fetch("SELECT id, status FROM job_log ORDER BY created_at")
    assert [row["status"] for row in rows] == ["FAILED", "COMPLETED"]
    assert rows[0]["id"] != rows[1]["id"]


async def test_the_id_in_the_job_log_is_a_proper_uuid_and_never_changes(ledger_url):
    ids = []
    async with views(ledger_url) as pool:
        await write(pool, [a_record(outcome="lost", transition="archived")])
        ids.append(await pool.fetchval("SELECT id FROM job_log"))
        await write(pool, [a_record()])  # a late ending replaces the loss
        ids.append(await pool.fetchval("SELECT id FROM job_log"))
        await pool.execute("DELETE FROM jobsd.executions")  # and is recorded once more
        await write(pool, [a_record()])
        async with pool.connection() as connection:
            await connection.execute("SET timezone = 'Asia/Jakarta'")
            ids.append(await connection.fetchval("SELECT id FROM job_log"))
    assert set(ids) == {UUID("28c6a876-3ca7-8824-ae07-54e657b7eb0b")}
    assert (ids[0].version, ids[0].variant) == (8, "specified in RFC 4122")
