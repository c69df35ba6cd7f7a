from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.errors import UnreachableError
from jobsd.events import Event
from jobsd.records import retention as retention_module
from jobsd.records.folding import fold
from jobsd.records.migrate import migrate
from jobsd.records.pool import open_pool
from jobsd.records.retention import Retention
from jobsd.records.writing import write
from jobsd.relay import ledger_keeper
from jobsd.relay.ledger_keeper import Folder, LedgerKeeper, Partitioner, Retainer
from tests.records.ledger import a_ledger, a_record, rows
from tests.relay.conveyor import a_belt, a_gate, a_pool
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobsd.records.pool import Connection, Pool

WEEK = timedelta(weeks=1)
TODAY = datetime.now(UTC)
A_WEEK = Retention(WEEK, {})


@pytest.fixture(autouse=True)
def brisk(monkeypatch, caplog) -> None:
    """No pause is long, so that tests wait for what happens."""
    caplog.set_level(logging.INFO, logger="jobsd")
    for pause in ("FOLD_EVERY_S", "DELETE_FIRST_S", "PAUSE_S", "_LOOK_S", "_AWAY_S"):
        monkeypatch.setattr(ledger_keeper, pause, 0.01)


def events(caplog: pytest.LogCaptureFixture, *wanted: Event) -> list[dict[str, Any]]:
    return [record.__dict__ for record in caplog.records if record.msg in wanted]


def ready() -> bool:
    return True


def a_keeper(pool: Pool, **outcomes: timedelta) -> LedgerKeeper:
    return LedgerKeeper(pool, ready, keep=10 * WEEK, keep_outcomes=outcomes)  # type: ignore[arg-type]


async def put(pool: Pool, *ages: timedelta, outcome: str = "succeeded") -> None:
    """Put executions there that started so long ago."""
    started = [int((TODAY - age).timestamp() * 1000) for age in ages]
    await write(pool, [a_record(job_id=f"{at}", outcome=outcome, started_at=at, finished_at=at) for at in started])


async def month_of(pool: Pool, age: timedelta) -> str:
    """Make the partition of the month so long ago; return its name."""
    await pool.fetchval("SELECT jobsd.ensure_partition($1)", TODAY - age)
    return f"{TODAY - age:%Y-%m}"


async def count(pool: Pool, table: str) -> int:
    return await pool.fetchval(f"SELECT count(*) FROM jobsd.{table}")  # noqa: S608 - a table of these tests


async def lock_awaited(pool: Pool) -> bool:
    return await pool.fetchval(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    )


