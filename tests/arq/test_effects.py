"""What ctx has for effects in Postgres works in arq's functions, where their ctx has a pool as "db"."""

from __future__ import annotations

import asyncio

from arq.worker import func

from jobsd.records.pool import open_task_pool
from tests.records.ledger import a_ledger


async def test_an_arq_function_commits_once_whatever_follows_and_sleeps_without_a_slot(office, database_url) -> None:
    tries = []

    async def book(ctx, seat: str) -> None:
        tries.append(ctx.attempt)
        await ctx.sleep("10ms")
        async with ctx.transaction() as conn:
            await conn.execute("CREATE TABLE seats AS SELECT $1::text AS name", seat)
            ctx.set_result({"seat": seat, "key": ctx.idempotency_key})
        raise LookupError("no paper")

    async with a_ledger(database_url):
        pool = await open_task_pool(database_url)
        job = await office.jobs.enqueue_job("book", "12A")
        await office.burst(func(book, name="book", max_tries=1), ctx={"db": pool})
        result = await job.result(timeout=5)
        assert result["seat"] == "12A"
        assert result["key"].startswith(f"{job.job_id}-")
        assert tries == [1, 2]
        assert await pool.fetchval("SELECT count(*) FROM seats") == 1
        await pool.close()


async def test_a_database_of_another_kind_in_an_arq_ctx_is_left_alone(office) -> None:
    async def works(ctx) -> str:
        await asyncio.sleep(0)
        return ctx["db"]

    job = await office.jobs.enqueue_job("works")
    await office.redis.hset("arq:queue:side", job.job_id, '{"n": 1, "l": 1}')
    await office.burst(func(works, name="works"), ctx={"db": "an engine of SQLAlchemy's"})
    assert await job.result(timeout=5) == "an engine of SQLAlchemy's"
