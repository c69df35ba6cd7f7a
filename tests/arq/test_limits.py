"""Limits and cancelling where arq's functions run: jobsd's words about arq's queues."""

from __future__ import annotations

import asyncio

import pytest
from arq import Retry
from arq.jobs import JobStatus

from jobsd import CancelState, Client
from jobsd.store.jobs import Jobs
from jobsd.store.looks import Looks
from tests.arq.office import soon

QUEUE = "arq:queue"


async def test_an_arq_worker_keeps_the_limits_of_its_queue_and_does_not_change_them(office) -> None:
    running, most = [], []

    async def works(ctx):
        running.append(1)
        most.append(len(running))
        await asyncio.sleep(0)
        running.pop()

    await Jobs(office.redis).limit(QUEUE, "config", "1:500:10000:::|1|")
    for _ in range(5):
        await office.jobs.enqueue_job("works")
    worker = await office.burst(works)
    assert worker.jobs_complete == 5
    assert set(most) == {1}
    assert (await Looks(office.redis).limits([QUEUE]))[QUEUE] == "1:500:10000:::|1|"


async def test_an_arq_worker_keeps_as_many_results_as_a_daemon_says_of_its_queue_and_says_nothing_itself(
    office,
) -> None:
    async def works(ctx):
        return 1

    async def results_of(count: int) -> int:
        jobs = [await office.jobs.enqueue_job("works") for _ in range(count)]
        await office.burst(works)
        return [await job.status() for job in jobs].count(JobStatus.complete)

    assert await results_of(5) == 5
    assert await office.redis.hget("jobsd:{main}::state", f"keep:{QUEUE}") is None
    await Jobs(office.redis).announce("w1", {"pid": "1"}, [QUEUE], keep={QUEUE: "2:1000:2"})
    assert await results_of(5) == 2
    assert await office.redis.hget("jobsd:{main}::state", f"keep:{QUEUE}") == b"2:1000:2"


@pytest.mark.parametrize("ending", [asyncio.CancelledError, ValueError, Retry])
async def test_a_job_that_an_arq_worker_runs_is_cancelled_like_any_other(office, ending) -> None:
    began, tries = asyncio.Event(), []

    async def sleeps(ctx):
        tries.append(ctx["job_try"])
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ending from None

    job = await office.jobs.enqueue_job("sleeps", _job_id="s")
    worker = office.open(sleeps)
    await soon(began)
    async with Client(office.url) as client:
        how = await client.job("s", queue=QUEUE).cancel()
    assert how is CancelState.CANCELLED
    with pytest.raises(asyncio.CancelledError):
        await job.result(timeout=5)
    assert tries == [1]
    assert worker.jobs_failed == 1
    assert await job.status() is JobStatus.complete
