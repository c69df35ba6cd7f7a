"""Steps of an attempt 1 that is not the first run of its job: what was noted before does not run again."""

from __future__ import annotations

import asyncio

from tests.engine.hall import BASE
from tests.engine.test_effects_again import hand_out_again
from tests.waiting import until


class Till:
    """A task with a step; its first run may be stopped before it."""

    def __init__(self) -> None:
        self.charged: list[int] = []
        self.returned: list[int] = []
        self.stopped, self.go_on = asyncio.Event(), asyncio.Event()
        self.stops = True

    async def sell(self, ctx) -> int:
        if self.stops:
            self.stops = False
            self.stopped.set()
            await self.go_on.wait()
        self.returned.append(await ctx.step("charge", self.charge, len(self.returned) + 1))
        return self.returned[-1]

    async def charge(self, run: int) -> int:
        self.charged.append(run)
        return run


async def test_a_worker_that_was_taken_for_dead_does_not_take_a_step_that_was_noted_meanwhile(hall, db):
    till = Till()

    async def sell(ctx) -> int:
        return await till.sell(ctx)

    hall.open(sell, db=db)
    reference = await hall.client.enqueue("sell")
    await till.stopped.wait()
    await hand_out_again(hall, reference, {"n": 1, "l": 1})
    assert await hall.result(reference) == 1
    till.go_on.set()
    await until(lambda: len(till.returned) == 2)
    assert till.returned == [1, 1]
    assert till.charged == [1]


async def test_a_redis_that_has_forgotten_the_attempts_of_a_job_does_not_have_its_steps_again(hall, db):
    till = Till()
    till.stops = False
    ended = asyncio.Event()

    async def sell(ctx) -> int:
        charged = await till.sell(ctx)
        if not ended.is_set():
            ended.set()
            await asyncio.Event().wait()
        return charged

    hall.open(sell, db=db, lease="1s")
    reference = await hall.client.enqueue("sell")
    await ended.wait()
    async with hall.redis.pipeline(transaction=True) as was:  # as it was a second before
        was.delete(f"arq:in-progress:{reference.id}").zrem(f"{BASE}:active", reference.id)
        was.zadd(BASE, {reference.id: 1}).lpush(f"{BASE}:wake", 1)
        await was.execute()
    assert await hall.result(reference) == 1
    assert till.charged == [1]
