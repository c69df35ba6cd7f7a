"""What no retry can mend is archived at once, whatever retries are left; what one can mend is retried."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import pytest

from jobsd import PlainContext, fixed
from jobsd.errors import JobFailedError, NotConfiguredError, StepError, TransactionError
from jobsd.records import steps
from tests.engine.hall import a_task

AT_ONCE = fixed("0s")


async def nothing(*_: object) -> None:
    pass


async def has_no_key(ctx) -> None:
    await ctx.step(nothing)


async def has_a_key_twice(ctx) -> None:
    await ctx.step("charge", nothing)
    await ctx.step("charge", nothing)


async def returns_no_json_from_a_transaction(ctx) -> None:
    await ctx.step_transaction("reserve", lambda _: object())


async def has_a_step_in_its_block(ctx) -> None:
    async with ctx.transaction():
        await ctx.step("charge", nothing)


async def has_a_block_in_its_block(ctx) -> None:
    async with ctx.transaction(), ctx.transaction():
        pass


async def has_a_block_in_a_step(ctx) -> None:
    await ctx.step_transaction("reserve", lambda _: ctx.transaction().__aenter__())


async def sets_its_result_outside(ctx) -> None:
    ctx.set_result(1)


async def sets_a_result_that_is_no_json(ctx) -> None:
    async with ctx.transaction():
        ctx.set_result(object())


async def does_it_in_a_group(ctx) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(ctx.step("charge", object))


def does_it_in_a_thread(ctx: PlainContext) -> None:
    ctx.step("charge", object)


@pytest.mark.parametrize(
    ("work", "kind"),
    [
        (has_no_key, StepError),
        (has_a_key_twice, StepError),
        (returns_no_json_from_a_transaction, StepError),
        (has_a_step_in_its_block, StepError),
        (has_a_block_in_its_block, TransactionError),
        (has_a_block_in_a_step, TransactionError),
        (sets_its_result_outside, TransactionError),
        (sets_a_result_that_is_no_json, TransactionError),
        (does_it_in_a_group, ExceptionGroup),
        (does_it_in_a_thread, StepError),
    ],
)
async def test_what_breaks_a_rule_is_archived_at_once(hall, db, work, kind):
    worker = hall.open(a_task(work, backoff=AT_ONCE), db=db)
    assert await error_of(hall, work.__name__) == kind.__name__
    assert worker.ended == {"A": 1}


async def error_of(hall, task: str) -> str | None:
    with pytest.raises(JobFailedError, match=r"^job ") as failed:
        await hall.result(await hall.client.enqueue(task))
    return failed.value.error_type


async def test_a_step_whose_result_cannot_be_kept_is_called_once(hall, db):
    charged = []

    async def charge() -> object:
        charged.append("5 EUR")
        return object()

    async def sell(ctx) -> None:
        await ctx.step("charge", charge)

    hall.open(a_task(sell, backoff=AT_ONCE), db=db)
    assert await error_of(hall, "sell") == "StepError"
    assert charged == ["5 EUR"]


async def commits(ctx) -> None:
    async with ctx.transaction():
        pass


async def steps_once(ctx) -> None:
    await ctx.step("charge", nothing)


async def asks(ctx) -> None:
    await ctx.db.fetchval("SELECT 1")


async def sleeps(ctx) -> None:
    await ctx.sleep("1s")


@pytest.mark.parametrize("work", [commits, steps_once, asks, sleeps])
async def test_what_a_daemon_without_a_database_cannot_do_is_archived_at_once(hall, work):
    worker = hall.open(a_task(work, backoff=AT_ONCE))
    assert await error_of(hall, work.__name__) == NotConfiguredError.__name__
    assert worker.ended == {"A": 1}


@pytest.mark.parametrize("work", [commits, steps_once])
async def test_a_pool_of_another_kind_is_archived_at_once(hall, work):
    worker = hall.open(a_task(work, backoff=AT_ONCE), db="a pool of psycopg's")
    assert await error_of(hall, work.__name__) == TransactionError.__name__
    assert worker.ended == {"A": 1}


async def test_a_statement_that_fails_may_go_well_on_the_next_attempt(hall, db):
    async def sell(ctx) -> int:
        async with ctx.transaction() as conn:
            if ctx.attempt == 1:
                with contextlib.suppress(asyncpg.DivisionByZeroError):
                    await conn.execute("SELECT 1/0")
        return ctx.attempt

    hall.open(a_task(sell, backoff=AT_ONCE), db=db)
    assert await hall.result(await hall.client.enqueue("sell")) == 2


async def test_a_step_that_could_not_be_noted_because_postgres_was_away_is_tried_again(hall, db, wired, monkeypatch):
    monkeypatch.setattr(steps, "SETTLED_WITHIN_S", 0.2)
    wire, pool = wired
    called = []

    async def charge(attempt: int) -> int:
        called.append(attempt)
        if attempt == 1:
            wire.shut = True
            await pool.expire_connections()
        return attempt

    async def sell(ctx) -> int:
        wire.shut = False
        return await ctx.step("charge", charge, ctx.attempt)

    hall.open(a_task(sell, backoff=AT_ONCE), db=pool)
    assert await hall.result(await hall.client.enqueue("sell")) == 2
    assert called == [1, 2]
