from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

from jobsd.records.partitions import Month, ensure_partitions
from jobsd.records.pool import open_pool
from jobsd.records.writing import write
from tests.records.ledger import NOON, NOON_MS, a_ledger, a_record

A_YEAR_LATER = datetime(2027, 12, 15, tzinfo=UTC)
DECEMBER, JANUARY = datetime(2027, 12, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)


async def where(pool) -> dict[str, str]:
    rows = await pool.fetch("SELECT e.job_id, c.relname FROM jobsd.executions e JOIN pg_class c ON c.oid = e.tableoid")
    return {row["job_id"]: row["relname"] for row in rows}


async def test_the_migration_makes_this_month_and_the_next(database_url):
    async with a_ledger(database_url) as pool:
        months = await ensure_partitions(pool, datetime.now(UTC))
    assert [month.state for month in months] == ["present", "present"]


async def test_a_month_is_made_once_and_takes_its_rows_from_the_first_ms_to_the_last(database_url):
    edges = {"last": JANUARY - timedelta(milliseconds=1), "first": JANUARY}
    async with a_ledger(database_url) as pool:
        assert await ensure_partitions(pool, A_YEAR_LATER) == [Month(DECEMBER, "made"), Month(JANUARY, "made")]
        assert await ensure_partitions(pool, A_YEAR_LATER) == [Month(DECEMBER, "present"), Month(JANUARY, "present")]
        await write(pool, [a_record(job_id=k, started_at=int(v.timestamp() * 1000)) for k, v in edges.items()])
        assert await where(pool) == {"last": "executions_2027_12", "first": "executions_2028_01"}


async def test_a_month_is_that_of_utc(database_url):
    late_evening_in_new_york = datetime(2027, 11, 30, 22, tzinfo=timezone(timedelta(hours=-5)))
    async with a_ledger(database_url) as pool:
        assert (await ensure_partitions(pool, late_evening_in_new_york))[0].first_day == DECEMBER


async def test_rows_of_the_far_past_and_future_are_kept_in_the_default_partition(database_url):
    async with a_ledger(database_url) as pool:
        instants = {"1970": 0, "2001": 1_000_000_000_000, "9999": 253_402_300_799_999}
        written = await write(pool, [a_record(job_id=k, started_at=v, finished_at=v) for k, v in instants.items()])
        assert written.rows == 3
        assert set((await where(pool)).values()) == {"executions_default"}


async def test_a_month_with_rows_in_the_default_partition_stays_there(database_url):
    in_december = int(A_YEAR_LATER.timestamp() * 1000)
    async with a_ledger(database_url) as pool:
        await write(pool, [a_record(job_id="early", started_at=in_december)])
        assert await ensure_partitions(pool, A_YEAR_LATER) == [Month(DECEMBER, "blocked"), Month(JANUARY, "made")]
        await write(pool, [a_record(job_id="later", started_at=in_december + 1)])
        assert set((await where(pool)).values()) == {"executions_default"}


async def test_processes_that_make_a_month_at_once_make_it_once(database_url):
    async with a_ledger(database_url) as pool:
        others = [await open_pool(database_url) for _ in range(3)]
        answers = await asyncio.gather(*(ensure_partitions(each, A_YEAR_LATER) for each in (pool, *others)))
        for other in others:
            await other.close()
    assert sorted(month.state for months in answers for month in months) == ["made"] * 2 + ["present"] * 6


async def test_behind_a_long_reader_it_gives_up_and_records_go_on(database_url):
    async with a_ledger(database_url) as pool:
        async with pool.transaction() as reader:
            await reader.fetch("SELECT count(*) FROM jobsd.executions")
            months = await ensure_partitions(pool, A_YEAR_LATER)
            assert [month.state for month in months] == ["busy", "busy"]
            assert (await write(pool, [a_record()])).rows == 1
        assert [month.state for month in await ensure_partitions(pool, A_YEAR_LATER)] == ["made", "made"]


async def test_a_row_is_found_by_its_key_whatever_partition_it_is_in(database_url):
    async with a_ledger(database_url) as pool:
        old = a_record(started_at=NOON_MS - 10**11, outcome="lost", transition="requeued")
        await write(pool, [old])
        await write(pool, [a_record(started_at=NOON_MS - 10**11)])
        assert [row["outcome"] for row in await pool.fetch("SELECT outcome FROM jobsd.executions")] == ["succeeded"]
    assert NOON.tzinfo is UTC
