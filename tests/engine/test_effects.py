"""ctx.transaction(): what the task writes and the job's end commit together, once, whatever follows."""

from __future__ import annotations

import asyncio
import logging

import pytest

from jobsd import Drop, JobState, Retry, Snooze, fixed
from jobsd.events import Event
from tests.engine.hall import a_task, expire, said

NO_WAIT = fixed("0s")


async def seats(db) -> list[tuple[str, int]]:
    return [tuple(row) for row in await db.fetch("SELECT name, attempt FROM seats ORDER BY name, attempt")]


async def take_seat(conn, name: str, attempt: int) -> None:
    await conn.execute("INSERT INTO seats VALUES ($1, $2)", name, attempt)


@pytest.fixture(autouse=True)
def all_is_heard(caplog) -> None:
    caplog.set_level(logging.INFO, logger="jobsd")


async def test_what_a_task_writes_commits_with_the_fact_that_its_job_is_done(hall, db):
    async def book(ctx, seat: str) -> dict[str, str]:
        async with ctx.transaction() as conn:
            await take_seat(conn, seat, ctx.attempt)
            assert await db.fetchval("SELECT count(*) FROM seats") == 0  # as others see it
        return {"booked": seat}

    hall.open(book, db=db)
    reference = await hall.client.enqueue("book", "12A")
    assert await hall.result(reference) == {"booked": "12A"}
    assert await seats(db) == [("12A", 1)]
    [row] = await db.fetch("SELECT * FROM jobsd.effects")
    assert (row["job_id"], row["task"], row["result"]) == (reference.id, "book", None)


async def test_a_block_that_raises_is_rolled_back_and_the_job_tried_again(hall, db):
    async def book(ctx) -> int:
        async with ctx.transaction() as conn:
            await take_seat(conn, "12A", ctx.attempt)
            if ctx.attempt == 1:
                raise LookupError("no such flight")
        return ctx.attempt

    hall.open(a_task(book, backoff=NO_WAIT), db=db)
    assert await hall.result(await hall.client.enqueue("book")) == 2
    assert await seats(db) == [("12A", 2)]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no paper"), "ValueError: no paper"),
        (Retry("1h"), "Retry: the task asked for a retry in 1h"),
        (Snooze("1h"), "snoozed for 3600 s"),
        (Drop("nobody wants it"), "nobody wants it"),
        (KeyboardInterrupt(), "KeyboardInterrupt: KeyboardInterrupt"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_whatever_is_raised_after_the_commit_the_job_has_succeeded_with_the_result_that_was_set(
    hall, db, caplog, error, told
):
    async def book(ctx) -> None:
        async with ctx.transaction() as conn:
            await take_seat(conn, "12A", ctx.attempt)
            ctx.set_result({"seat": ("12A", 1)})
        raise error

    hall.open(book, db=db, records=True)
    reference = await hall.client.enqueue("book")
    assert await hall.result(reference) == {"seat": ["12A", 1]}
    assert await seats(db) == [("12A", 1)]
    [execution] = await hall.executions(1)
    message = f"its effect is committed; afterwards {told}"
    assert (execution.outcome, execution.transition, execution.message) == ("succeeded", "completed", message)
    [line] = said(caplog, Event.EFFECT_KEPT)
    assert (line.levelname, line.cause, line.job_id, line.task) == ("WARNING", told, reference.id, "book")
    if isinstance(error, ValueError):
        assert line.exception.endswith("    raise error\nValueError: no paper\n"), (
            "as text: logs show it below the line"
        )


async def test_a_job_that_returns_after_its_commit_is_nothing_to_speak_of(hall, db, caplog):
    async def book(ctx) -> str:
        async with ctx.transaction():
            ctx.set_result("kept")
        return "returned"

    hall.open(book, db=db, records=True)
    assert await hall.result(await hall.client.enqueue("book")) == "kept"
    assert said(caplog, Event.EFFECT_KEPT) == []
    [execution] = await hall.executions(1)
    assert execution.message is None


async def test_a_job_without_a_result_of_its_own_that_raises_after_the_commit_has_none(hall, db):
    async def book(ctx) -> str:
        async with ctx.transaction():
            pass
        raise ValueError("no paper")

    hall.open(book, db=db)
    reference = await hall.client.enqueue("book")
    assert await hall.result(reference) is None
    assert await reference.status() is JobState.COMPLETED


async def test_a_timeout_after_the_commit_changes_nothing(hall, db, caplog):
    committed = asyncio.Event()

    async def book(ctx) -> None:
        async with ctx.transaction() as conn:
            await take_seat(conn, "12A", ctx.attempt)
            ctx.set_result("12A")
        committed.set()
        await asyncio.Event().wait()

    worker = hall.open(a_task(book, timeout="1h", retries=0), db=db)
    reference = await hall.client.enqueue("book")
    await committed.wait()
    expire(worker)
    assert await hall.result(reference) == "12A"
    [line] = said(caplog, Event.EFFECT_KEPT)
    assert line.cause == "TimeoutError: timed out after 3600 s"


async def test_what_is_returned_too_late_after_the_commit_is_the_result(hall, db):
    committed = asyncio.Event()

    async def book(ctx) -> str:
        async with ctx.transaction():
            pass
        committed.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "late"

    worker = hall.open(a_task(book, retries=0), db=db)
    reference = await hall.client.enqueue("book")
    await committed.wait()
    expire(worker)
    assert await hall.result(reference) == "late"


async def test_a_cancelled_job_whose_effect_is_committed_has_succeeded(hall, db):
    committed = asyncio.Event()

    async def book(ctx) -> None:
        async with ctx.transaction():
            ctx.set_result("12A")
        committed.set()
        await asyncio.Event().wait()

    hall.open(book, db=db)
    reference = await hall.client.enqueue("book")
    await committed.wait()
    await reference.cancel(20)
    assert await hall.result(reference) == "12A"


async def test_a_shutdown_after_the_commit_does_not_run_the_job_again(hall, db):
    committed = asyncio.Event()

    async def book(ctx) -> None:
        async with ctx.transaction():
            ctx.set_result("12A")
        committed.set()
        await asyncio.Event().wait()

    worker = hall.open(book, db=db, grace="0s")
    reference = await hall.client.enqueue("book")
    await committed.wait()
    await hall.stop(worker)
    assert await hall.result(reference) == "12A"


async def test_a_function_that_resists_a_shutdown_after_its_commit_has_succeeded(hall, db):
    committed, released = asyncio.Event(), asyncio.Event()

    async def book(ctx) -> None:
        async with ctx.transaction():
            ctx.set_result("12A")
        committed.set()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    worker = hall.open(book, db=db, grace="0s", cancel_grace="10ms")
    reference = await hall.client.enqueue("book")
    await committed.wait()
    await hall.stop(worker)
    assert worker.left_running == 1
    assert await hall.result(reference) == "12A"
    released.set()
