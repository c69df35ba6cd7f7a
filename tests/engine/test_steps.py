"""Durable steps: what ran is remembered on the job's other attempts, and sleeps go on without a slot."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from jobsd import PlainContext, Retry, fixed
from jobsd.errors import JobFailedError, StepError
from jobsd.events import Event
from tests.engine.hall import BASE, a_task, expire, said
from tests.engine.test_effects_again import hand_out_again
from tests.waiting import until

AT_ONCE = fixed("0s")


@pytest.fixture(autouse=True)
def all_is_heard(caplog) -> None:
    caplog.set_level(logging.INFO, logger="jobsd")


@dataclass
class Receipt:
    number: int
    lines: tuple[str, ...]


async def reserve(conn, seat: str, *, attempt: int) -> str:
    await conn.execute("INSERT INTO seats VALUES ($1, $2)", seat, attempt)
    return seat


async def seats(db) -> list[tuple[str, int]]:
    return [tuple(row) for row in await db.fetch("SELECT name, attempt FROM seats ORDER BY name, attempt")]


async def test_steps_run_once_and_are_remembered_on_the_next_attempts(hall, db):
    charged: list[int] = []
    receipts: list[Any] = []

    async def charge(order: int, *, amount: int) -> Receipt:
        charged.append(order)
        return Receipt(order, ("a", "b"))

    async def sell(ctx, order: int) -> str:
        receipts.append(await ctx.step("charge", charge, order, amount=5))
        seat = await ctx.step_transaction("reserve", reserve, "12A", attempt=ctx.attempt)
        plain = await ctx.step("plain", lambda: ctx.attempt)
        if ctx.attempt < 3:
            raise Retry("0s")
        return f"{seat} {plain}"

    hall.open(sell, db=db)
    assert await hall.result(await hall.client.enqueue("sell", 7)) == "12A 1"
    assert charged == [7]
    assert receipts == [{"number": 7, "lines": ["a", "b"]}] * 3, "JSON's, on the first run too"
    assert await seats(db) == [("12A", 1)]


async def test_a_plain_function_has_the_same_steps(hall, db):
    threads = []

    def charge(order: int) -> dict[str, int]:
        threads.append(threading.current_thread().name)
        return {"order": order}

    async def asks(order: int) -> int:
        return order + 1

    def sell(ctx: PlainContext, order: int) -> list[Any]:
        found = [ctx.step("charge", charge, order), ctx.step("asks", asks, order)]
        found.append(ctx.step_transaction("reserve", reserve, "12A", attempt=ctx.attempt))
        found.append(ctx.step_transaction("by hand", lambda conn: conn.fetchval("SELECT 5")))
        ctx.sleep("10ms")
        if ctx.attempt < 3:
            raise Retry("0s")
        return found

    hall.open(sell, db=db)
    assert await hall.result(await hall.client.enqueue("sell", 7)) == [{"order": 7}, 8, "12A", 5]
    assert threads == ["jobsd sell"]
    assert await seats(db) == [("12A", 1)]


async def test_a_step_that_raises_is_not_remembered(hall, db):
    runs = []

    async def charge() -> int:
        runs.append("charge")
        if len(runs) == 1:
            raise LookupError("no card")
        return len(runs)

    async def fails(conn) -> None:
        runs.append("reserve")
        await reserve(conn, "12A", attempt=len(runs))
        if len(runs) == 3:
            raise LookupError("no seat")

    async def sell(ctx) -> int:
        first = await ctx.step("charge", charge)
        await ctx.step_transaction("reserve", fails)
        return first

    hall.open(a_task(sell, backoff=AT_ONCE), db=db)
    assert await hall.result(await hall.client.enqueue("sell")) == 2
    assert runs == ["charge", "charge", "reserve", "reserve"]
    assert await seats(db) == [("12A", 4)]


async def test_a_step_that_failed_may_be_tried_again_in_the_same_attempt(hall, db, caplog):
    runs = []

    async def charge() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise LookupError("no card")

    async def sell(ctx) -> None:
        try:
            await ctx.step("charge", charge)
        except LookupError:
            await ctx.step("charge", charge)
        if ctx.attempt == 1:
            raise Retry("0s")

    hall.open(sell, db=db)
    await hall.result(await hall.client.enqueue("sell"))
    assert len(runs) == 2
    assert said(caplog, Event.STEPS_REORDERED) == []


async def test_a_changed_order_is_said_once_and_keys_decide(hall, db, caplog):
    ran = []

    async def sell(ctx) -> list[str]:
        keys = ["a", "b", "c"] if ctx.attempt == 1 else ["new", "b", "a", "c"]
        found = [await ctx.step(key, lambda key=key: ran.append(key) or key) for key in keys]
        if ctx.attempt == 1:
            raise Retry("0s")
        return found

    hall.open(sell, db=db)
    assert await hall.result(await hall.client.enqueue("sell")) == ["new", "b", "a", "c"]
    assert ran == ["a", "b", "c", "new"]
    [line] = said(caplog, Event.STEPS_REORDERED)
    assert (line.levelname, line.step, line.position_then, line.position_now) == ("WARNING", "a", 1, 3)


async def test_steps_at_the_same_time_are_steps_like_others(hall, db):
    ran = []

    async def sell(ctx) -> list[str]:
        found = await asyncio.gather(*(ctx.step(key, lambda key=key: ran.append(key) or key) for key in "abc"))
        if ctx.attempt == 1:
            raise Retry("0s")
        return found

    hall.open(sell, db=db)
    assert await hall.result(await hall.client.enqueue("sell")) == ["a", "b", "c"]
    assert sorted(ran) == ["a", "b", "c"]


async def nothing(*_: object) -> None:
    pass


async def twice(ctx) -> None:
    await ctx.step("charge", nothing)
    await ctx.step("charge", nothing)


async def in_a_transaction(ctx) -> None:
    async with ctx.transaction():
        await ctx.step("charge", nothing)


KEY = "a key is a text of 1 to 128 characters"
NO_KEY = 'the first argument is the name of the step: ctx.step("nothing", nothing, …)'
AGAIN = "it ran, and would run again, since what it returned cannot be kept: "
HIDDEN = "it holds a secret, which anybody could read in the database; return what leads to it instead"


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (twice, "step 'charge': its key is taken by another of this attempt; give each its own"),
        (lambda ctx: ctx.step("", nothing), f"step '': {KEY}"),
        (lambda ctx: ctx.step("x" * 129, nothing), f"step {'x' * 129!r}: {KEY}"),
        (lambda ctx: ctx.step(7, nothing), f"step 7: {KEY}"),
        (lambda ctx: ctx.step(object(), nothing), f"step 'object': {KEY}"),
        (lambda ctx: ctx.step(nothing, 7), f"step 'nothing': {NO_KEY}"),
        (lambda ctx: ctx.step(nothing), f"step 'nothing': {NO_KEY}"),
        (lambda ctx: ctx.step(nothing()), f"step 'nothing': {NO_KEY}"),
        (lambda ctx: ctx.step_transaction(nothing), f"step 'nothing': {NO_KEY}"),
        (lambda ctx: ctx.step("a\0b", nothing), rf"step 'a\x00b': {KEY}"),
        (
            lambda ctx: ctx.step("sleep:1", nothing),
            "step 'sleep:1': keys that begin with 'sleep:' are those of ctx.sleep()",
        ),
        (
            lambda ctx: ctx.step("charge", nothing()),
            "step 'charge': it takes a function and its arguments, not what the function returned",
        ),
        (
            lambda ctx: ctx.step("charge", object),
            f"step 'charge': {AGAIN}it is not JSON: Unable to serialize unknown type: <class 'object'>",
        ),
        (
            lambda ctx: ctx.step("charge", lambda: "x" * 262_143),
            f"step 'charge': {AGAIN}it is 262,145 bytes; the limit is 262,144",
        ),
        (lambda ctx: ctx.step("charge", lambda: SecretStr("abc")), f"step 'charge': {AGAIN}{HIDDEN}"),
        (
            lambda ctx: ctx.step_transaction("charge", lambda _: object()),
            (
                "step 'charge': nothing of it is committed: what it returned cannot be kept: "
                "it is not JSON: Unable to serialize unknown type: <class 'object'>"
            ),
        ),
        (
            in_a_transaction,
            "step 'charge': it is not for the inside of ctx.transaction(), which may yet be rolled back: do it before",
        ),
    ],
)
async def test_a_step_that_is_not_as_it_must_be_says_so(hall, db, work, told):
    async def sell(ctx) -> None:
        await work(ctx)

    hall.open(a_task(sell, retries=0), db=db)
    with pytest.raises(JobFailedError, match=r"^job ") as failed:
        await hall.result(await hall.client.enqueue("sell"))
    assert (failed.value.error_type, failed.value.message) == (StepError.__name__, told)


async def test_what_another_run_has_noted_first_is_the_result_of_both(hall, db):
    inside, go_on, results, shipped = asyncio.Event(), asyncio.Event(), [], []

    async def charge(attempt: int) -> int:
        if attempt == 1:
            inside.set()
            await go_on.wait()
        return attempt

    async def sell(ctx) -> None:
        results.append(await ctx.step("charge", charge, ctx.attempt))
        results.append(await ctx.step("ship", lambda: shipped.append(ctx.attempt) or ctx.attempt))

    hall.open(sell, db=db)
    reference = await hall.client.enqueue("sell")
    await inside.wait()
    await hand_out_again(hall, reference, {"n": 1})
    await hall.result(reference)
    assert results == [2, 2]
    go_on.set()
    await until(lambda: len(results) == 4)
    assert results == [2, 2, 2, 2]
    assert shipped == [2], "a run that meets another reads what that has done since"


async def test_of_two_runs_in_the_same_step_transaction_one_commits(hall, db):
    inside, go_on, results = asyncio.Event(), asyncio.Event(), []

    async def book(conn, attempt: int) -> int:
        await reserve(conn, "12A", attempt=attempt)
        if attempt == 1:
            inside.set()
            await go_on.wait()
        return attempt

    async def sell(ctx) -> int:
        results.append(await ctx.step_transaction("reserve", book, ctx.attempt))
        return results[-1]

    hall.open(sell, db=db)
    reference = await hall.client.enqueue("sell")
    await inside.wait()
    await hand_out_again(hall, reference, {"n": 1})
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO jobsd.steps%'"

    async def somebody_waits() -> bool:
        return await db.fetchval(waits) == 1

    await until(somebody_waits)
    go_on.set()
    assert await hall.result(reference) == 1
    assert await seats(db) == [("12A", 1)]


async def test_a_step_that_ran_is_noted_though_its_job_was_stopped_meanwhile(hall, db):
    runs = []

    async def charge() -> int:
        runs.append("charge")
        return len(runs)

    async def sell(ctx) -> int:
        return await ctx.step("charge", charge)

    worker = hall.open(a_task(sell, backoff=AT_ONCE), db=db)
    lock = await db.acquire()
    await lock.execute("BEGIN; LOCK jobsd.steps IN SHARE MODE")  # to read them is allowed, to note one is not
    reference = await hall.client.enqueue("sell")
    await until(lambda: runs)
    expire(worker)
    await until(lambda: retried(hall, reference))
    await lock.execute("COMMIT")
    await db.release(lock)
    assert await hall.result(reference) == 1


async def retried(hall, reference) -> bool:
    return await hall.redis.hexists(f"{BASE}:side", reference.id)


async def test_a_note_whose_answer_is_lost_is_repeated(hall, db, monkeypatch):
    asked = []
    original = asyncpg.Pool.fetchval

    async def lossy(pool, statement, *args, **options):
        answer = await original(pool, statement, *args, **options)
        if "INTO jobsd.steps" in statement:
            asked.append(answer)
            if len(asked) == 1:
                raise asyncpg.ConnectionDoesNotExistError
        return answer

    monkeypatch.setattr(asyncpg.Pool, "fetchval", lossy)

    async def sell(ctx) -> str:
        return await ctx.step("charge", lambda: "receipt")

    hall.open(sell, db=db)
    assert await hall.result(await hall.client.enqueue("sell")) == "receipt"
    assert [answer is None for answer in asked] == [False, True]


async def test_a_note_that_cannot_be_made_fails_the_job_and_says_that_the_step_ran(hall, db):

    async def charge(pool) -> None:
        await pool.execute("ALTER TABLE jobsd.steps RENAME TO gone")

    async def sell(ctx) -> None:
        await ctx.step("charge", charge, ctx.db)

    hall.open(a_task(sell, retries=0), db=db)
    reference = await hall.client.enqueue("sell")
    try:
        with pytest.raises(JobFailedError, match="so it will run again: relation"):
            await hall.result(reference)
    finally:
        await db.execute("ALTER TABLE jobsd.gone RENAME TO steps")


async def test_without_a_database_a_step_says_what_to_set(hall):
    async def sell(ctx) -> None:
        await ctx.step("charge", nothing)

    hall.open(a_task(sell, retries=0))
    with pytest.raises(JobFailedError, match="no address for Postgres: set JOBSD_DATABASE_URL for the daemon"):
        await hall.result(await hall.client.enqueue("sell"))
