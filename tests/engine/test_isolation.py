"""What holds in the transactions of tasks, whatever the database and its roles have as defaults."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.engine.hall import a_task
from tests.engine.test_effects_again import LOST, hand_out_again
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(params=["repeatable read", "serializable"])
async def strict(ledger_of_effects, db, request) -> AsyncIterator[Any]:
    """Return a pool for tasks, of a role with that default; ``db`` has emptied the tables."""
    settings = {"default_transaction_isolation": request.param}
    pool = await asyncpg.create_pool(ledger_of_effects, min_size=0, max_size=5, server_settings=settings)
    yield pool
    pool.terminate()


async def commits(ctx, act: Any) -> int:
    async with ctx.transaction() as conn:
        ctx.set_result(ctx.attempt)
        return await act(conn, ctx.attempt)


async def steps(ctx, act: Any) -> int:
    return await ctx.step_transaction("reserve", act, ctx.attempt)


@pytest.mark.parametrize("way", [commits, steps])
async def test_who_has_waited_for_a_run_that_committed_ends_as_that_did(hall, db, strict, way):
    inside, go_on, levels = asyncio.Event(), asyncio.Event(), []

    async def take_seat(conn, attempt: int) -> int:
        levels.append(await conn.fetchval("SHOW transaction_isolation"))
        await conn.execute("INSERT INTO seats VALUES ('12A', $1)", attempt)
        inside.set()
        await go_on.wait()
        return attempt

    async def book(ctx) -> int:
        return await way(ctx, take_seat)

    async def one_waits() -> bool:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO jobsd.%'"
        return await db.fetchval(asked) == 1

    hall.open(a_task(book, retries=0), db=strict)
    reference = await hall.client.enqueue("book")
    await inside.wait()
    await hand_out_again(hall, reference, LOST)
    await until(one_waits)
    go_on.set()
    assert await hall.result(reference) == 1
    assert await db.fetch("SELECT attempt FROM seats") == [(1,)]
    assert levels == ["read committed"]


@pytest.mark.parametrize("way", [commits, steps])
async def test_after_a_minute_without_a_statement_postgres_ends_it(hall, db, way):
    told = []

    async def ask(conn, _: int) -> str:
        return await conn.fetchval("SHOW idle_in_transaction_session_timeout")

    async def book(ctx) -> None:
        told.append(await way(ctx, ask))

    hall.open(book, db=db)
    await hall.result(await hall.client.enqueue("book"))
    assert told == ["1min"]
