"""A daemon that brings the schema up to date makes the views too, once, whenever Postgres is there."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from jobsd.events import Event
from jobsd.records.pool import open_pool
from jobsd.relay.intake import Intake
from jobsd.relay.recorder import Recorder
from tests.records.ledger import a_ledger
from tests.relay.conveyor import a_belt, a_gate, values
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.relay.conveyor import Belt

VIEWS = "SELECT count(*) FROM pg_views WHERE schemaname = 'public' AND viewname IN ('job_executions', 'job_log')"


@asynccontextmanager
async def recording(belt: Belt, url: str, views: str | None) -> AsyncIterator[Recorder]:
    pool, stream = await open_pool(url), belt.stream()
    recorder = Recorder(stream, pool, migrate="auto", views=views, intake=Intake(stream, block_ms=20))
    running = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        recorder.stop()
        await running
        await pool.close()


async def test_the_recorder_makes_them_before_its_first_row(redis_url, database_url):
    async with a_belt(redis_url, database_url) as belt:
        await belt.put(values("a"))
        async with recording(belt, database_url, "public") as recorder:
            await until(lambda: recorder.recorded == 1)
            assert await belt.pool.fetchval(VIEWS) == 2
            assert await belt.pool.fetchval("SELECT count(*) FROM job_executions") == 1


async def test_without_a_schema_for_them_it_makes_none(redis_url, database_url):
    async with a_belt(redis_url, database_url) as belt:
        await belt.put(values("a"))
        async with recording(belt, database_url, None) as recorder:
            await until(lambda: recorder.recorded == 1)
        assert await belt.pool.fetchval(VIEWS) == 0


async def test_postgres_that_comes_later_gets_them_and_a_taken_name_is_said_once(redis_url, database_url, caplog):
    async with a_ledger(database_url) as pool:
        await pool.execute("CREATE TABLE public.job_log (mine int)")
    async with (
        a_gate(database_url) as gate,
        a_belt(redis_url, database_url) as belt,
        recording(belt, gate.url, "public") as recorder,
    ):
        await belt.put(values("a"))
        await until(lambda: Event.POSTGRES_UNREACHABLE in caplog.messages)
        await gate.open()
        await until(lambda: recorder.recorded == 1)
        assert await belt.pool.fetchval(VIEWS) == 1
        await gate.shut()
        await belt.put(values("b"))
        await until(lambda: caplog.messages.count(Event.POSTGRES_UNREACHABLE) == 2)
        await gate.open()
        await until(lambda: recorder.recorded == 2)
    assert caplog.messages.count(Event.VIEW_SKIPPED) == 1


async def test_a_schema_that_does_not_exist_stops_no_record(redis_url, database_url, caplog):
    async with a_belt(redis_url, database_url) as belt:
        await belt.put(values("a"))
        async with recording(belt, database_url, "reprots") as recorder:
            await until(lambda: recorder.recorded == 1)
    [line] = [record for record in caplog.records if record.msg == Event.VIEW_SKIPPED]
    assert "has no schema 'reprots'" in line.__dict__["cause"]
