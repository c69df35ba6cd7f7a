"""What ctx.transaction() refuses, and how it says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from pydantic import SecretStr

from jobsd.errors import TransactionError
from jobsd.records.pool import open_task_pool
from tests.engine.hall import a_task, expire
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobsd import PlainContext

ONE = "a job has one ctx.transaction(); for several use ctx.step_transaction"
INSIDE = "ctx.set_result() has its place inside of ctx.transaction()"


async def ended(hall, work: Callable[..., Awaitable[Any]], **options: Any) -> tuple[str, str | None, str | None]:
    """Run a job of which no attempt follows; return its transition, and error or message."""

    async def works(ctx) -> Any:
        return await work(ctx)

    hall.open(a_task(works, retries=0, timeout="10s"), records=True, **options)
    await hall.client.enqueue("works")
    [execution] = await hall.executions(1)
    return execution.transition, execution.error_type, execution.message


async def test_a_second_transaction_is_refused_and_the_first_stands(hall, db):
    async def work(ctx) -> None:
        for _ in range(2):
            async with ctx.transaction() as conn:
                await conn.execute("INSERT INTO seats VALUES ('12A', 1)")

    told = f"its effect is committed; afterwards TransactionError: {ONE}"
    assert await ended(hall, work, db=db) == ("completed", None, told)
    assert await db.fetchval("SELECT count(*) FROM seats") == 1


async def test_a_transaction_inside_of_another_is_refused(hall, db):
    async def work(ctx) -> None:
        async with ctx.transaction(), ctx.transaction():
            pass

    assert await ended(hall, work, db=db) == ("archived", "TransactionError", ONE)
    assert await db.fetchval("SELECT count(*) FROM jobsd.effects") == 0


async def test_after_a_rollback_the_same_attempt_may_try_again(hall, db):
    async def work(ctx) -> None:
        try:
            async with ctx.transaction() as conn:
                await conn.execute("INSERT INTO seats VALUES ('12A', 1)")
                await conn.execute("SELECT 1/0")
        except asyncpg.DivisionByZeroError:
            async with ctx.transaction() as conn:
                await conn.execute("INSERT INTO seats VALUES ('12B', 1)")

    assert await ended(hall, work, db=db) == ("completed", None, None)
    assert await db.fetchval("SELECT string_agg(name, ',') FROM seats") == "12B"


async def test_a_result_is_set_inside_of_the_block(hall, db):
    async def work(ctx) -> None:
        ctx.set_result(1)

    assert await ended(hall, work, db=db) == ("archived", "TransactionError", INSIDE)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (object(), "it is not JSON: Unable to serialize unknown type: <class 'object'>"),
        ("x" * 300_000, "it is 300,002 bytes; the limit is 262,144"),
        (
            {"key": SecretStr("abc")},
            "it holds a secret, which anybody could read in the database; return what leads to it",
        ),
    ],
    ids=["no JSON", "too large", "secret"],
)
async def test_a_result_that_cannot_be_kept_undoes_the_block(hall, db, value, problem):
    async def work(ctx) -> None:
        async with ctx.transaction():
            ctx.set_result(value)

    transition, kind, message = await ended(hall, work, db=db)
    assert (transition, kind) == ("archived", "TransactionError")
    assert message.startswith(f"the result cannot be kept with the transaction: {problem}")
    assert await db.fetchval("SELECT count(*) FROM jobsd.effects") == 0


async def test_an_asterisk_is_no_secret(hall, db):
    async def work(ctx) -> None:
        async with ctx.transaction():
            ctx.set_result("**********")

    assert (await ended(hall, work, db=db))[0] == "completed"


@pytest.mark.parametrize("sets", [True, False])
async def test_a_failed_statement_whose_error_was_caught_commits_nothing_and_says_so(hall, db, sets):
    async def work(ctx) -> None:
        async with ctx.transaction() as conn:
            await conn.execute("INSERT INTO seats VALUES ('12A', 1)")
            with contextlib.suppress(asyncpg.DivisionByZeroError):
                await conn.execute("SELECT 1/0")
            if sets:
                ctx.set_result(1)

    told = (
        "nothing is committed: a statement in it failed and its error was caught;"
        " catch it around a nested `async with conn.transaction()`"
    )
    assert await ended(hall, work, db=db) == ("archived", "TransactionError", told)


async def test_in_a_nested_transaction_of_the_connection_it_may_be_caught(hall, db):
    async def work(ctx) -> None:
        async with ctx.transaction() as conn:
            await conn.execute("INSERT INTO seats VALUES ('12A', 1)")
            try:
                async with conn.transaction():
                    await conn.execute("SELECT 1/0")
            except asyncpg.DivisionByZeroError:
                pass

    assert await ended(hall, work, db=db) == ("completed", None, None)
    assert await db.fetchval("SELECT count(*) FROM seats") == 1


async def test_a_rollback_by_hand_commits_nothing_and_says_so(hall, db):
    async def work(ctx) -> None:
        async with ctx.transaction() as conn:
            await conn.execute("ROLLBACK")

    told = "nothing is committed: it was rolled back inside of its block"
    assert await ended(hall, work, db=db) == ("archived", "TransactionError", told)


async def test_without_a_database_it_says_what_to_set(hall):
    async def work(ctx) -> None:
        async with ctx.transaction():
            pass

    told = "no address for Postgres: set JOBSD_DATABASE_URL for the daemon"
    assert await ended(hall, work) == ("archived", "NotConfiguredError", told)


async def test_without_the_ledgers_tables_it_says_what_to_run(hall, database_url):
    async def work(ctx) -> None:
        async with ctx.transaction():
            pass

    pool = await open_task_pool(database_url)
    told = 'relation "jobsd.effects" does not exist; run `jobsd migrate`'
    assert await ended(hall, work, db=pool) == ("archived", "SchemaError", told)
    await pool.close()


async def test_another_librarys_pool_is_refused(hall):
    async def work(ctx) -> None:
        async with ctx.transaction():
            pass

    told = "ctx[\"db\"] is 'a pool'; ctx.transaction() and steps need a pool of asyncpg's"
    assert await ended(hall, work, db="a pool") == ("archived", "TransactionError", told)


async def test_an_id_that_postgres_would_not_take_is_no_hindrance(hall, db):
    async def works(ctx) -> None:
        async with ctx.transaction():
            ctx.set_result(ctx.attempt)

    worker = hall.open(works, db=db)
    payload = json.dumps({"t": None, "f": "works", "a": [], "k": {}, "et": 1})
    await hall.redis.set(b"arq:job:a\x00b", payload)
    await hall.redis.zadd("jobsd:{main}:default", {b"a\x00b": 1})
    await hall.redis.lpush("jobsd:{main}:default:wake", 1)
    await until(lambda: worker.ended["C"])
    assert await db.fetchval("SELECT job_id FROM jobsd.effects") == r"a\x00b"


async def test_a_thread_that_is_interrupted_in_the_block_leaves_nothing_behind(hall, db):
    inside = asyncio.Event()

    async def waits() -> None:
        inside.set()
        await asyncio.Event().wait()

    def books(ctx: PlainContext) -> None:
        with ctx.transaction() as conn:
            conn.execute("INSERT INTO seats VALUES ('12A', 1)")
            ctx.wait(waits())

    worker = hall.open(a_task(books, retries=0), db=db, records=True)
    await hall.client.enqueue("books")
    await inside.wait()
    expire(worker)
    [execution] = await hall.executions(1)
    assert execution.outcome == "timed_out"
    assert await db.fetchval("SELECT count(*) FROM seats") == 0
    busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
    await until(lambda: is_none(db, busy))


async def is_none(db, query: str) -> bool:
    return await db.fetchval(query) == 0


async def test_a_block_that_was_never_left_is_undone_with_the_end_of_its_run(hall, db):
    blocks = []

    async def work(ctx) -> None:
        blocks.append(ctx.transaction())
        conn = await blocks[0].__aenter__()
        await conn.execute("INSERT INTO seats VALUES ('12A', 1)")

    assert await ended(hall, work, db=db) == ("completed", None, None)
    await until(lambda: is_none(db, "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"))
    assert await db.fetchval("SELECT count(*) FROM jobsd.effects") == 0
    with pytest.raises(TransactionError, match=r"^the function of this run has ended; it has to await what it begins$"):
        await blocks[0].__aexit__(None, None, None)
