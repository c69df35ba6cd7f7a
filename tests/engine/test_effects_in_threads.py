"""ctx.transaction() and ctx.step_transaction() of plain functions: their connection blocks."""

from __future__ import annotations

import functools
from typing import Any

import asyncpg
import pytest

from jobsd import PlainContext, task
from jobsd.errors import JobFailedError
from tests.engine.hall import a_task


async def seats(db) -> list[tuple[str, int]]:
    return [tuple(row) for row in await db.fetch("SELECT name, attempt FROM seats ORDER BY name")]


def use(conn: Any) -> list[Any]:
    """Use all that the connection has; return what was found."""
    insert = "INSERT INTO seats VALUES ($1, $2)"
    assert conn.execute(insert, "12A", 1) == "INSERT 0 1"
    conn.executemany(insert, [("12B", 2), ("12C", 3)])
    with conn.transaction():
        conn.execute(insert, "12D", 4)
    try:
        with conn.transaction(isolation="read_committed"):
            conn.execute(insert, "12E", 5)
            conn.execute("SELECT 1/0")
    except asyncpg.DivisionByZeroError:
        pass
    rows = [row["name"] for row in conn.fetch("SELECT name FROM seats ORDER BY name", timeout=5)]
    row = conn.fetchrow("SELECT name, attempt FROM seats WHERE attempt = $1", 2)
    return [rows, dict(row), conn.fetchval("SELECT count(*) FROM seats")]


FOUND = [["12A", "12B", "12C", "12D"], {"name": "12B", "attempt": 2}, 4]
WRITTEN = [("12A", 1), ("12B", 2), ("12C", 3), ("12D", 4)]


async def test_the_connection_of_its_transaction_blocks(hall, db):
    def book(ctx: PlainContext) -> list[Any]:
        with ctx.transaction() as conn:
            return use(conn)

    hall.open(a_task(book, retries=0), db=db)
    assert await hall.result(await hall.client.enqueue("book")) == FOUND
    assert await seats(db) == WRITTEN


async def test_so_does_that_of_its_steps(hall, db):
    def book(ctx: PlainContext) -> list[Any]:
        return ctx.step_transaction("book", use)

    hall.open(a_task(book, retries=0), db=db)
    assert await hall.result(await hall.client.enqueue("book")) == FOUND
    assert await seats(db) == WRITTEN


async def reserve(conn: Any, seat: str, *, attempt: int) -> str:
    await conn.execute("INSERT INTO seats VALUES ($1, $2)", seat, attempt)
    return seat


class Reserves:
    async def __call__(self, conn: Any, seat: str) -> str:
        return await reserve(conn, seat, attempt=2)


async def test_an_async_function_of_a_step_has_the_one_that_does_not(hall, db):
    def book(ctx: PlainContext) -> list[str]:
        partly = functools.partial(reserve, attempt=1)
        return [ctx.step_transaction("a", partly, "12A"), ctx.step_transaction("b", Reserves(), "12B")]

    hall.open(a_task(book, retries=0), db=db)
    assert await hall.result(await hall.client.enqueue("book")) == ["12A", "12B"]
    assert await seats(db) == [("12A", 1), ("12B", 2)]


async def test_what_the_connection_does_not_have_goes_by_wait(hall, db):
    def book(ctx: PlainContext) -> str:
        with ctx.transaction() as conn:
            return ctx.wait(reserve(conn.connection, "12A", attempt=1))

    hall.open(a_task(book, retries=0), db=db)
    assert await hall.result(await hall.client.enqueue("book")) == "12A"
    assert await seats(db) == [("12A", 1)]


async def test_it_says_how_the_rest_is_called(hall, db):
    def book(ctx: PlainContext) -> None:
        with ctx.transaction() as conn:
            conn.copy_to_table("seats")

    hall.open(a_task(book, retries=0), db=db)
    told = (
        "the connection of a plain function has execute, executemany, fetch, fetchrow, fetchval and transaction; "
        "for the rest there is asyncpg's: ctx.wait(conn.connection.copy_to_table(…))"
    )
    with pytest.raises(JobFailedError) as failed:
        await hall.result(await hall.client.enqueue("book"))
    assert (failed.value.error_type, failed.value.message) == ("AttributeError", told)


async def test_a_job_is_enqueued_in_it(hall, db):
    @task("in-threads:next")
    async def following(ctx) -> None:
        pass

    def book(ctx: PlainContext) -> str:
        with ctx.transaction() as conn:
            return ctx.enqueue(following.opts(conn=conn)).id

    hall.open(a_task(book, retries=0), db=db)
    job_id = await hall.result(await hall.client.enqueue("book"))
    assert await db.fetchval("SELECT job_id FROM jobsd.outbox WHERE job_id = $1", job_id) == job_id
    await db.execute("DELETE FROM jobsd.outbox")
