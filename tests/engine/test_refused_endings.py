"""Endings that the server answers with an error: nothing is lost, and one bad ending stops no other."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ResponseError

from jobsd import JobState
from jobsd.errors import JobFailedError, StoreRefusedError
from jobsd.store.keys import records_key
from jobsd.store.looks import Looks
from tests.engine.hall import a_task, until

if TYPE_CHECKING:
    from jobsd.engine.worker import Worker


async def quick(ctx, n: int = 0) -> int:
    return n


async def test_a_queue_that_takes_no_endings_stops_no_other_and_its_jobs_are_archived_with_the_cause(hall) -> None:
    await hall.redis.set("jobsd:{main}:default:completed", "no zset")
    task = a_task(quick)
    bad = await hall.client.enqueue(task, 1)
    good = [await hall.client.enqueue(task.opts(queue="other"), n) for n in range(5)]
    hall.open(task, queues={"default": 1, "other": 1})
    for n, reference in enumerate(good):
        assert await hall.result(reference) == n
    await until(lambda: hall.redis.exists(f"jobsd:{{main}}:default:dead:{bad.id}"))
    info = await hall.redis.hget(f"jobsd:{{main}}:default:dead:{bad.id}", "info")
    assert b"could not be written: WRONGTYPE" in info


async def test_refusals_that_pass_cost_no_ending(hall) -> None:
    worker = hall.make(quick, concurrency=1)
    finish, refused = worker.jobs.finish, []

    async def refuses_once(name: str, number: int, *args: Any, **options: Any) -> Any:
        if number not in refused:
            refused.append(number)
            raise ResponseError("ERR not now")
        return await finish(name, number, *args, **options)

    worker.jobs.finish = refuses_once
    hall.start(worker)
    references = [await hall.client.enqueue("quick", n) for n in range(12)]
    for n, reference in enumerate(references):
        assert await hall.result(reference) == n


@pytest.mark.parametrize(
    "refusal", ["MISCONF disk is full", "NOREPLICAS not enough", "BUSY a script runs", "NOPERM no"]
)
async def test_a_server_that_refuses_everybody_is_waited_for(hall, refusal: str) -> None:
    worker = hall.make(quick)
    finish, times = worker.jobs.finish, []

    async def refuses_for_a_while(*args: Any, **options: Any) -> Any:
        times.append(1)
        if len(times) <= 12:
            raise ResponseError(refusal)
        return await finish(*args, **options)

    worker.jobs.finish = refuses_for_a_while
    worker.finisher.sleep = _no_pause
    hall.start(worker)
    assert await hall.result(await hall.client.enqueue("quick", 7)) == 7


async def _no_pause(_seconds: float) -> None:
    """The pauses between tries are not what is tested."""


async def test_a_caller_with_a_bad_queue_does_not_fail_its_neighbours(hall) -> None:
    await hall.redis.set("app:list", "no queue")
    task = a_task(quick)
    calls = [hall.client.enqueue(task.opts(queue=queue), 1) for queue in ("default", "app:list", "other")]
    first, bad, third = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(bad, StoreRefusedError)
    assert await first.status() is JobState.PENDING
    assert await third.status() is JobState.PENDING


def stop_with_the_first_lease(worker: Worker) -> None:
    """Let the stop come while the answer to a claim is under way."""
    claim = worker.jobs.claim

    async def stopped_meanwhile(*args: Any, **options: Any) -> Any:
        claimed = await claim(*args, **options)
        if claimed.leases:
            worker.stop()
            await until(worker._stop_requested.is_set)
        return claimed

    worker.jobs.claim = stopped_meanwhile  # type: ignore[method-assign]


async def test_a_job_given_back_before_it_began_is_as_it_was(hall) -> None:
    worker = hall.make(quick, records=True)
    stop_with_the_first_lease(worker)
    reference = await hall.client.enqueue("quick", 3)
    await hall.start(worker)
    assert await reference.status() is JobState.PENDING
    assert await Looks(hall.redis).side("default", reference.id) == {}
    assert not await hall.redis.exists(records_key())


async def test_a_job_that_never_began_may_still_miss_its_start(hall) -> None:
    began = []

    async def late(ctx) -> None:
        began.append(ctx.attempt)

    first = hall.make(late)
    stop_with_the_first_lease(first)
    start_by = datetime.now(UTC) + timedelta(seconds=1)
    reference = await hall.client.enqueue("late", _start_by=start_by)
    await hall.start(first)
    await until(lambda: datetime.now(UTC) > start_by)
    hall.open(late)
    with pytest.raises(JobFailedError, match="expired"):
        await hall.result(reference)
    assert began == []
