"""COMMITs whose answer never came: what became of them is found out, not guessed."""

from __future__ import annotations

import asyncio
import logging

import asyncpg
import pytest

from jobsd import JobState, PlainContext, fixed
from jobsd.engine import effects
from jobsd.errors import InDoubtError
from jobsd.events import Event
from jobsd.outcome import AlreadyDone
from jobsd.records import once
from tests.engine.hall import a_task, expire, said, side_of
from tests.engine.test_effects_again import LOST, hand_out_again
from tests.waiting import until

AT_ONCE = fixed("0s")


@pytest.fixture(autouse=True)
def all_is_heard(caplog) -> None:
    caplog.set_level(logging.INFO, logger="jobsd")


async def seats(db) -> list[int]:
    return [row["attempt"] for row in await db.fetch("SELECT attempt FROM seats ORDER BY attempt")]


async def book(ctx) -> str:
    async with ctx.transaction() as conn:
        await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
        ctx.set_result(ctx.attempt)
    return "returned"


def book_in_thread(ctx: PlainContext) -> None:
    with ctx.transaction() as conn:
        conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
        ctx.set_result(ctx.attempt)


@pytest.mark.parametrize("task", [book, book_in_thread])
async def test_a_commit_whose_answer_is_lost_is_known_to_have_happened(hall, db, wired, task, caplog):
    wire, pool = wired
    wire.ways = ["unheard"]
    hall.open(task, db=pool)
    assert await hall.result(await hall.client.enqueue(task.__name__)) == 1
    assert await seats(db) == [1]
    assert wire.ways == []
    assert said(caplog, Event.EFFECT_FOUND) == [], "it is its own, and the function goes on"


async def test_a_commit_that_never_came_is_known_not_to_have_happened_and_the_job_is_tried_again(hall, db, wired):
    wire, pool = wired
    wire.ways = ["unsent"]
    hall.open(a_task(book, backoff=AT_ONCE), db=pool, records=True)
    assert await hall.result(await hall.client.enqueue("book")) == 2
    assert await seats(db) == [2]
    first, _ = await hall.executions(2)
    assert (first.outcome, first.error_type) == ("failed", "ConnectionDoesNotExistError")


async def test_a_commit_that_never_came_while_another_runs_did_ends_with_that_ones_result(hall, db, wired):
    wire, pool = wired
    wire.ways = ["unsent"]
    inside, go_on, went_on = asyncio.Event(), asyncio.Event(), []

    async def book_slowly(ctx) -> None:
        try:
            async with ctx.transaction() as conn:
                await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
                ctx.set_result(ctx.attempt)
                inside.set()
                await go_on.wait()
        except AlreadyDone:
            went_on.append((ctx.attempt, "as done"))
            raise
        went_on.append((ctx.attempt, "as committed"))

    hall.open(a_task(book_slowly, retries=0), db=pool)
    reference = await hall.client.enqueue("book_slowly")
    await inside.wait()
    await hand_out_again(hall, reference, LOST)
    await until(lambda: somebody_waits(db))
    go_on.set()
    assert await hall.result(reference) == 2
    await until(lambda: len(went_on) == 2)
    assert sorted(went_on) == [(1, "as done"), (2, "as committed")]
    assert await seats(db) == [2]


async def test_a_commit_that_comes_after_its_connection_is_lost_is_waited_for(hall, db, wired):
    wire, pool = wired
    wire.ways = ["late"]
    hall.open(a_task(book, retries=0), db=pool)
    reference = await hall.client.enqueue("book")
    await until(lambda: somebody_waits(db))
    wire.go_on.set()
    assert await hall.result(reference) == 1
    assert await seats(db) == [1]


async def somebody_waits(db) -> bool:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO jobsd.effects%'"
    return await db.fetchval(asked) == 1


