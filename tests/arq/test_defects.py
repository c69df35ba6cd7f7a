"""What goes wrong in arq 0.28 and must not here: each was reproduced there."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from arq import Retry, func
from arq.jobs import JobStatus, ResultNotFound
from arq.worker import JobExecutionFailed

import jobsd
from tests.arq.office import soon
from tests.waiting import PATIENCE_S, until

QUICK = {"timeout": PATIENCE_S, "poll_delay": 0.02}


async def works(ctx):
    return "well"


async def never(ctx):
    raise Retry


async def test_exhausted_tries_with_results_kept_for_ever_do_not_end_the_worker(office) -> None:
    bad = await office.jobs.enqueue_job("never")
    office.open(never, works, keep_result_forever=True, max_tries=2)
    with pytest.raises(JobExecutionFailed, match="max 2 retries exceeded"):
        await bad.result(**QUICK)
    assert await office.redis.ttl(f"arq:result:{bad.job_id}") == -1
    assert await (await office.jobs.enqueue_job("works")).result(**QUICK) == "well"


async def test_a_functions_own_keep_result_holds_when_its_tries_are_exhausted(office) -> None:
    job = await office.jobs.enqueue_job("never")
    await office.burst(func(never, name="never", max_tries=1, keep_result=0))
    with pytest.raises(ResultNotFound):
        await job.result(timeout=0)


@pytest.mark.parametrize("hook", ["on_job_start", "on_job_end", "after_job_end"])
async def test_a_hook_that_raises_neither_ends_the_worker_nor_keeps_the_job(office, hook, caplog) -> None:
    calls = []

    async def raises(ctx):
        calls.append(ctx["job_id"])
        if len(calls) == 1:
            msg = "hook"
            raise ValueError(msg)

    first = await office.jobs.enqueue_job("works", _job_id="first")
    worker = office.open(works, **{hook: raises})
    if hook == "on_job_start":  # the function was not to run in what the hook did not make ready
        with pytest.raises(ValueError, match="hook"):
            await first.result(**QUICK)
    else:
        assert await first.result(**QUICK) == "well"
        await until(lambda: "hook.failed" in caplog.text)
    assert await first.status() is JobStatus.complete
    assert await (await office.jobs.enqueue_job("works")).result(**QUICK) == "well"
    assert worker.engine is not None
    assert worker.engine.attempts == {}


async def test_a_retry_that_a_start_hook_asks_for_is_one(office) -> None:
    async def not_yet(ctx):
        if ctx["job_try"] == 1:
            raise Retry(0.01)

    job = await office.jobs.enqueue_job("works")
    await office.burst(works, on_job_start=not_yet)
    assert await job.result(timeout=0) == "well"


async def test_more_running_jobs_than_are_read_at_once_hide_nobody_behind_them(office) -> None:
    running, all_run, go = [], asyncio.Event(), asyncio.Event()

    async def holds(ctx):
        running.append(ctx["job_id"])
        if len(running) == 12:
            all_run.set()
        await go.wait()

    for _ in range(12):
        await office.jobs.enqueue_job("holds")
    office.open(holds, max_jobs=12, queue_read_limit=2)
    await soon(all_run)
    idle = office.open(holds, works, max_jobs=1, queue_read_limit=2)
    behind = await office.jobs.enqueue_job("works")
    assert await behind.result(**QUICK) == "well"
    assert idle.jobs_complete == 1
    go.set()


async def test_a_deploy_costs_no_try(office) -> None:
    tries, began = [], asyncio.Event()

    async def long(ctx):
        tries.append(ctx["job_try"])
        began.set()
        if len(tries) < 8:
            await asyncio.Event().wait()
        return "well"

    job = await office.jobs.enqueue_job("long")
    for _ in range(7):
        began.clear()
        worker = office.open(long, max_tries=2)
        await soon(began)
        await office.shut(worker)
        assert worker.jobs_retried == 1
    await office.burst(long, max_tries=2)
    assert await job.result(timeout=0) == "well"
    assert tries == [1] * 8


async def test_a_job_that_must_not_run_again_is_failed_by_a_deploy(office) -> None:
    runs, began = [], asyncio.Event()

    async def long(ctx):
        runs.append(1)
        began.set()
        await asyncio.Event().wait()

    job = await office.jobs.enqueue_job("long")
    worker = office.open(long, retry_jobs=False)
    await soon(began)
    await office.shut(worker)
    with pytest.raises(asyncio.CancelledError):
        await job.result(timeout=0)
    await office.burst(long, retry_jobs=False)
    assert runs == [1]


async def test_a_job_that_waits_longer_than_a_day_keeps_its_payload(office) -> None:
    await office.jobs.enqueue_job("works", _job_id="w", _defer_by=3600)
    assert await office.redis.pttl("arq:job:w") > 0
    office.open(works)
    await until(lambda: is_persistent(office, "arq:job:w"))


async def test_no_limit_of_time_can_be_asked_for_with_several_functions(office) -> None:
    job = await office.jobs.enqueue_job("works")
    await office.burst(works, never, job_timeout=None)
    assert await job.result(timeout=0) == "well"


async def test_a_timeout_of_zero_is_none_of_its_own(office) -> None:
    job = await office.jobs.enqueue_job("works")
    await office.burst(func(works, name="works", timeout=0))
    assert await job.result(timeout=0) == "well"


async def test_an_empty_context_is_the_one_that_the_worker_uses(office) -> None:
    mine: dict = {}

    async def startup(ctx):
        ctx["made"] = True

    await office.burst(works, ctx=mine, on_startup=startup)
    assert mine["made"] is True


async def test_lost_connections_do_not_end_the_worker(office) -> None:
    job = await office.jobs.enqueue_job("works")
    office.open(works)
    assert await job.result(**QUICK) == "well"
    await office.redis.client_kill_filter(skipme=True, _type="normal")
    again = await office.client()
    job = await again.enqueue_job("works")
    assert await job.result(**QUICK) == "well"


async def test_close_lets_running_jobs_end_where_they_have_time_to(office) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def waits(ctx):
        began.set()
        await go.wait()
        return "well"

    job = await office.jobs.enqueue_job("waits")
    worker = office.open(waits, handle_signals=False, job_completion_wait=PATIENCE_S)
    await soon(began)
    closing = asyncio.create_task(office.shut(worker))
    await until(lambda: not worker.allow_pick_jobs)
    go.set()
    await closing
    assert await job.result(timeout=0) == "well"


async def test_an_id_whose_payload_has_expired_can_be_enqueued_again_and_runs_once(office) -> None:
    runs = []

    async def counts(ctx, n):
        runs.append(n)

    await office.jobs.enqueue_job("counts", 1, _job_id="c", _defer_by=3600)
    await office.redis.delete("arq:job:c")  # as its TTL would
    again = await office.jobs.enqueue_job("counts", 2, _job_id="c")
    worker = await office.burst(counts)
    assert runs == [2]
    assert await again.status() is JobStatus.complete
    assert (worker.jobs_complete, worker.jobs_failed) == (1, 0)


async def test_an_id_that_runs_cannot_be_enqueued_again_however_short_its_payload_was_to_live(office) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def waits(ctx):
        began.set()
        await go.wait()
        return "well"

    job = await office.jobs.enqueue_job("waits", _job_id="w", _expires=3600)
    office.open(waits)
    await soon(began)
    assert await office.redis.pttl("arq:job:w") == -1
    assert await office.jobs.enqueue_job("waits", _job_id="w") is None
    go.set()
    assert await job.result(**QUICK) == "well"


async def test_a_payload_that_expires_while_its_queue_is_paused_is_answered_once_it_goes_on(office) -> None:
    worker = office.open(works)
    await until(lambda: worker.engine is not None)
    assert worker.engine is not None
    await worker.engine.jobs.pause("arq:queue", paused=True)
    job = await office.jobs.enqueue_job("works", _job_id="p")
    await office.redis.delete("arq:job:p")  # as its TTL would
    waiting = await office.jobs.enqueue_job("works")
    await worker.engine.jobs.pause("arq:queue", paused=False)
    with pytest.raises(JobExecutionFailed, match="job expired"):
        await job.result(**QUICK)
    assert await waiting.result(**QUICK) == "well"


async def test_a_queue_may_have_any_name(office) -> None:
    for name in ("mails", "arq:mails", "jobsd:{main}:default"):
        jobs = await office.client(default_queue_name=name)
        job = await jobs.enqueue_job("works")
        assert await office.redis.zcard(name) == 1
        worker = await office.burst(works, queue_name=name)
        assert await job.result(timeout=0) == "well"
        assert (await job.result_info()).queue_name == name
        assert worker.jobs_complete == 1


async def test_jobs_of_a_queue_with_a_plain_name_are_taken_back_by_any_daemon(office) -> None:
    jobs = await office.client(default_queue_name="mails")
    job = await jobs.enqueue_job("works", _job_id="m")
    await office.redis.zadd("mails:active", {"m": 1})
    await office.redis.set("arq:in-progress:m", "dead:1:1:1:1:1")
    await office.redis.sadd("jobsd:{main}::queues", "mails")
    seconds, _ = await office.redis.time()
    await office.redis.hset("jobsd:{main}::state", "seen", seconds * 1000)  # nobody was away: no amnesty
    office.open(works)  # of another queue: it only takes back
    await until(lambda: is_idle(office, "mails:active"))
    await office.burst(works, queue_name="mails")
    assert await job.result(timeout=0) == "well"


async def test_a_lost_run_costs_no_try(office) -> None:
    async def tells(ctx):
        return ctx["job_try"]

    job = await office.jobs.enqueue_job("tells", _job_id="l")
    await office.redis.hset("arq:queue:side", "l", '{"n": 2, "l": 2}')
    await office.burst(tells, max_tries=1)
    assert await job.result(timeout=0) == 1


async def test_values_that_are_no_json_neither_fail_a_job_nor_its_record(office) -> None:
    async def echo(ctx, value):
        value.append(value)
        return value

    worker = office.worker(echo, burst=True)
    worker.records = True
    job = await office.jobs.enqueue_job("echo", [b"\xff"])
    async with asyncio.timeout(PATIENCE_S):
        await worker.main()
        await worker.close()
    found = pickle.loads(await office.redis.get(f"arq:result:{job.job_id}"))["r"]  # noqa: S301 - ours
    assert found[0] == b"\xff"
    assert found[1] is found
    assert (worker.jobs_complete, await office.redis.xlen("jobsd:{main}::records")) == (1, 1)


def test_the_class_is_arqs_own_with_arqs_signature() -> None:
    import inspect  # noqa: PLC0415

    import arq  # noqa: PLC0415

    assert issubclass(jobsd.Worker, arq.Worker)
    assert inspect.signature(jobsd.Worker) == inspect.signature(arq.Worker)


async def is_persistent(office, key: str) -> bool:
    return await office.redis.pttl(key) == -1


async def is_idle(office, key: str) -> bool:
    return not await office.redis.exists(key)
