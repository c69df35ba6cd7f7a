"""Idle workers: one of them comes for a job, however many there are, and somebody always does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.engine.hall import until

if TYPE_CHECKING:
    from jobsd.engine.worker import Worker

IDLE = 50


async def quick(ctx) -> int:
    return ctx.attempt


async def claims(hall, workers: list[Worker]) -> int:
    """Return how many claims the workers have made: each numbers its own."""
    numbers = [await hall.redis.hget(f"jobsd:{{main}}::worker:{worker.id}", "claim") for worker in workers]
    return sum(int(number or 0) for number in numbers)


async def idle_workers(hall, count: int) -> list[Worker]:
    workers = [hall.open(quick, poll="1h", lease="1h") for _ in range(count)]

    async def all_listen() -> bool:
        return (await hall.redis.info("clients"))["blocked_clients"] == count

    await until(all_listen)
    return workers


async def settled(hall, workers: list[Worker]) -> int:
    """Return the number of claims once it no longer rises."""
    before = -1
    while (now := await claims(hall, workers)) != before:
        before = now
        await asyncio.sleep(0.2)  # a stampede would come at once
    return now


@pytest.mark.timeout(300)
@pytest.mark.parametrize("delay", [None, "300ms"], ids=["at once", "delayed"])
async def test_fifty_idle_workers_and_one_job_cost_a_handful_of_claims(hall, delay) -> None:
    workers = await idle_workers(hall, IDLE)
    before = await settled(hall, workers)
    assert await hall.result(await hall.client.enqueue("quick", _delay=delay)) == 1
    assert await settled(hall, workers) - before <= 4


@pytest.mark.timeout(300)
async def test_of_fifty_workers_that_have_all_seen_a_delayed_job_one_is_there_when_it_is_due(hall) -> None:
    workers = await idle_workers(hall, IDLE)
    reference = await hall.client.enqueue("quick", _delay="3s")
    for worker in workers:
        worker.look()
    before = await settled(hall, workers)
    assert await hall.result(reference) == 1
    assert await settled(hall, workers) - before <= 4


async def test_a_delayed_job_runs_though_the_worker_that_watched_for_it_has_stopped(hall) -> None:
    first, second = await idle_workers(hall, 2)
    reference = await hall.client.enqueue("quick", _delay="500ms")
    watch = "watch:jobsd:{main}:default"
    await until(lambda: hall.redis.hexists("jobsd:{main}::state", watch))
    watched_by = (await hall.redis.hget("jobsd:{main}::state", watch)).decode().partition(":")[2]
    await hall.stop(first if first.id == watched_by else second)
    assert await hall.result(reference) == 1


async def test_a_delayed_job_runs_though_the_worker_that_watched_for_it_takes_no_more(hall) -> None:
    first, second = await idle_workers(hall, 2)
    reference = await hall.client.enqueue("quick", _delay="500ms")
    watch = "watch:jobsd:{main}:default"
    await until(lambda: hall.redis.hexists("jobsd:{main}::state", watch))
    watched_by = (await hall.redis.hget("jobsd:{main}::state", watch)).decode().partition(":")[2]
    (first if first.id == watched_by else second).hold()
    assert await hall.result(reference) == 1