@asynccontextmanager
async def a_long_reader(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.transaction() as reader:
        await reader.fetch("SELECT count(*) FROM jobsd.executions")
        yield reader


async def test_it_folds_makes_months_drops_months_and_deletes(ledger_url, caplog):
    async with a_ledger(ledger_url) as pool:
        next_but_one = await pool.fetchval("SELECT max(partition::text) FROM jobsd.partitions")
        await pool.execute(f"DROP TABLE {next_but_one}")
        over = await month_of(pool, 20 * WEEK)
        await put(pool, timedelta(0), 4 * WEEK, 8 * WEEK, 20 * WEEK, 30 * WEEK)
        async with a_keeper(pool, succeeded=5 * WEEK):
            await until(lambda: events(caplog, Event.PARTITION_DROPPED))
            await until(lambda: events(caplog, Event.EXECUTIONS_DELETED))
            await until(lambda: count(pool, "statistics"))
        assert len(await rows(pool)) == 2
    [made], [dropped] = events(caplog, Event.PARTITION_MADE), events(caplog, Event.PARTITION_DROPPED)
    assert made["month"].replace("-", "_") in next_but_one
    assert dropped["month"] == over
    [deleted] = events(caplog, Event.EXECUTIONS_DELETED)
    assert (deleted["count"], deleted["outcomes"]) == (2, {"succeeded": 2})
    assert events(caplog, Event.SERVICE_FAILED) == []


async def test_where_all_is_in_order_it_says_nothing(ledger_url, caplog):
    async with a_ledger(ledger_url) as pool:
        await put(pool, timedelta(0))
        caplog.clear()
        services = Folder(pool, ready), Partitioner(pool, ready, A_WEEK), Retainer(pool, ready, A_WEEK)
        for service in services:
            await service.keep()
    assert caplog.records == []


async def test_an_error_of_one_does_not_stop_the_others(ledger_url, caplog):
    async with a_ledger(ledger_url) as pool:
        await pool.execute("DROP VIEW jobsd.partitions")
        await put(pool, 30 * WEEK)
        async with a_keeper(pool):
            await until(lambda: len(events(caplog, Event.SERVICE_FAILED)) == 2)
            await put(pool, timedelta(0))
            await until(lambda: count(pool, "statistics"))
    assert {line["service"] for line in events(caplog, Event.SERVICE_FAILED)} == {"Partitioner", "Retainer"}


async def test_it_waits_until_there_is_a_schema(database_url, caplog):
    pool, there = await open_pool(database_url), False
    asked = 0

    def is_there() -> bool:
        nonlocal asked
        asked += 1
        return there

    async with LedgerKeeper(pool, is_there, keep=WEEK, keep_outcomes={}):
        await until(lambda: asked > 10)
        await migrate(pool)
        await put(pool, timedelta(0), 20 * WEEK)
        assert len(await rows(pool)) == 2
        there = True
        await until(lambda: events(caplog, Event.EXECUTIONS_DELETED, Event.SERVICE_FAILED, Event.PARTITION_DROPPED))
    await pool.close()
    assert events(caplog, Event.SERVICE_FAILED) == []


async def test_the_recorder_says_whether_there_is_one(redis_url, database_url):
    async with a_gate(database_url) as gate, a_belt(redis_url, gate.url) as belt:
        recorder = belt.recorder()
        await recorder.tick()
        assert not recorder.ready
        await gate.open()
        await recorder.tick()
        assert recorder.ready


async def test_while_postgres_is_away_it_is_silent_and_afterwards_at_work_again(ledger_url, caplog):
    async with a_gate(ledger_url) as gate, a_ledger(ledger_url) as pool, a_pool(gate.url) as through_gate:
        tries = 0

        def counted() -> bool:
            nonlocal tries
            tries += 1
            return True

        async with LedgerKeeper(through_gate, counted, keep=WEEK, keep_outcomes={}):
            for _ in range(2):
                await until(lambda beyond=tries + 10: tries > beyond)
                await gate.open()
                await put(pool, timedelta(0))
                await until(lambda: count(pool, "statistics"))
                await pool.execute("TRUNCATE jobsd.executions, jobsd.statistics")
                await gate.shut()
    assert events(caplog, Event.SERVICE_FAILED, Event.SERVICE_RECOVERED, Event.POSTGRES_UNREACHABLE) == []


async def test_a_statement_that_takes_too_long_is_not_taken_for_postgres_being_away(ledger_url, monkeypatch):
    async with a_ledger(ledger_url) as pool:
        monkeypatch.setattr("jobsd.records.pool.COMMAND_TIMEOUT_S", 0.2)
        async with a_pool(ledger_url) as hurried, pool.transaction() as other:
            await other.execute("LOCK TABLE jobsd.executions_default")
            retainer = Retainer(hurried, ready, A_WEEK)
            await retainer.tick()
            with pytest.raises(UnreachableError, match="no answer in time"):
                await retainer.tick()


async def test_two_at_once_do_it_once(ledger_url, caplog):
    async with a_ledger(ledger_url) as pool, a_pool(ledger_url) as another:
        await month_of(pool, 20 * WEEK)
        await put(pool, 20 * WEEK, 30 * WEEK, 31 * WEEK)
        async with a_keeper(pool), a_keeper(another):
            await put(pool, timedelta(0))
            await until(lambda: count(pool, "statistics"))

            await until(lambda: events(caplog, Event.PARTITION_DROPPED))
            await until(lambda: events(caplog, Event.EXECUTIONS_DELETED))
        assert len(await rows(pool)) == 1
    assert len(events(caplog, Event.PARTITION_DROPPED)) == 1
    assert [line["count"] for line in events(caplog, Event.EXECUTIONS_DELETED)] == [2]
    assert events(caplog, Event.SERVICE_FAILED) == []


async def test_behind_a_long_reader_it_gives_up_and_is_back_soon(ledger_url, caplog):
    async with a_ledger(ledger_url) as pool:
        over = await month_of(pool, 20 * WEEK)
        partitioner = Partitioner(pool, ready, Retention(10 * WEEK, {}))
        async with a_long_reader(pool):
            assert await partitioner.tick() == 600
            await put(pool, timedelta(0))
        assert events(caplog, Event.PARTITION_DROPPED) == []
        assert await partitioner.tick() == 3600
    assert [line["month"] for line in events(caplog, Event.PARTITION_DROPPED)] == [over]


async def test_a_month_that_cannot_be_made_is_said_once(ledger_url, caplog):
    async with a_ledger(ledger_url) as pool:
        last = await pool.fetchval("SELECT max(partition::text) FROM jobsd.partitions")
        await pool.execute(f"DROP TABLE {last}")
        partitioner = Partitioner(pool, ready, Retention(WEEK, {}))
        async with a_long_reader(pool):
            for _ in range(3):
                await partitioner.tick()
        await partitioner.tick()
    [told] = events(caplog, Event.PARTITION_SKIPPED)
    assert (told["month"].replace("-", "_"), told["cause"]) == (last[-7:], "busy")
    assert len(events(caplog, Event.PARTITION_MADE)) == 1


async def test_a_long_round_is_cut_and_goes_on_a_minute_later(ledger_url, monkeypatch):
    monkeypatch.setattr(retention_module, "MOST", 2)
    monkeypatch.setattr(ledger_keeper, "ROUND_S", 0.0)
    async with a_ledger(ledger_url) as pool:
        await put(pool, *(timedelta(weeks=20, hours=n) for n in range(3)))
        retainer = Retainer(pool, ready, Retention(WEEK, {}))
        assert await retainer.keep() == 0.0
        assert len(await rows(pool)) == 1
        await retainer.keep()
        assert await rows(pool) == []
        assert 3000 < await retainer.keep() < 4000


async def test_daemons_that_start_do_not_delete_first_of_all(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await put(pool, 20 * WEEK)
        retainer = Retainer(pool, ready, Retention(WEEK, {}))
        assert await retainer.tick()
        assert len(await rows(pool)) == 1
        await retainer.tick()
        assert await rows(pool) == []


async def test_after_a_full_batch_of_changes_it_folds_on_at_once(ledger_url, monkeypatch):
    monkeypatch.setattr("jobsd.records.folding.MOST", 3)
    async with a_ledger(ledger_url) as pool:
        for n in range(10):
            await write(pool, [a_record(job_id=f"{n}", task=f"{n}")])
        await Folder(pool, ready).keep()
        assert await fold(pool) == 0


async def test_it_leaves_at_once_in_the_middle_of_what_it_does(ledger_url):
    async with a_ledger(ledger_url) as pool, a_pool(ledger_url) as other:
        await put(pool, 20 * WEEK)
        async with other.transaction() as holder:
            await holder.execute("LOCK TABLE jobsd.executions_default")
            async with asyncio.timeout(5):  # the statement would wait for ten
                async with a_keeper(pool):
                    await until(lambda: lock_awaited(other))
        assert len(await rows(pool)) == 1
        async with a_keeper(pool):
            await until(lambda: count_is_zero(pool))


async def count_is_zero(pool: Pool) -> bool:
    return await count(pool, "executions") == 0
