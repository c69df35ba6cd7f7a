from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import asyncpg
import pytest

from jobsd.records.migrate import known, migrate
from jobsd.records.partitions import Dropped, Month, drop_partitions, ensure_partitions
from jobsd.records.pool import open_pool
from jobsd.records.queries import query
from jobsd.records.writing import write
from tests.records.ledger import NOON, NOON_MS, a_ledger, a_record, rows
from tests.waiting import until

A_YEAR_LATER = datetime(2027, 12, 15, tzinfo=UTC)
DECEMBER, JANUARY = datetime(2027, 12, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
FEBRUARY, MARCH = datetime(2028, 2, 1, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)
A_LONG_TIME_LATER = datetime(9999, 1, 1, tzinfo=UTC)
MONTHS = [DECEMBER, JANUARY, FEBRUARY]


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


async def make(pool) -> None:
    """Make the months from December to February."""
    assert [month.state for month in await ensure_partitions(pool, A_YEAR_LATER)] == ["made"] * 3


async def partitions(pool) -> list[datetime]:
    found = await pool.fetch("SELECT starts_at FROM jobsd.partitions WHERE starts_at >= $1 ORDER BY 1", DECEMBER)
    return [row["starts_at"] for row in found]


async def lock_awaited(pool) -> bool:
    return await pool.fetchval(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    )


async def where(pool) -> dict[str, str]:
    rows = await pool.fetch("SELECT e.job_id, c.relname FROM jobsd.executions e JOIN pg_class c ON c.oid = e.tableoid")
    return {row["job_id"]: row["relname"] for row in rows}


async def in_the_way_of_inserts(pool) -> set[str]:
    """Return the tables of which somebody has or wants a lock that an insert would wait for."""
    found = await pool.fetch(
        "SELECT c.relname AS name FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation WHERE mode IN"
        " ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return {row["name"] for row in found}


async def test_the_migration_makes_this_month_and_the_next_two(database_url):
    async with a_ledger(database_url) as pool:
        months = await ensure_partitions(pool, datetime.now(UTC))
    assert [month.state for month in months] == ["present"] * 3


async def test_a_month_is_made_once_and_takes_its_rows_from_the_first_ms_to_the_last(ledger_url):
    edges = {"last": JANUARY - timedelta(milliseconds=1), "first": JANUARY}
    async with a_ledger(ledger_url) as pool:
        assert await ensure_partitions(pool, A_YEAR_LATER) == [Month(day, "made") for day in MONTHS]
        assert await ensure_partitions(pool, A_YEAR_LATER) == [Month(day, "present") for day in MONTHS]
        await write(pool, [a_record(job_id=k, started_at=ms(v)) for k, v in edges.items()])
        assert await where(pool) == {"last": "executions_2027_12", "first": "executions_2028_01"}


async def test_a_month_is_that_of_utc(ledger_url):
    late_evening_in_new_york = datetime(2027, 11, 30, 22, tzinfo=timezone(timedelta(hours=-5)))
    async with a_ledger(ledger_url) as pool:
        assert (await ensure_partitions(pool, late_evening_in_new_york))[0].first_day == DECEMBER


async def test_rows_of_the_far_past_and_future_are_kept_in_the_default_partition(ledger_url):
    async with a_ledger(ledger_url) as pool:
        instants = {"1970": 0, "2001": 1_000_000_000_000, "9999": 253_402_300_799_999}
        written = await write(pool, [a_record(job_id=k, started_at=v, finished_at=v) for k, v in instants.items()])
        assert written.rows == 3
        assert set((await where(pool)).values()) == {"executions_default"}


async def test_a_month_takes_what_the_default_partition_has_of_it_and_nothing_else(ledger_url):
    a_moment = timedelta(milliseconds=1)
    early = {"november": DECEMBER - a_moment, "first": DECEMBER, "last": JANUARY - a_moment, "9999": A_LONG_TIME_LATER}
    async with a_ledger(ledger_url) as pool:
        await write(pool, [a_record(job_id=k, started_at=ms(v), message="é") for k, v in early.items()])
        before = await rows(pool)
        await make(pool)
        await write(pool, [a_record(job_id="later", started_at=ms(DECEMBER) + 1)])
        assert await where(pool) == {
            "november": "executions_default",
            "9999": "executions_default",
            "first": "executions_2027_12",
            "last": "executions_2027_12",
            "later": "executions_2027_12",
        }
        assert [row for row in await rows(pool) if row["job_id"] != "later"] == before


async def test_a_month_that_was_blocked_by_an_earlier_version_is_made_by_this_one(database_url):
    pool, first = await open_pool(database_url), known()[0]
    for statement in (query("create_schema"), query("create_migrations"), first.sql):
        await pool.execute(statement)
    await pool.execute(query("note_migration"), first.version, first.name, first.checksum)
    await pool.execute(
        "INSERT INTO jobsd.executions (job_id, task, queue, attempt, outcome, transition, started_at, finished_at,"
        " worker) VALUES ('a', 't', 'q', 1, 'failed', 'archived', $1, $1, 'w')",
        A_YEAR_LATER,
    )
    assert await pool.fetchval("SELECT jobsd.ensure_partition($1)", A_YEAR_LATER) == "blocked"
    await migrate(pool)
    await make(pool)
    assert await where(pool) == {"a": "executions_2027_12"}
    await pool.close()


async def test_a_month_with_more_rows_in_the_default_partition_than_can_be_moved_at_once_stays_there(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await pool.execute(
            "INSERT INTO jobsd.executions (job_id, task, queue, attempt, outcome, transition, started_at, finished_at,"
            " worker) SELECT n::text, 't', 'q', 1, 'lost', 'requeued', $1, $1, 'w'"
            " FROM generate_series(0, 100000) AS n",
            A_YEAR_LATER,
        )
        months = await ensure_partitions(pool, A_YEAR_LATER)
        assert [month.state for month in months] == ["blocked", "made", "made"]
        await pool.execute("DELETE FROM jobsd.executions WHERE job_id = '0'")
        months = await ensure_partitions(pool, A_YEAR_LATER)
        assert [month.state for month in months] == ["made", "present", "present"]
        assert set((await where(pool)).values()) == {"executions_2027_12"}


async def test_a_partition_is_like_one_that_postgres_makes(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await make(pool)
        await pool.execute(
            "CREATE TABLE jobsd.usual PARTITION OF jobsd.executions FOR VALUES FROM ('2030-01-01') TO ('2030-02-01')"
        )
        looks = [
            await pool.fetchval(
                "SELECT jsonb_build_array("
                " (SELECT jsonb_agg(def ORDER BY def) FROM (SELECT"
                "  regexp_replace(pg_get_indexdef(indexrelid), 'jobsd[.]\\w+|INDEX \\w+', '', 'g') AS def"
                "  FROM pg_index WHERE indrelid = $1::text::regclass) AS indexes),"
                " (SELECT jsonb_agg(jsonb_build_array(conname, pg_get_constraintdef(oid), conislocal, coninhcount)"
                "  ORDER BY pg_get_constraintdef(oid)) FROM pg_constraint"
                "  WHERE conrelid = $1::text::regclass AND contype = 'c'),"
                " (SELECT jsonb_agg(jsonb_build_array(attname, attnotnull, atthasdef, attgenerated, attislocal)"
                "  ORDER BY attnum) FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0))",
                name,
            )
            for name in ("jobsd.executions_2027_12", "jobsd.usual")
        ]
        assert looks[0] == looks[1]


async def test_processes_that_make_a_month_at_once_make_it_once(ledger_url):
    async with a_ledger(ledger_url) as pool:
        others = [await open_pool(ledger_url) for _ in range(3)]
        answers = await asyncio.gather(*(ensure_partitions(each, A_YEAR_LATER) for each in (pool, *others)))
        for other in others:
            await other.close()
    assert sorted(month.state for months in answers for month in months) == ["made"] * 3 + ["present"] * 9


async def test_behind_a_long_reader_making_gives_up_and_records_do_not_even_wait(ledger_url):
    async with a_ledger(ledger_url) as pool:
        async with pool.transaction() as reader:
            await reader.fetch("SELECT count(*) FROM jobsd.executions")
            making = asyncio.create_task(ensure_partitions(pool, A_YEAR_LATER))
            await until(lambda: lock_awaited(pool))
            assert await in_the_way_of_inserts(pool) <= {"executions_default"}
            assert (await write(pool, [a_record()])).rows == 1
            assert [month.state for month in await making] == ["busy"] * 3
        await make(pool)


async def test_months_that_are_over_are_dropped_and_no_others(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await make(pool)
        await write(pool, [a_record(job_id=f"{day:%m}", started_at=ms(day)) for day in (*MONTHS, MARCH)])
        nearly = FEBRUARY - timedelta(microseconds=1)
        this_month_and_the_next = (await drop_partitions(pool, DECEMBER)).months
        assert len(this_month_and_the_next) == 3
        assert await drop_partitions(pool, nearly) == Dropped([DECEMBER], busy=False)
        assert await partitions(pool) == [JANUARY, FEBRUARY]
        assert await drop_partitions(pool, nearly) == Dropped([], busy=False)
        assert await drop_partitions(pool, A_YEAR_LATER + timedelta(days=1000)) == Dropped(
            [JANUARY, FEBRUARY], busy=False
        )
        assert await where(pool) == {"03": "executions_default"}


async def test_a_partition_that_somebody_attached_by_hand_is_his(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await pool.execute(
            "CREATE TABLE jobsd.my_executions_2001_12 PARTITION OF jobsd.executions"
            " FOR VALUES FROM ('2001-01-01') TO ('2002-01-01')"
        )
        await pool.execute("CREATE TABLE jobsd.executions_2001_01 (mine int)")
        assert await drop_partitions(pool, datetime(2010, 1, 1, tzinfo=UTC)) == Dropped([], busy=False)
        assert await pool.fetchval("SELECT to_regclass('jobsd.executions_2001_01') IS NOT NULL")


async def test_a_month_that_a_view_of_somebody_reads_is_not_dropped_under_it(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await make(pool)
        await pool.execute("CREATE VIEW mine AS SELECT job_id FROM jobsd.executions_2027_12")
        with pytest.raises(asyncpg.DependentObjectsStillExistError, match="view mine depends on"):
            await drop_partitions(pool, FEBRUARY)


async def test_processes_that_drop_a_month_at_once_drop_it_once(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await make(pool)
        others = [await open_pool(ledger_url) for _ in range(3)]
        answers = await asyncio.gather(*(drop_partitions(each, MARCH) for each in (pool, *others)))
        for other in others:
            await other.close()
    assert sorted(day for dropped in answers for day in dropped.months)[-3:] == MONTHS
    assert sum(len(dropped.months) for dropped in answers) == 6


async def test_behind_a_long_reader_dropping_gives_up_and_records_go_on(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await make(pool)
        async with pool.transaction() as reader:
            await reader.fetch("SELECT count(*) FROM jobsd.executions")
            dropping = asyncio.create_task(drop_partitions(pool, FEBRUARY))
            await until(lambda: lock_awaited(pool))
            assert (await write(pool, [a_record()])).rows == 1
            assert await dropping == Dropped([], busy=True)
            assert await partitions(pool) == MONTHS
        assert (await drop_partitions(pool, FEBRUARY)).months[-2:] == [DECEMBER, JANUARY]


async def test_a_row_is_found_by_its_key_whatever_partition_it_is_in(ledger_url):
    async with a_ledger(ledger_url) as pool:
        old = a_record(started_at=NOON_MS - 10**11, outcome="lost", transition="requeued")
        await write(pool, [old])
        await write(pool, [a_record(started_at=NOON_MS - 10**11)])
        assert [row["outcome"] for row in await pool.fetch("SELECT outcome FROM jobsd.executions")] == ["succeeded"]
    assert NOON.tzinfo is UTC
