"""ctx.transaction() of a job that runs again, or twice at once: one effect, whichever run commits."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.events import Event
from jobsd.outcome import AlreadyDone
from jobsd.records.pool import open_task_pool
from tests.engine.hall import BASE, said
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

LOST = {"n": 1, "l": 1}


@pytest.fixture(autouse=True)
def all_is_heard(caplog) -> None:
    caplog.set_level(logging.INFO, logger="jobsd")


async def hand_out_again(hall, reference, side: dict[str, Any]) -> None:
    """Give the job to another run while one is at it, as if that one's worker were dead."""
    await hall.redis.delete(f"arq:in-progress:{reference.id}")
    await hall.redis.zrem(f"{BASE}:active", reference.id)
    await hall.redis.hset(f"{BASE}:side", reference.id, json.dumps(side))
    await hall.redis.zadd(BASE, {reference.id: 1})
    await hall.redis.lpush(f"{BASE}:wake", 1)


async def seats(db) -> list[int]:
    return [row["attempt"] for row in await db.fetch("SELECT attempt FROM seats")]


class Booking:
    """A task that commits and then waits, in its first run."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.committed = asyncio.Event()

    async def book(self, ctx) -> str:
        self.began.append(ctx.attempt)
        async with ctx.transaction() as conn:
            await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
            ctx.set_result({"seat": "12A", "by": ctx.attempt})
        self.committed.set()
        await asyncio.Event().wait()
        return "never"


@pytest.mark.parametrize(
    ("side", "runs"),
    [
        ({"n": 1, "l": 1}, [1]),
        ({"n": 1, "d": 1}, [1]),
        ({"n": 1, "x": 1}, [1, 2]),
    ],
    ids=["lost", "in doubt", "no sign"],
)
async def test_a_job_that_was_lost_after_its_commit_ends_with_the_result_of_that_run(hall, db, caplog, side, runs):
    booking = Booking()

    async def book(ctx) -> str:
        return await booking.book(ctx)

    hall.open(book, db=db, records=True, lease="1s")
    reference = await hall.client.enqueue("book")
    await booking.committed.wait()
    await hand_out_again(hall, reference, side)
    assert await hall.result(reference) == {"seat": "12A", "by": 1}
    assert await seats(db) == [1]
    assert booking.began == runs, "where something tells of an earlier run, Postgres is asked before the function"
    [execution] = await hall.executions(1)
    told = "done before: the effect of another run is committed"
    assert (execution.attempt, execution.outcome, execution.message) == (2, "succeeded", told)
    assert len(said(caplog, Event.EFFECT_FOUND)) == 1


async def test_a_run_that_has_lost_its_lease_behind_its_commit_says_no_more_of_the_job(hall, db, caplog):
    booking = Booking()

    async def book(ctx) -> str:
        return await booking.book(ctx)

    worker = hall.open(book, db=db, lease="1s")
    reference = await hall.client.enqueue("book")
    await booking.committed.wait()
    await hand_out_again(hall, reference, LOST)
    assert await hall.result(reference) == {"seat": "12A", "by": 1}
    await until(lambda: not worker.attempts)
    assert len(said(caplog, Event.LEASE_LOST)) == 1
    assert said(caplog, Event.EFFECT_KEPT) == []


async def test_a_second_run_ends_at_the_block_whatever_it_catches(hall, db):
    booking, caught = Booking(), []

    async def book(ctx) -> str:
        try:
            return await booking.book(ctx)
        except Exception as error:
            caught.append(error)
            raise
        except AlreadyDone:
            return "swallowed"

    hall.open(book, db=db, lease="1s")
    reference = await hall.client.enqueue("book")
    await booking.committed.wait()
    await hand_out_again(hall, reference, {"n": 1})
    assert await hall.result(reference) == {"seat": "12A", "by": 1}
    assert caught == []


@pytest.mark.parametrize("first_commits", [True, False])
async def test_of_two_runs_inside_at_once_one_commits(hall, db, first_commits):
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def book(ctx) -> None:
        try:
            async with ctx.transaction() as conn:
                await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
                ctx.set_result(ctx.attempt)
                if ctx.attempt == 1:
                    inside.set()
                    await go_on.wait()
                    if not first_commits:
                        raise LookupError("no such flight")
        except asyncio.CancelledError:
            go_on.set()
            raise

    hall.open(book, db=db)
    reference = await hall.client.enqueue("book")
    await inside.wait()
    await hand_out_again(hall, reference, LOST)
    await until(lambda: waits_for_the_key(db))
    go_on.set()
    kept = 1 if first_commits else 2
    assert await hall.result(reference) == kept
    assert await seats(db) == [kept]


async def waits_for_the_key(db) -> bool:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO jobsd.effects%'"
    return await db.fetchval(asked) == 1


async def test_each_use_of_an_id_has_its_effect_once(hall, db):
    keys = []

    async def close_the_day(ctx, day: str) -> str:
        keys.append((ctx.idempotency_key, ctx.token))
        async with ctx.transaction() as conn:
            await conn.execute("INSERT INTO seats VALUES ($1, $2)", day, ctx.attempt)
        return day

    worker = hall.open(close_the_day, db=db, keep_completed="0s")
    for n, day in enumerate(("monday", "tuesday"), 1):
        await hall.client.enqueue("close_the_day", day, _id="daily")
        await until(lambda n=n: worker.finisher.accepted == n)
    assert await db.fetchval("SELECT count(*) FROM seats") == 2
    assert await db.fetchval("SELECT count(*) FROM jobsd.effects WHERE job_id = 'daily'") == 2
    assert len({key for key, _ in keys}) == 2
    assert all(key.startswith("daily-") for key, _ in keys)


async def test_the_key_for_services_outside_is_that_of_the_job_and_the_token_that_of_the_attempt(hall, db):
    seen = []

    async def pays(ctx) -> None:
        seen.append((ctx.idempotency_key, ctx.token))
        if ctx.attempt == 1:
            await hand_out_again(hall, reference, {"n": 1})
            await asyncio.Event().wait()

    hall.open(pays, lease="1s")
    reference = await hall.client.enqueue("pays")
    await hall.result(reference)
    [(first, token), (second, other_token)] = seen
    assert first == second
    assert first.startswith(f"{reference.id}-")
    assert token != other_token


async def test_a_job_that_may_be_done_runs_where_postgres_cannot_be_asked(hall, tmp_path: Path):
    pool = await open_task_pool(f"postgresql://nobody@/nowhere?host={tmp_path}")

    async def works(ctx) -> int:
        return ctx.attempt

    reference = await hall.client.enqueue("works")
    await hall.redis.hset(f"{BASE}:side", reference.id, json.dumps(LOST))
    hall.open(works, db=pool)
    assert await hall.result(reference) == 2
    pool.terminate()


async def test_a_lost_job_whose_arguments_fit_no_more_is_done_all_the_same(hall, db):
    booking = Booking()

    async def book(ctx, seat: str) -> str:
        return await booking.book(ctx)

    worker = hall.open(book, db=db, lease="1s")
    reference = await hall.client.enqueue("book", "12A")
    await booking.committed.wait()
    await hall.redis.delete(f"arq:in-progress:{reference.id}")
    await until(lambda: not worker.attempts)
    await hall.stop(worker)

    async def book(ctx, seat: int, row: int) -> str:
        raise AssertionError

    await hand_out_again(hall, reference, LOST)
    hall.open(book, db=db)
    assert await hall.result(reference) == {"seat": "12A", "by": 1}