async def test_where_postgres_is_away_afterwards_the_job_waits_at_no_cost_and_its_next_attempt_asks_first(
    hall, db, wired, monkeypatch
):
    monkeypatch.setattr(once, "SETTLED_WITHIN_S", 0.2)
    wire, pool = wired
    called = []

    async def book_and_shut(ctx) -> None:
        called.append(ctx.attempt)
        try:
            async with ctx.transaction() as conn:
                await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
                ctx.set_result(ctx.attempt)
                wire.ways, wire.shut = ["unheard"], True
        except InDoubtError:
            pass  # to swallow it decides nothing

    hall.open(a_task(book_and_shut, retries=0, no_retry_on=(Exception,), backoff=fixed("1h")), db=pool)
    reference = await hall.client.enqueue("book_and_shut")
    await until(lambda: retries(reference))
    kind, message = (await side_of(hall, reference.id))["e"]
    assert kind == "InDoubtError"
    assert message.startswith(f"nobody can say whether what job {reference.id} did is committed: ")
    assert "f" not in await side_of(hall, reference.id)
    wire.shut = False
    await hall.redis.zadd("jobsd:{main}:default", {reference.id: 1})
    await hall.redis.lpush("jobsd:{main}:default:wake", 1)
    assert await hall.result(reference) == 1
    assert called == [1]
    assert await seats(db) == [1]


async def retries(reference) -> bool:
    return await reference.status() is JobState.RETRY


@pytest.mark.parametrize("task", [book, book_in_thread])
async def test_a_timeout_during_the_commit_waits_for_its_answer(hall, db, wired, task, caplog):
    wire, pool = wired
    wire.ways = ["held"]
    worker = hall.open(a_task(task, timeout="1h", retries=0), db=pool)
    reference = await hall.client.enqueue(task.__name__)
    await wire.at_commit.wait()
    expire(worker)
    wire.go_on.set()
    assert await hall.result(reference) == 1
    assert await seats(db) == [1]
    [line] = said(caplog, Event.EFFECT_KEPT)
    assert line.cause == "TimeoutError: timed out after 3600 s"


async def test_a_timeout_during_a_commit_that_fails_is_a_timeout(hall, db, wired):
    wire, pool = wired
    wire.ways = ["held"]

    async def book_late(ctx) -> None:
        async with ctx.transaction() as conn:
            await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
        return ctx.attempt

    worker = hall.open(a_task(book_late, timeout="1h", retries=0), db=pool, records=True)
    await hall.client.enqueue("book_late")
    await wire.at_commit.wait()
    expire(worker)
    await db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'")
    wire.go_on.set()
    first, *_ = await hall.executions(1)
    assert first.outcome == "timed_out"
    assert await db.fetchval("SELECT count(*) FROM seats WHERE attempt = 1") == 0


async def test_a_commit_that_is_not_answered_in_time_after_a_stop_leaves_the_job_in_doubt(hall, db, wired, monkeypatch):
    monkeypatch.setattr(effects, "_STOPPED_WITHIN_S", 0.1)
    wire, pool = wired
    wire.ways = ["held"]
    worker = hall.open(a_task(book, retries=0, backoff=fixed("1h")), db=pool)
    reference = await hall.client.enqueue("book")
    await wire.at_commit.wait()
    expire(worker)
    await until(lambda: retries(reference))
    assert (await side_of(hall, reference.id))["e"][0] == "InDoubtError"
    wire.go_on.set()
    await until(lambda: seats(db))
    await hall.redis.zadd("jobsd:{main}:default", {reference.id: 1})
    await hall.redis.lpush("jobsd:{main}:default:wake", 1)
    assert await hall.result(reference) == 1


async def test_an_error_of_the_commit_itself_is_the_jobs_error(hall, db):
    await db.execute("CREATE TABLE IF NOT EXISTS places (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")

    async def book_twice(ctx) -> None:
        async with ctx.transaction() as conn:
            await conn.execute("INSERT INTO places VALUES (1), (1)")

    hall.open(a_task(book_twice, retries=0), db=db, records=True)
    await hall.client.enqueue("book_twice")
    [execution] = await hall.executions(1)
    assert (execution.transition, execution.error_type) == ("archived", asyncpg.UniqueViolationError.__name__)
    assert await db.fetchval("SELECT count(*) FROM jobsd.effects") == 0
