"""Idle workers: one of them comes for a job, however many there are, and somebody always does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.engine.hall import are_listening, until

if TYPE_CHECKING:
    from jobsd import JobRef
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

    await until(lambda: are_listening(hall, count))
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


async def watcher_of(hall, first: Worker, second: Worker) -> tuple[Worker, Worker]:
    """Return the worker that watches, and the other."""
    watch = "watch:jobsd:{main}:default"
    await until(lambda: hall.redis.hexists("jobsd:{main}::state", watch))
    watched_by = (await hall.redis.hget("jobsd:{main}::state", watch)).decode().partition(":")[2]
    return (first, second) if first.id == watched_by else (second, first)


async def both_listen(hall, first_in_line: Worker, second: Worker) -> None:
    """Let both wait for a wake-up, in this order."""
    for worker in (second, first_in_line):
        await worker._waker.end()
    for n, worker in enumerate((first_in_line, second)):
        worker._waker._ended = False
        worker.look()
        await until(lambda n=n: are_listening(hall, n + 1))


async def test_a_delayed_job_runs_though_the_worker_that_watched_for_it_has_stopped(hall) -> None:
    workers = await idle_workers(hall, 2)
    reference = await hall.client.enqueue("quick", _delay="1s")
    watcher, other = await watcher_of(hall, *workers)
    await both_listen(hall, watcher, other)
    await hall.stop(watcher)
    assert await hall.result(reference) == 1


async def test_a_delayed_job_runs_though_the_worker_that_watched_for_it_takes_no_more(hall) -> None:
    workers = await idle_workers(hall, 2)
    reference = await hall.client.enqueue("quick", _delay="500ms")
    watcher, _ = await watcher_of(hall, *workers)
    watcher.hold()
    assert await hall.result(reference) == 1


async def draining(hall, worker: Worker) -> None:
    """Let the worker drain while a job of its own goes on."""
    worker.stop()
    await until(lambda: worker._waker._ended and worker._waker._listening is None)


async def a_busy_worker(hall, go: asyncio.Event) -> tuple[Worker, JobRef[int]]:
    """Return a worker with free slots, and the job that it runs until ``go``."""

    async def waits(ctx) -> int:
        await go.wait()
        return ctx.attempt

    worker = hall.open(quick, waits, poll="1h", lease="1h", grace="1h")
    reference = await hall.client.enqueue("waits")
    await until(lambda: worker.attempts)
    return worker, reference


async def test_a_delayed_job_runs_though_the_worker_that_watched_for_it_drains(hall) -> None:
    go = asyncio.Event()
    drains, busy = await a_busy_worker(hall, go)
    reference = await hall.client.enqueue("quick", _delay="1s")
    await until(lambda: hall.redis.hexists("jobsd:{main}::state", "watch:jobsd:{main}:default"))
    hall.open(quick, poll="1h", lease="1h")
    await until(lambda: are_listening(hall, 2))
    drains.stop()
    assert await hall.result(reference) == 1
    go.set()
    assert await hall.result(busy) == 1


async def test_a_worker_that_drains_keeps_no_wake_up_from_others(hall) -> None:
    go = asyncio.Event()
    drains, busy = await a_busy_worker(hall, go)
    await until(lambda: are_listening(hall, 1))
    hall.open(quick, poll="1h", lease="1h")
    await until(lambda: are_listening(hall, 2))
    await draining(hall, drains)
    assert await hall.result(await hall.client.enqueue("quick")) == 1
    assert await hall.redis.keys("*:unblock:*") == []
    go.set()
    assert await hall.result(busy) == 1


async def test_a_wake_up_that_could_not_be_handed_on_is_handed_on_later(hall) -> None:
    held, idle = await idle_workers(hall, 2)
    await both_listen(hall, held, idle)
    hand_on, tries = held.jobs.hand_on, []

    async def fails_once(*args) -> None:
        tries.append(args)
        if len(tries) == 1:
            raise ConnectionError
        await hand_on(*args)

    held.jobs.hand_on = fails_once  # type: ignore[method-assign]
    held.dispatcher.held = True  # as `hold` does, but it still listens
    assert await hall.result(await hall.client.enqueue("quick")) == 1
    assert len(tries) >= 2


async def test_a_delayed_job_behind_one_that_runs_is_not_left_to_the_poll(hall) -> None:
    """The head of the queue is then the running job, at the end of its lease."""
    go = asyncio.Event()

    async def waits(ctx) -> int:
        await go.wait()
        return ctx.attempt

    full = hall.open(waits, quick, concurrency=1, poll="1h", lease="1s")
    busy = await hall.client.enqueue("waits")
    await until(lambda: full.attempts)
    await until(lambda: are_listening(hall, 0))
    hall.open(waits, quick, concurrency=1, poll="1h", lease="1s")
    await until(lambda: are_listening(hall, 1))
    assert await hall.result(await hall.client.enqueue("quick", _delay="2s")) == 1
    go.set()
    assert await hall.result(busy) == 1
