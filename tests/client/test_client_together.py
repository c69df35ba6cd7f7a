"""Many jobs at once: enqueue_many, and calls of many coroutines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import OutOfMemoryError

from jobsd import Client
from jobsd.errors import (
    InvalidOptionError,
    StoreFullError,
    StoreRefusedError,
    UnreachableError,
)
from jobsd.sending import MOST_JOBS
from tests.client.a_task import BASE, add

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def evals(redis) -> int:
    """Return how many scripts the server has run."""
    stats = await redis.info("commandstats")
    return sum(facts["calls"] for name, facts in stats.items() if name in {"cmdstat_eval", "cmdstat_evalsha"})


# --- many -----------------------------------------------------------------------------------------


async def test_many_jobs_are_stored_in_chunks_of_a_thousand_in_order(client: Client, redis) -> None:
    before = await evals(redis)
    references = await client.enqueue_many(add.job(n) for n in range(2500))
    assert await evals(redis) - before <= 3 + 1  # the first may find the script unknown
    assert len({reference.id for reference in references}) == 2500
    stored = [job_id.decode() for job_id in await redis.zrange("jobsd:{main}:maths", 0, -1)]
    assert sorted(stored) == [reference.id for reference in references]


async def test_many_may_come_from_an_async_iterable(client: Client) -> None:
    async def jobs() -> AsyncIterator[Any]:
        for n in range(3):
            await asyncio.sleep(0)
            yield add.opts(queue=f"q{n}").job(n)

    assert [reference.queue for reference in await client.enqueue_many(jobs())] == ["q0", "q1", "q2"]


async def test_of_none_there_are_no_references(client: Client, redis) -> None:
    assert await client.enqueue_many([]) == []
    assert await redis.dbsize() == 0


async def test_a_wrong_job_among_many_keeps_earlier_thousands_only(client: Client, redis) -> None:
    def jobs() -> Any:
        yield from (add.job(n) for n in range(MOST_JOBS + 5))
        yield add.opts(queue="not a queue").job(1)

    with pytest.raises(InvalidOptionError):
        await client.enqueue_many(jobs())
    assert await redis.zcard("jobsd:{main}:maths") == MOST_JOBS


# --- concurrent calls -----------------------------------------------------------------------------


async def test_concurrent_calls_travel_together(client: Client, redis) -> None:
    await client.enqueue("warm")
    before = await evals(redis)
    references = await asyncio.gather(*(client.enqueue("add", n) for n in range(500)))
    assert await evals(redis) - before <= 5  # the first alone, the others by halves
    assert len({reference.id for reference in references}) == 500
    assert await redis.zcard(BASE) == 501


async def test_what_is_called_during_a_round_trip_goes_in_the_next(client: Client) -> None:
    store, batches, go = client._sending.jobs.enqueue, [], asyncio.Event()

    async def slow(sender: str, number: int, jobs: Any) -> Any:
        batches.append(len(jobs))
        await go.wait()
        return await store(sender, number, jobs)

    client._sending.jobs.enqueue = slow  # type: ignore[method-assign]
    calls = [asyncio.create_task(client.enqueue("add"))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for n in range(10):
        calls.append(asyncio.create_task(client.enqueue("add", n)))
        await asyncio.sleep(0)
    assert batches == [1]
    go.set()
    await asyncio.gather(*calls)
    assert sum(batches) == 11
    assert len(batches) <= 5


async def test_each_concurrent_call_has_its_own_error(client: Client, redis) -> None:
    answers = await asyncio.gather(
        client.enqueue("fine"),
        client.enqueue("wrong", _delay=5),
        client.enqueue("large", "x" * 2**20),
        client.enqueue("fine", _id="twice"),
        client.enqueue("fine", _id="twice"),
        return_exceptions=True,
    )
    kinds = [type(answer).__name__ for answer in answers]
    assert kinds == ["JobRef", "InvalidOptionError", "PayloadTooLargeError", "JobRef", "JobRef"]
    assert [answer.duplicate for answer in (answers[0], *answers[3:])] == [False, False, True]
    assert await redis.zcard(BASE) == 2


async def test_a_caller_that_is_cancelled_does_not_disturb_the_others(client: Client) -> None:
    calls = [asyncio.create_task(client.enqueue("add", n)) for n in range(10)]
    await asyncio.sleep(0)
    calls[0].cancel()  # it made the sender
    calls[5].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [n in {0, 5} for n in range(10)]
    assert not (await client.enqueue("add", 11)).duplicate


async def test_close_waits_for_the_calls_that_are_under_way(redis_url: str, redis) -> None:
    client = Client(redis_url)
    calls = [asyncio.create_task(client.enqueue("add", n)) for n in range(10)]
    await asyncio.sleep(0)
    await client.close()
    assert len({(await call).id for call in calls}) == 10
    assert await redis.zcard(BASE) == 10


async def test_callers_hear_when_the_loop_ends_what_sends_for_them(client: Client) -> None:
    store, sent = client._sending.jobs.enqueue, asyncio.Event()

    async def never_answered(sender: str, number: int, jobs: Any) -> Any:
        if number > 1:
            sent.set()
            await asyncio.sleep(3600)
        return await store(sender, number, jobs)

    client._sending.jobs.enqueue = never_answered  # type: ignore[method-assign]
    calls = [asyncio.create_task(client.enqueue("add", n)) for n in range(4)]
    await sent.wait()
    assert client._sending._carrier is not None
    client._sending._carrier.cancel()
    await asyncio.wait(calls, timeout=5)
    assert [type(call.exception()) for call in calls] == [type(None), *3 * [UnreachableError]]


async def test_jobs_of_concurrent_calls_are_stored_in_the_order_of_the_calls(client: Client, redis) -> None:
    references = await asyncio.gather(*(client.enqueue("add", n) for n in range(3000)))
    stored = await redis.zrange(BASE, 0, -1)
    assert [job_id.decode() for job_id in stored] == [reference.id for reference in references]


async def test_of_calls_that_are_refused_together_each_is_told_of_its_own_job(client: Client, redis) -> None:
    store, full = client._sending.jobs.enqueue, False

    async def soon_full(sender: str, number: int, jobs: Any) -> Any:
        if full and len(jobs) == 1:
            raise OutOfMemoryError
        return await store(sender, number, jobs)

    client._sending.jobs.enqueue = soon_full  # type: ignore[method-assign]
    await redis.set("app:list", "no queue")
    calls = [asyncio.create_task(client.enqueue("add", n, _queue=q)) for n, q in enumerate(["a", "b", "app:list", "c"])]
    while not await redis.zcard("jobsd:{main}:b"):
        await asyncio.sleep(0)
    full = True
    told = await asyncio.gather(*calls, return_exceptions=True)
    for queue, said in zip("abc", (told[0], told[1], told[3]), strict=True):
        assert isinstance(said, StoreFullError) != await redis.zcard(f"jobsd:{{main}}:{queue}")
    assert isinstance(told[2], StoreRefusedError | StoreFullError)
