"""While jobs run, wait, fail, park and are cancelled, nothing is ever wrong; and repairs change nothing of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobsd import JobState, Retry
from jobsd.admin.fsck import Fsck
from jobsd.store.jobs import Jobs
from tests.admin.stock import told
from tests.engine.hall import Hall, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis


@pytest.fixture
async def hall(redis_url: str, redis: Redis) -> AsyncIterator[Hall]:
    opened = Hall(redis_url, redis)
    yield opened
    await opened.close()


async def test_a_busy_shard_shows_no_trouble_and_none_comes_of_repairs(hall):
    ran: list[int] = []

    async def works(ctx, n: int) -> None:
        await asyncio.sleep(0.001 * (n % 5))
        if n % 3 == 0 and ctx.attempt == 1:
            raise Retry("20ms")
        ran.append(n)

    async def hangs(ctx) -> None:
        await asyncio.Event().wait()

    options = {
        "queues": {"default": {"per_key": {"concurrency": 2}}, "low": 1},
        "resources": {"stripe": {"concurrency": 3}},
    }
    first, second = hall.open(works, hangs, **options), hall.open(works, hangs, **options)
    fsck = Fsck(Jobs(hall.redis))
    looks = 0

    async def look() -> None:
        nonlocal looks
        report = await fsck.run(mend=looks % 2 == 0)
        assert (told(report), report.left) == ({}, 0)
        looks += 1

    async def enqueue() -> None:
        for n in range(300):
            how = [
                {},
                {"_limit_key": f"tenant-{n % 4}"},
                {"_resources": ["stripe"], "_queue": "low"},
                {"_delay": "30ms"},
                {"_unique_for": "1h"},
                {"_limit_key": "one", "_resources": ["stripe"]},
            ][n % 6]
            await hall.client.enqueue("works", n, **how)
            if n % 50 == 0:
                await hall.client.enqueue("unknown", n)
                reference = await hall.client.enqueue("hangs")
                await until(lambda reference=reference: _is(reference, JobState.ACTIVE))
                await reference.cancel(5)

    enqueuing = asyncio.create_task(enqueue())
    while not enqueuing.done() or len(ran) < 300:
        await look()
    await enqueuing
    assert sorted(ran) == list(range(300))
    await hall.stop(first)
    await look()
    await hall.stop(second)
    await look()
    await look()
    assert looks > 5


async def _is(reference, state: JobState) -> bool:
    return await reference.status() is state
