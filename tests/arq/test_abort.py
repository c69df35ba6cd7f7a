"""Job.abort(): of what runs, of what waits, and of marks that mean nothing."""

from __future__ import annotations

import asyncio
import logging

import pytest
from arq import Retry
from arq.jobs import Job, JobStatus

from jobsd.store.neighbours import Neighbours
from tests.arq.office import soon
from tests.engine.hall import read_execution
from tests.waiting import PATIENCE_S, until


async def test_a_running_job_is_aborted(office, caplog) -> None:
    caplog.set_level(logging.INFO)
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def sleeps(ctx):
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    job = await office.jobs.enqueue_job("sleeps", _job_id="s")
    worker = office.open(sleeps, allow_abort_jobs=True)
    await soon(began)
    assert await job.status() is JobStatus.in_progress
    assert await job.abort(timeout=PATIENCE_S, poll_delay=0.02) is True
    assert cancelled.is_set()
    assert (worker.jobs_failed, worker.jobs_retried) == (1, 0)
    assert "⊘ s:sleeps aborted" in caplog.text
    with pytest.raises(asyncio.CancelledError):
        await job.result(timeout=0)
    await until(lambda: not_marked(office))


async def test_a_job_that_waits_is_aborted_before_it_starts(office, caplog) -> None:
    caplog.set_level(logging.INFO)
    runs = []

    async def works(ctx):
        runs.append(1)

    job = await office.jobs.enqueue_job("works", _job_id="w")
    with pytest.raises(asyncio.TimeoutError):
        await job.abort(timeout=0)
    await office.burst(works, allow_abort_jobs=True)
    with pytest.raises(asyncio.CancelledError):
        await job.result(timeout=0)
    assert runs == []
    assert "⊘ w:works aborted before start" in caplog.text


async def test_a_deferred_job_is_aborted_now(office) -> None:
    runs = []

    async def works(ctx):
        runs.append(1)

    job = await office.jobs.enqueue_job("works", _defer_by=3600)
    office.open(works, allow_abort_jobs=True)
    assert await job.abort(timeout=PATIENCE_S, poll_delay=0.02) is True
    assert runs == []


async def test_a_job_between_two_tries_is_aborted(office) -> None:
    tried = asyncio.Event()

    async def later(ctx):
        tried.set()
        raise Retry(defer=3600)

    job = await office.jobs.enqueue_job("later")
    office.open(later, allow_abort_jobs=True)
    await soon(tried)
    await until(lambda: is_status(job, JobStatus.deferred))
    assert await job.abort(timeout=PATIENCE_S, poll_delay=0.02) is True


async def test_a_job_that_ends_well_all_the_same_has_not_been_aborted(office) -> None:
    began = asyncio.Event()

    async def stubborn(ctx):
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "saved"

    job = await office.jobs.enqueue_job("stubborn")
    worker = office.open(stubborn, allow_abort_jobs=True)
    await soon(began)
    assert await job.abort(timeout=PATIENCE_S, poll_delay=0.02) is False
    assert await job.result(timeout=0) == "saved"
    assert worker.jobs_complete == 1


async def test_the_others_run_on(office) -> None:
    began, go = asyncio.Event(), asyncio.Event()
    names = []

    async def waits(ctx):
        names.append(ctx["job_id"])
        if len(names) == 2:
            began.set()
        await go.wait()
        return "well"

    one = await office.jobs.enqueue_job("waits", _job_id="one")
    other = await office.jobs.enqueue_job("waits", _job_id="other")
    office.open(waits, allow_abort_jobs=True)
    await soon(began)
    assert await one.abort(timeout=PATIENCE_S, poll_delay=0.02) is True
    go.set()
    assert await other.result(timeout=PATIENCE_S, poll_delay=0.02) == "well"


async def test_without_allow_abort_jobs_a_running_job_runs_on_and_once(office) -> None:
    began, go = asyncio.Event(), asyncio.Event()
    runs = []

    async def waits(ctx):
        runs.append(ctx["job_try"])
        began.set()
        await go.wait()
        return "well"

    job = await office.jobs.enqueue_job("waits")
    office.open(waits)
    await soon(began)
    aborting = asyncio.create_task(job.abort(timeout=PATIENCE_S, poll_delay=0.02))
    await until(lambda: office.redis.zcard("arq:abort"))
    go.set()
    assert await aborting is False
    assert runs == [1]


async def test_aborting_an_id_that_is_not_queued_does_not_poison_the_next_job_with_that_id(office) -> None:
    async def works(ctx):
        return "well"

    assert await Job("again", office.jobs).abort() is False
    await until(lambda: clock_moved(office))
    job = await office.jobs.enqueue_job("works", _job_id="again")
    worker = office.open(works, allow_abort_jobs=True)
    assert await job.result(timeout=PATIENCE_S, poll_delay=0.02) == "well"
    assert worker.jobs_failed == 0
    await until(lambda: not_marked(office))


async def test_a_mark_that_is_older_than_a_running_job_does_not_stop_it_and_is_removed(office) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def waits(ctx):
        began.set()
        await go.wait()
        return "well"

    job = await office.jobs.enqueue_job("waits", _job_id="w")
    office.open(waits, allow_abort_jobs=True)
    await soon(began)
    await office.redis.zadd("arq:abort", {"w": 1000})
    await until(lambda: not_marked(office))
    go.set()
    assert await job.result(timeout=PATIENCE_S, poll_delay=0.02) == "well"


async def test_marks_of_jobs_that_another_worker_runs_are_left_alone(office) -> None:
    async def works(ctx):
        pass

    elsewhere = await office.jobs.enqueue_job("works", _queue_name="arq:other", _job_id="e")
    with pytest.raises(asyncio.TimeoutError):
        await elsewhere.abort(timeout=0)
    await office.redis.zadd("arq:abort", {"gone": 1000})
    office.open(works, allow_abort_jobs=True)
    await until(lambda: has_marks(office, [b"e"]))


async def test_a_mark_that_was_set_again_meanwhile_stays(office) -> None:
    await office.redis.zadd("arq:abort", {"again": 2000, "old": 1000})
    await Neighbours(office.redis, "arq:queue").drop_aborts({"again": 1000, "old": 1000})
    assert await has_marks(office, [b"again"])


async def test_an_aborted_run_is_recorded_as_cancelled(office) -> None:
    began = asyncio.Event()

    async def sleeps(ctx):
        began.set()
        await asyncio.Event().wait()

    worker = office.worker(sleeps, allow_abort_jobs=True)
    worker.records = True
    job = await office.jobs.enqueue_job("sleeps")
    office.start(worker)
    await soon(began)
    assert await job.abort(timeout=PATIENCE_S, poll_delay=0.02) is True
    [(_, fields)] = await office.redis.xrange("jobsd:{main}::records")
    [record] = [read_execution(value) for value in fields.values()]
    assert (record.outcome, record.transition, record.error_type) == ("cancelled", "archived", "CancelledError")


async def not_marked(office) -> bool:
    return await office.redis.zcard("arq:abort") == 0


async def has_marks(office, marks) -> bool:
    return await office.redis.zrange("arq:abort", 0, -1) == marks


async def is_status(job, status) -> bool:
    return await job.status() is status


async def clock_moved(office) -> bool:
    """The mark and the next job must not be of the same millisecond."""
    marks = await office.redis.zrange("arq:abort", 0, -1, withscores=True)
    seconds, microseconds = await office.redis.time()
    return seconds * 1000 + microseconds // 1000 > max((score for _, score in marks), default=0)
