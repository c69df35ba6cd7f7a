"""ctx.sleep(): a job that sleeps has no slot, and nothing of it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from jobsd import JobState
from jobsd.events import Event
from tests.engine.hall import BASE, a_task, said
from tests.waiting import until


@pytest.fixture(autouse=True)
def all_is_heard(caplog) -> None:
    caplog.set_level(logging.INFO, logger="jobsd")


async def make_due(hall, reference) -> None:
    await hall.redis.zadd(BASE, {reference.id: 1})
    await hall.redis.lpush(f"{BASE}:wake", 1)


async def test_a_sleep_frees_the_slot_and_is_over_on_the_next_attempt(hall, db):
    began = []

    async def remind(ctx) -> list[int]:
        began.append(ctx.attempt)
        await ctx.sleep("1h")
        await ctx.sleep("0s")
        return began

    worker = hall.open(remind, db=db, concurrency=1)
    reference = await hall.client.enqueue("remind")
    await until(lambda: worker.ended["S"])
    assert await reference.status() is JobState.SCHEDULED
    assert worker.free_slots == 1
    left_ms = await hall.redis.zscore(BASE, reference.id) - (await hall.redis.time())[0] * 1000
    assert 3_590_000 < left_ms < 3_610_000
    await make_due(hall, reference)
    await until(lambda: worker.ended["S"] == 2)  # too early: it sleeps for what is left
    await db.execute("UPDATE jobsd.steps SET result = (result::bigint - 3600000)::text")
    await make_due(hall, reference)
    assert await hall.result(reference) == [1, 2, 3]


async def test_a_sleep_is_no_failure_and_no_except_of_errors_stops_it(hall, db):
    async def remind(ctx) -> int:
        try:
            await ctx.sleep("20ms")
        except Exception:  # noqa: BLE001 - that it catches nothing is what is tested
            return -1
        return ctx.attempt

    hall.open(a_task(remind, retries=0), db=db, records=True)
    assert await hall.result(await hall.client.enqueue("remind")) == 2
    first, second = await hall.executions(2)
    assert (first.outcome, first.transition, second.outcome) == ("snoozed", "scheduled", "succeeded")


async def test_a_sleep_in_a_task_group_is_a_sleep(hall, db):
    async def remind(ctx) -> int:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.sleep("10ms"))
        return ctx.attempt

    hall.open(a_task(remind, retries=0), db=db, records=True)
    assert await hall.result(await hall.client.enqueue("remind")) == 2
    first, _ = await hall.executions(2)
    assert (first.outcome, first.transition) == ("snoozed", "scheduled")


async def test_of_several_sleeps_in_groups_the_first_to_end_wakes_the_job(hall, db):
    async def remind(ctx) -> None:
        both = [ctx.sleep("1h"), ctx.sleep("2h")]
        slept = await asyncio.gather(*both, return_exceptions=True)
        raise BaseExceptionGroup("all", [BaseExceptionGroup("some", [slept[1]]), slept[0]])

    worker = hall.open(a_task(remind, retries=0), db=db)
    reference = await hall.client.enqueue("remind")
    await until(lambda: worker.ended["S"])
    left_ms = await hall.redis.zscore(BASE, reference.id) - (await hall.redis.time())[0] * 1000
    assert 3_590_000 < left_ms < 3_610_000


async def test_an_error_beside_a_sleep_is_a_failure(hall, db):
    async def remind(ctx) -> None:
        slept = await asyncio.gather(ctx.sleep("1h"), return_exceptions=True)
        raise BaseExceptionGroup("both", [*slept, LookupError("no such flight")])

    hall.open(a_task(remind, retries=0), db=db, records=True)
    await hall.client.enqueue("remind")
    [execution] = await hall.executions(1)
    assert (execution.transition, execution.error_type) == ("archived", "BaseExceptionGroup")


async def test_a_sleep_that_is_swallowed_is_said(hall, db, caplog):
    async def remind(ctx) -> int:
        with contextlib.suppress(BaseException):
            await ctx.sleep("1h")
        return ctx.attempt

    hall.open(a_task(remind, retries=0), db=db)
    assert await hall.result(await hall.client.enqueue("remind")) == 1
    [line] = said(caplog, Event.SLEEP_SWALLOWED)
    assert (line.levelname, line.consequence) == ("WARNING", "the job has not slept: it ends as its function did")


async def test_after_a_sleep_that_is_swallowed_nothing_else_begins(hall, db, caplog):
    ran = []

    async def remind(ctx) -> int:
        for begin in (
            lambda: ctx.sleep("10ms"),
            lambda: ctx.step("charge", ran.append, "charge"),
            lambda: ctx.step_transaction("reserve", lambda _: ran.append("reserve")),
            ctx.transaction().__aenter__,
        ):
            try:
                await begin()
            except BaseException:
                if ctx.attempt == 2 or begin.__name__ == "__aenter__":
                    raise
        return ctx.attempt

    hall.open(a_task(remind, retries=0), db=db)
    assert await hall.result(await hall.client.enqueue("remind")) == 2
    assert ran == ["charge", "reserve"]
    assert said(caplog, Event.SLEEP_SWALLOWED) == []
