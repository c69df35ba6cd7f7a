"""arq's rules for functions that came arq's way: what runs again, what ends a job, what is handed to it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from arq import Retry, func
from arq.jobs import JobStatus
from arq.worker import FailedJobs, JobExecutionFailed, RetryJob

import jobsd
from tests.arq.office import soon
from tests.waiting import PATIENCE_S


class CardRefusedError(Exception):
    pass


async def test_a_function_gets_all_that_arq_puts_into_its_context(office) -> None:
    seen = {}

    async def look(ctx):
        seen.update(ctx)

    before = datetime.now(UTC)
    await office.jobs.enqueue_job("look", _job_id="looks")
    worker = await office.burst(look, ctx={"own": 1})
    assert seen["job_id"] == "looks"
    assert seen["job_try"] == 1
    assert before - timedelta(seconds=1) < seen["enqueue_time"] <= datetime.now(UTC)
    assert seen["score"] == int(seen["enqueue_time"].timestamp() * 1000)
    assert seen["own"] == 1
    assert hasattr(seen["redis"], "enqueue_job")
    assert worker.jobs_complete == 1


async def test_a_function_can_enqueue_another_through_its_context(office) -> None:
    async def second(ctx, n):
        return n + 1

    async def first(ctx, n):
        job = await ctx["redis"].enqueue_job("second", n + 1)
        return job.job_id

    job = await office.jobs.enqueue_job("first", 1)
    await office.burst(first, second)
    results = {found.function: found.result for found in await office.jobs.all_job_results()}
    assert results["second"] == 3
    assert results["first"] == await job.result()


async def test_an_exception_ends_the_job_at_once_and_comes_back_as_itself(office) -> None:
    runs = []

    async def pay(ctx):
        runs.append(ctx["job_try"])
        raise CardRefusedError("stolen", 7)

    job = await office.jobs.enqueue_job("pay")
    worker = await office.burst(pay)
    with pytest.raises(CardRefusedError) as caught:
        await job.result(timeout=0)
    assert caught.value.args == ("stolen", 7)
    assert runs == [1]
    assert (worker.jobs_complete, worker.jobs_failed, worker.jobs_retried) == (0, 1, 0)
    assert (await job.result_info()).success is False


async def test_retry_runs_again_after_its_delay_and_counts_the_tries(office) -> None:
    tries = []

    async def third_time(ctx):
        tries.append((ctx["job_try"], ctx["score"]))
        if ctx["job_try"] < 3:
            raise Retry(defer=ctx["job_try"] * 0.05)
        return "done"

    job = await office.jobs.enqueue_job("third_time")
    worker = await office.burst(third_time)
    assert await job.result(timeout=0) == "done"
    assert [number for number, _ in tries] == [1, 2, 3]
    first, second, third = (score for _, score in tries)
    assert second - first >= 50
    assert third - second >= 100
    assert worker.jobs_retried == 2
    assert (await job.result_info()).job_try == 3


async def test_retry_without_a_delay_runs_again_at_once(office) -> None:
    async def second_time(ctx):
        if ctx["job_try"] == 1:
            raise Retry
        return ctx["score"]

    job = await office.jobs.enqueue_job("second_time")
    score = (await job.info()).score
    await office.burst(second_time)
    assert await job.result(timeout=0) - score < 5000  # jobsd's own backoff would begin with up to ten seconds


async def test_the_try_that_is_one_too_many_fails_the_job_in_arqs_words(office, caplog) -> None:
    async def never(ctx):
        raise Retry

    job = await office.jobs.enqueue_job("never", _job_id="n")
    worker = await office.burst(never, max_tries=3)
    with pytest.raises(JobExecutionFailed, match=r"^max 3 retries exceeded$"):
        await job.result(timeout=0)
    assert (worker.jobs_retried, worker.jobs_failed) == (3, 1)
    assert (await job.result_info()).job_try == 4
    assert "n:never max retries 3 exceeded" in caplog.text
    assert "failed" not in caplog.text  # it is said once


async def test_a_functions_own_limit_of_tries_goes_before_the_workers(office) -> None:
    async def never(ctx):
        raise Retry

    job = await office.jobs.enqueue_job("never")
    await office.burst(func(never, name="never", max_tries=1))
    with pytest.raises(JobExecutionFailed, match="max 1 retries exceeded"):
        await job.result(timeout=0)


async def test_the_first_try_has_the_number_that_the_client_gave_it(office) -> None:
    tries = []

    async def again(ctx):
        tries.append(ctx["job_try"])
        raise Retry

    await office.jobs.enqueue_job("again", _job_try=4)
    await office.burst(again)
    assert tries == [4, 5]


@pytest.mark.parametrize("error", [RetryJob, asyncio.CancelledError])
async def test_a_cancellation_that_the_function_raises_runs_again(office, error) -> None:
    async def once(ctx):
        if ctx["job_try"] == 1:
            raise error
        return "well"

    job = await office.jobs.enqueue_job("once")
    worker = await office.burst(once)
    assert await job.result(timeout=0) == "well"
    assert worker.jobs_retried == 1


@pytest.mark.parametrize("error", [Retry(0.01), RetryJob("again"), asyncio.CancelledError()])
async def test_with_retry_jobs_off_nothing_runs_again(office, error) -> None:
    async def once(ctx):
        raise error

    job = await office.jobs.enqueue_job("once")
    worker = await office.burst(once, retry_jobs=False)
    with pytest.raises(type(error)):
        await job.result(timeout=0)
    assert (worker.jobs_retried, worker.jobs_failed) == (0, 1)


async def test_jobsds_retry_runs_again_too(office) -> None:
    async def once(ctx):
        if ctx["job_try"] == 1:
            raise jobsd.Retry("10ms")
        return "well"

    job = await office.jobs.enqueue_job("once")
    await office.burst(once)
    assert await job.result(timeout=0) == "well"


async def test_a_timeout_ends_the_job_with_a_timeout_error(office) -> None:
    runs = []

    async def sleeps(ctx):
        runs.append(1)
        await asyncio.Event().wait()

    job = await office.jobs.enqueue_job("sleeps")
    worker = await office.burst(sleeps, job_timeout=0.05)
    with pytest.raises(asyncio.TimeoutError):
        await job.result(timeout=0)
    assert runs == [1]
    assert worker.jobs_failed == 1


async def test_a_functions_own_timeout_goes_before_the_workers(office) -> None:
    async def sleeps(ctx):
        await asyncio.Event().wait()

    job = await office.jobs.enqueue_job("sleeps")
    await office.burst(func(sleeps, name="sleeps", timeout=timedelta(milliseconds=50)))
    with pytest.raises(asyncio.TimeoutError):
        await job.result(timeout=0)


async def test_a_function_that_nobody_registered_fails_its_job(office, caplog) -> None:
    async def known(ctx):
        pass

    job = await office.jobs.enqueue_job("unknown", _job_id="u")
    with pytest.raises(FailedJobs, match="function 'unknown' not found"):
        await office.check(known)
    with pytest.raises(JobExecutionFailed, match=r"^function 'unknown' not found$"):
        await job.result(timeout=0)
    assert "job u, function 'unknown' not found" in caplog.text


async def test_hooks_share_the_context_of_their_job_and_come_in_arqs_order(office) -> None:
    calls = []
    written = []

    async def starts(ctx):
        ctx["session"] = ctx["job_id"]
        calls.append("start")

    async def works(ctx):
        calls.append(f"run {ctx['session']}")

    async def ends(ctx):
        calls.append(f"end {ctx['session']}")
        written.append(await office.redis.exists("arq:result:j"))

    async def afterwards(ctx):
        calls.append(f"after {ctx['session']}")
        written.append(await office.redis.exists("arq:result:j"))

    await office.jobs.enqueue_job("works", _job_id="j")
    await office.burst(works, on_job_start=starts, on_job_end=ends, after_job_end=afterwards)
    assert calls == ["start", "run j", "end j", "after j"]
    assert written == [0, 1]


async def test_the_hooks_of_the_end_are_called_for_failures_and_retries_too(office) -> None:
    calls = []

    async def works(ctx):
        if ctx["job_try"] == 1:
            raise Retry
        raise ValueError

    async def ends(ctx):
        calls.append(("end", ctx["job_try"]))

    async def afterwards(ctx):
        calls.append(("after", ctx["job_try"]))

    await office.jobs.enqueue_job("works")
    await office.burst(works, on_job_end=ends, after_job_end=afterwards)
    assert sorted(calls) == [("after", 1), ("after", 2), ("end", 1), ("end", 2)]


async def test_start_and_shutdown_share_the_workers_context(office) -> None:
    calls = []

    async def startup(ctx):
        ctx["greeting"] = "hello"

    async def greet(ctx, name):
        return f"{ctx['greeting']} {name}"

    async def shutdown(ctx):
        calls.append(ctx["greeting"])

    job = await office.jobs.enqueue_job("greet", "ann")
    await office.burst(greet, on_startup=startup, on_shutdown=shutdown)
    assert await job.result(timeout=0) == "hello ann"
    assert calls == ["hello"]


async def test_more_jobs_than_max_jobs_do_not_run_at_the_same_time(office) -> None:
    running, most, go = 0, 0, asyncio.Event()
    full = asyncio.Event()

    async def works(ctx):
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        await go.wait()
        running -= 1

    for _ in range(8):
        await office.jobs.enqueue_job("works")
    worker = office.open(works, max_jobs=3)
    await soon(full)
    go.set()
    async with asyncio.timeout(PATIENCE_S):
        while worker.jobs_complete < 8:
            await asyncio.sleep(0.005)
    assert most == 3


async def test_a_deferred_job_is_deferred_until_its_time(office) -> None:
    async def look(ctx):
        return ctx["score"]

    job = await office.jobs.enqueue_job("look", _defer_by=timedelta(milliseconds=300))
    assert await job.status() is JobStatus.deferred
    due = (await job.info()).score
    await office.burst(look)
    assert await job.result(timeout=0) == due
    assert (await job.result_info()).start_time.timestamp() * 1000 >= due
