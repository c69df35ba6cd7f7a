"""arq's public client against a jobsd worker: every question it can ask."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from arq.jobs import Job, JobStatus, ResultNotFound
from arq.worker import JobExecutionFailed

from tests.arq.office import soon
from tests.waiting import PATIENCE_S, until

QUICK = {"timeout": PATIENCE_S, "poll_delay": 0.02}


async def works(ctx, *args, **kwargs):
    return [args, kwargs]


async def test_status_follows_a_job_through_its_life(office) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def waits(ctx):
        began.set()
        await go.wait()

    assert await Job("none", office.jobs).status() is JobStatus.not_found
    later = await office.jobs.enqueue_job("waits", _defer_by=3600)
    job = await office.jobs.enqueue_job("waits")
    assert await later.status() is JobStatus.deferred
    assert await job.status() is JobStatus.queued
    office.open(waits)
    await soon(began)
    assert await job.status() is JobStatus.in_progress
    go.set()
    await until(lambda: is_status(job, JobStatus.complete))


async def test_info_tells_of_a_job_before_and_after(office) -> None:
    job = await office.jobs.enqueue_job("works", 1, b=2, _job_id="i", _job_try=2)
    before = await job.info()
    assert (before.function, before.args, before.kwargs, before.job_try) == ("works", (1,), {"b": 2}, 2)
    await office.burst(works)
    after = await job.info()
    assert (after.success, after.result, after.job_try) == (True, [(1,), {"b": 2}], 2)
    assert after.enqueue_time == before.enqueue_time
    assert after.queue_name == "arq:queue"
    assert after.score is None
    assert await job.result_info() == after


async def test_result_waits_until_it_is_there(office) -> None:
    job = await office.jobs.enqueue_job("works", 5)
    waiting = asyncio.create_task(job.result(**QUICK))
    office.open(works)
    assert await waiting == [(5,), {}]


async def test_an_id_is_taken_while_its_job_lives_or_its_result_is_kept(office) -> None:
    assert await office.jobs.enqueue_job("works", _job_id="one") is not None
    assert await office.jobs.enqueue_job("works", _job_id="one") is None
    await office.burst(works)
    assert await office.jobs.enqueue_job("works", _job_id="one") is None
    await office.redis.delete("arq:result:one")
    assert await office.jobs.enqueue_job("works", _job_id="one") is not None


async def test_deferring_by_and_until_are_the_same_instant(office) -> None:
    at = datetime.now(UTC) + timedelta(seconds=0.4)
    until_job = await office.jobs.enqueue_job("works", _defer_until=at)
    by_job = await office.jobs.enqueue_job("works", _defer_by=0.4)
    await office.burst(works)
    for job in (until_job, by_job):
        assert (await job.result_info()).start_time >= at - timedelta(milliseconds=1)


async def test_another_queue_is_served_by_its_own_worker(office) -> None:
    job = await office.jobs.enqueue_job("works", _queue_name="arq:other")
    await office.burst(works)
    assert await job.status() is JobStatus.queued
    await office.burst(works, queue_name="arq:other")
    assert await job.result(timeout=0) == [(), {}]


async def test_queued_jobs_are_those_that_wait_or_run(office) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def waits(ctx):
        began.set()
        await go.wait()

    await office.jobs.enqueue_job("waits", _job_id="runs")
    await office.jobs.enqueue_job("works", _job_id="waits", _defer_by=3600)
    office.open(waits, works)
    await soon(began)
    assert {job.job_id for job in await office.jobs.queued_jobs()} == {"runs", "waits"}
    go.set()


async def test_all_job_results_are_all_that_are_kept(office) -> None:
    for n in range(3):
        await office.jobs.enqueue_job("works", n)
    await office.burst(works)
    assert sorted(found.args for found in await office.jobs.all_job_results()) == [(0,), (1,), (2,)]


async def test_a_job_that_expired_before_a_worker_came_is_answered_so(office) -> None:
    job = await office.jobs.enqueue_job("works", _expires=0.01, _job_id="e")
    await until(lambda: is_gone(office, "arq:job:e"))
    worker = await office.burst(works)
    with pytest.raises(JobExecutionFailed, match="job expired"):
        await job.result(timeout=0)
    assert worker.jobs_failed == 1


async def test_a_job_that_is_good_for_a_while_expires_though_a_worker_is_there(office) -> None:
    runs = []

    async def counts(ctx):
        runs.append(ctx["job_id"])

    worker = office.open(counts, works)
    await until(lambda: worker.engine is not None)
    await worker.engine.jobs.pause("arq:queue", paused=True)
    await office.jobs.enqueue_job("counts", _job_id="day")
    job = await office.jobs.enqueue_job("counts", _job_id="while", _expires=3600)
    assert await worker.engine.jobs.adopt("arq:queue", "0") == "0"
    assert await office.redis.pttl("arq:job:day") == -1
    assert await office.redis.pttl("arq:job:while") > 0
    await office.redis.delete("arq:job:while")  # as the hour would
    await worker.engine.jobs.pause("arq:queue", paused=False)
    with pytest.raises(JobExecutionFailed, match="job expired"):
        await job.result(**QUICK)
    await until(lambda: runs)
    assert runs == ["day"]


async def test_a_worker_leaves_alone_what_is_good_for_a_while_only(office) -> None:
    await office.jobs.enqueue_job("works", _job_id="day", _defer_by=3600)
    await office.jobs.enqueue_job("works", _job_id="while", _defer_by=3600, _expires=7200)
    office.open(works)
    await until(lambda: is_persistent(office, "arq:job:day"))
    assert await office.redis.pttl("arq:job:while") > 0


async def test_no_trace_of_a_job_is_left_but_its_result(office) -> None:
    await office.jobs.enqueue_job("works", _job_id="trace")
    await office.burst(works)
    keys = {key.decode() for key in await office.redis.keys("*trace*")}
    assert keys == {"arq:result:trace"}
    with pytest.raises(ResultNotFound):
        await Job("never", office.jobs).result(timeout=0)


async def is_status(job, status) -> bool:
    return await job.status() is status


async def is_gone(office, key: str) -> bool:
    return not await office.redis.exists(key)


async def is_persistent(office, key: str) -> bool:
    return await office.redis.pttl(key) == -1
