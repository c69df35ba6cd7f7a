"""``run`` of tasks that have effects in Postgres: with the pool that a test hands over."""

from __future__ import annotations

import asyncio

import pytest

from jobsd import Context, enqueue, task
from jobsd.errors import NotConfiguredError, TransactionError
from jobsd.records.pool import open_task_pool
from jobsd.testing import capture, run
from tests.records.ledger import a_ledger


@task("in-place:book")
async def book(ctx: Context, seat: str, *, then: str = "") -> str:
    charged = await ctx.step("charge", lambda: f"charged on attempt {ctx.attempt}")
    async with ctx.transaction():
        ctx.set_result([seat, charged])
    if then:
        raise LookupError(then)
    return "returned"


async def test_without_a_pool_it_says_what_is_missing() -> None:
    with pytest.raises(NotConfiguredError, match=r"^no address for Postgres: "):
        await run(book, "12A")


async def test_with_a_pool_it_commits_once_and_remembers_its_steps(database_url: str) -> None:
    async with a_ledger(database_url):
        pool = await open_task_pool(database_url)
        here = run.given(shared={"db": pool})
        assert await here(book, "12A") == ["12A", "charged on attempt 1"]
        with pytest.raises(LookupError, match=r"^no paper$"):
            await here(book, "12A", then="no paper")
        with capture() as jobs:
            await enqueue(book, "12B")
        again = run.given(shared={"db": pool}, attempt=2)
        assert await here.captured(jobs[0]) == await again.captured(jobs[0]) == ["12B", "charged on attempt 1"]
        assert await pool.fetchval("SELECT count(*) FROM jobsd.effects") == 3
        await pool.close()


async def test_what_a_task_leaves_behind_commits_nothing(database_url: str) -> None:
    orphans: list[asyncio.Task[None]] = []

    @task("in-place:leaves")
    async def leaves(ctx: Context) -> None:
        async def late() -> None:
            async with ctx.transaction():
                pass

        orphans.append(asyncio.create_task(late()))

    pool = await open_task_pool(database_url)
    await run.given(shared={"db": pool})(leaves)
    with pytest.raises(TransactionError, match=r"^the function of this run has ended; it has to await what it begins$"):
        await orphans[0]
    await pool.close()
