"""Where a run has ended nothing of it begins to commit any more; and what was committed by hand is said."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import JobState
from jobsd.errors import StepError, TransactionError
from jobsd.events import Event
from tests.engine.hall import BASE, a_task, said, side_of
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

OVER = "the function of this run has ended; it has to await what it begins"
BY_HAND = "COMMIT was said by hand, inside of its block"


@pytest.fixture(autouse=True)
def all_is_heard(caplog) -> None:
    caplog.set_level(logging.INFO, logger="jobsd")


async def seats(db) -> list[int]:
    return [row["attempt"] for row in await db.fetch("SELECT attempt FROM seats ORDER BY attempt")]


async def archived(reference) -> bool:
    return await reference.status() is JobState.ARCHIVED


class Orphan:
    """Work that a function begins and does not wait for; ``failed`` is how it ended."""

    def __init__(self) -> None:
        self.inside = asyncio.Event()
        self.go_on = asyncio.Event()
        self.work: asyncio.Task[None] | None = None

    def leave(self, work: Coroutine[Any, Any, None]) -> None:
        self.work = asyncio.create_task(work)

    async def failed(self) -> BaseException | None:
        async with asyncio.timeout(20):
            await asyncio.wait({self.work})
        return self.work.exception()


async def while_it_opens(orphan: Orphan, ctx, db) -> None:
    async with ctx.transaction() as conn:
        await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)


async def while_it_is_open(orphan: Orphan, ctx, db) -> None:
    async with ctx.transaction() as conn:
        await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
        orphan.inside.set()
        await orphan.go_on.wait()


async def before_it_begins(orphan: Orphan, ctx, db) -> None:
    orphan.inside.set()
    await orphan.go_on.wait()
    await while_it_opens(orphan, ctx, db)


async def in_a_step(orphan: Orphan, ctx, db) -> None:
    async def reserve(conn) -> None:
        await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
        orphan.inside.set()
        await orphan.go_on.wait()

    await ctx.step_transaction("reserve", reserve)


async def before_a_step(orphan: Orphan, ctx, db) -> None:
    orphan.inside.set()
    await orphan.go_on.wait()
    await ctx.step("charge", asyncio.sleep, 0)


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (while_it_opens, TransactionError(OVER)),
        (while_it_is_open, TransactionError(OVER)),
        (before_it_begins, TransactionError(OVER)),
        (in_a_step, StepError(step="reserve", problem=OVER)),
        (before_a_step, StepError(step="charge", problem=OVER)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_what_a_function_leaves_behind_commits_nothing_after_its_end(
    hall, db, work: Callable[..., Coroutine[Any, Any, None]], error
):
    orphan = Orphan()

    async def books(ctx) -> None:
        orphan.leave(work(orphan, ctx, db))
        if work is while_it_opens:
            await asyncio.sleep(0)
        else:
            await orphan.inside.wait()
        raise LookupError("no such flight")

    hall.open(a_task(books, retries=0), db=db)
    reference = await hall.client.enqueue("books")
    await until(lambda: archived(reference))
    orphan.go_on.set()
    failed = await orphan.failed()
    assert (type(failed), str(failed)) == (type(error), str(error))
    assert await seats(db) == []
    assert await db.fetchval("SELECT count(*) FROM jobsd.effects") == 0
    assert await db.fetchval("SELECT count(*) FROM jobsd.steps") == 0


async def test_a_transaction_that_another_run_has_done_is_done_in_a_task_group_too(hall, db):
    async def book(ctx) -> None:
        async with ctx.transaction():
            ctx.set_result(ctx.attempt)
        await hall.redis.hset(f"{BASE}:side", ctx.job_id, '{"n":1}')

    async def books(ctx) -> str:
        if ctx.attempt == 1:
            await book(ctx)
            await hall.redis.delete(f"arq:in-progress:{ctx.job_id}")
            await hall.redis.zrem(f"{BASE}:active", ctx.job_id)
            await hall.redis.zadd(BASE, {ctx.job_id: 1})
            await hall.redis.lpush(f"{BASE}:wake", 1)
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(book(ctx))
        return "never"

    hall.open(a_task(books, retries=0), db=db, lease="1s")
    assert await hall.result(await hall.client.enqueue("books")) == 1


# --- COMMIT by hand ---------------------------------------------------------------------------------


async def in_the_transaction(ctx, then: BaseException | None) -> None:
    async with ctx.transaction() as conn:
        await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
        ctx.set_result("12A")
        await conn.execute("COMMIT")
        if then is not None:
            raise then


async def in_a_step_transaction(ctx, then: BaseException | None) -> None:
    async def reserve(conn) -> str:
        await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
        await conn.execute("COMMIT")
        if then is not None:
            raise then
        return "12A"

    await ctx.step_transaction("reserve", reserve)


@pytest.mark.parametrize("way", [in_the_transaction, in_a_step_transaction])
async def test_a_commit_by_hand_stands_and_is_said(hall, db, caplog, way):
    async def book(ctx) -> str:
        await way(ctx, None)
        return "12A"

    hall.open(a_task(book, retries=0), db=db)
    reference = await hall.client.enqueue("book")
    assert await hall.result(reference) == "12A"
    assert await seats(db) == [1]
    [line] = said(caplog, Event.TRANSACTION_COMMITTED_BY_HAND)
    assert (line.levelname, line.job_id, line.cause) == ("WARNING", reference.id, BY_HAND)
    assert [line for line in caplog.records if line.name == "asyncio"] == []


async def test_after_a_commit_by_hand_the_job_has_succeeded_whatever_the_block_raises(hall, db, caplog):
    async def book(ctx) -> None:
        await in_the_transaction(ctx, LookupError("no paper"))

    hall.open(a_task(book, retries=0), db=db, records=True)
    reference = await hall.client.enqueue("book")
    assert await hall.result(reference) == "12A"
    [execution] = await hall.executions(1)
    assert execution.message == "its effect is committed; afterwards LookupError: no paper"
    assert len(said(caplog, Event.TRANSACTION_COMMITTED_BY_HAND)) == 1
    assert await db.fetchval("SELECT result FROM jobsd.effects") == '"12A"'


async def test_a_step_that_commits_by_hand_and_raises_is_done(hall, db, caplog):
    async def book(ctx) -> str:
        await in_a_step_transaction(ctx, LookupError("no paper") if ctx.attempt == 1 else None)
        return "done"

    hall.open(a_task(book), db=db)
    reference = await hall.client.enqueue("book")
    await until(lambda: hall.redis.hexists(f"{BASE}:side", reference.id))
    assert (await side_of(hall, reference.id))["e"] == ["LookupError", "no paper"]
    assert len(said(caplog, Event.TRANSACTION_COMMITTED_BY_HAND)) == 1
    await hall.redis.zadd(BASE, {reference.id: 1})
    await hall.redis.lpush(f"{BASE}:wake", 1)
    assert await hall.result(reference) == "done"
    assert await seats(db) == [1]
