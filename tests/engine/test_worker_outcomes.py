"""How a run ends, and what becomes of its job."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from jobsd import Drop, JobState, Retry, SkipRetry, Snooze, fixed
from jobsd.clock import now_ms
from jobsd.errors import JobFailedError, JobNotFoundError
from tests.engine.hall import BASE, a_task, said, side_of, until

# --- success and failure --------------------------------------------------------------------------


async def test_a_job_that_succeeds_leaves_its_result_and_nothing_else(hall) -> None:
    async def add(ctx, a: int, b: int) -> int:
        return a + b

    hall.open(add)
    reference = await hall.client.enqueue("add", 1, b=2)
    assert await hall.result(reference) == 3
    assert await reference.status() is JobState.COMPLETED
    left = {key.decode() for key in await hall.redis.keys("*")}
    mine = {key for key in left if reference.id in key}
    assert mine == {f"arq:result:{reference.id}"}
    assert not {BASE, f"{BASE}:active", f"{BASE}:side", f"{BASE}:retry"} & left


async def test_failures_are_retried_with_the_backoff_and_then_succeed(hall, caplog) -> None:
    caplog.set_level("INFO", "jobsd")

    async def third_time_lucky(ctx) -> int:
        if ctx.attempt < 3:
            raise ValueError(ctx.attempt)
        return ctx.attempt

    hall.open(a_task(third_time_lucky, backoff=fixed("30ms")))
    assert await hall.result(await hall.client.enqueue("third_time_lucky")) == 3
    retried = said(caplog, "job.retried")
    assert [(line.attempt, line.cause) for line in retried] == [(1, "1"), (2, "2")]
    assert [line.delay_s for line in retried] == pytest.approx([0.03, 0.03], abs=0.03)


async def test_after_its_retries_a_job_is_archived_with_its_cause_and_trace(hall) -> None:
    async def fails(ctx) -> None:
        msg = f"no {ctx.attempt}"
        raise ValueError(msg)

    hall.open(a_task(fails, retries=2, backoff=fixed("0s")))
    reference = await hall.client.enqueue("fails")
    with pytest.raises(JobFailedError, match="no 3") as failed:
        await hall.result(reference)
    assert failed.value.error_type == "ValueError"
    assert await reference.status() is JobState.ARCHIVED
    dead = await hall.redis.hgetall(f"{BASE}:dead:{reference.id}")
    info = json.loads(dead[b"info"])
    assert (info["n"], info["f"], info["outcome"], info["message"]) == (3, 3, "failed", "no 3")
    assert "in fails" in info["trace"]
    assert json.loads(dead[b"payload"])["f"] == "fails"
    assert not await hall.redis.exists(f"arq:job:{reference.id}", f"{BASE}:side", BASE)


async def test_options_of_the_call_go_before_the_tasks(hall) -> None:
    runs = []

    async def fails(ctx) -> None:
        runs.append(ctx.attempt)
        raise ValueError

    task = a_task(fails, retries=50, backoff=fixed("1h"))
    hall.open(task)
    reference = await hall.client.enqueue(task.opts(retries=1, backoff=fixed("0s")))
    with pytest.raises(JobFailedError):
        await hall.result(reference)
    assert runs == [1, 2]


async def test_a_timeout_cancels_the_function_and_follows_the_retry_policy(hall) -> None:
    ended = []

    async def slow(ctx) -> int:
        if ctx.attempt == 2:
            return 2
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(ctx.attempt)
        return 1

    hall.open(a_task(slow, timeout="20ms", backoff=fixed("0s")), records=True)
    assert await hall.result(await hall.client.enqueue("slow")) == 2
    assert ended == [1]
    first, second = await hall.executions(2)
    assert (first.outcome, first.transition, first.message) == ("timed_out", "retry", "timed out after 0.02 s")
    assert "CancelledError" in first.error_trace
    assert (second.outcome, second.transition) == ("succeeded", "completed")


async def test_a_timeout_of_the_call_goes_before_the_tasks(hall) -> None:
    async def slow(ctx) -> None:
        await asyncio.sleep(3600)

    task = a_task(slow, timeout="1h")
    hall.open(task)
    reference = await hall.client.enqueue(task.opts(timeout="10ms", retries=0))
    with pytest.raises(JobFailedError, match=r"timed out after 0\.01 s"):
        await hall.result(reference)


async def test_a_function_that_returns_after_its_timeout_has_timed_out(hall) -> None:
    async def stubborn(ctx) -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "too late"
        return "never"

    hall.open(a_task(stubborn, timeout="10ms", retries=0))
    with pytest.raises(JobFailedError, match="timed out"):
        await hall.result(await hall.client.enqueue("stubborn"))


async def test_a_function_that_resists_keeps_its_slot_and_its_lease_and_no_other_run_begins(hall, caplog) -> None:
    runs, release = [], asyncio.Event()

    async def resists(ctx) -> int:
        runs.append(ctx.attempt)
        if ctx.attempt == 1:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
        return ctx.attempt

    worker = hall.open(a_task(resists, timeout="10ms", backoff=fixed("0s")), lease="1s")
    reference = await hall.client.enqueue("resists")
    await until(lambda: said(caplog, "job.resisted"))
    (line,) = said(caplog, "job.resisted")
    assert (line.job_id, line.task, line.reason) == (reference.id, "resists", "timeout")
    lease_end = await hall.redis.zscore(f"{BASE}:active", reference.id)
    assert worker.free_slots == worker.options.concurrency - 1
    await until(lambda: _is_beyond(hall, reference.id, lease_end + 1000))  # prolonged for more than a whole lease
    assert runs == [1]
    assert await reference.status() is JobState.ACTIVE
    release.set()
    assert await hall.result(reference) == 2
    assert runs == [1, 2]


async def _is_beyond(hall, job_id: str, ms: float) -> bool:
    return await hall.redis.zscore(f"{BASE}:active", job_id) > ms


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
async def test_whatever_a_task_raises_the_worker_lives_on(hall, kind) -> None:
    async def raises(ctx) -> None:
        await asyncio.sleep(0)
        raise kind

    async def quick(ctx) -> int:
        return 1

    hall.open(a_task(raises, retries=0), quick, concurrency=1)
    with pytest.raises(JobFailedError) as failed:
        await hall.result(await hall.client.enqueue("raises"))
    assert failed.value.error_type == kind.__name__
    assert await hall.result(await hall.client.enqueue("quick")) == 1


async def test_a_function_that_cancels_its_own_task_still_ends(hall) -> None:
    async def cancels_itself(ctx) -> int:
        asyncio.current_task().cancel()
        return 5

    worker = hall.open(cancels_itself)
    assert await hall.result(await hall.client.enqueue("cancels_itself")) == 5
    assert not worker.attempts


# --- what a task raises to steer ------------------------------------------------------------------


async def test_retry_waits_as_long_as_it_says_and_costs_a_retry(hall) -> None:
    async def asks(ctx) -> None:
        raise Retry("1h")

    worker = hall.open(asks, retries=1)
    reference = await hall.client.enqueue("asks")
    await until(lambda: worker.ended["R"])
    await until(lambda: _state(reference, JobState.RETRY))
    due = await hall.redis.zscore(BASE, reference.id)
    assert abs(due - now_ms() - 3_600_000) < 60_000
    assert (await side_of(hall, reference.id))["f"] == 1


async def _state(reference, state: JobState) -> bool:
    return await reference.status() is state


async def test_snooze_costs_nothing_however_often(hall) -> None:
    async def dozes(ctx) -> int:
        if ctx.attempt < 6:
            raise Snooze("1ms")
        if ctx.attempt == 6:
            raise ValueError  # its one retry is still there
        return ctx.attempt

    hall.open(a_task(dozes, retries=1, backoff=fixed("0s")), records=True)
    assert await hall.result(await hall.client.enqueue("dozes")) == 7
    runs = await hall.executions(7)
    assert [run.outcome for run in runs] == ["snoozed"] * 5 + ["failed", "succeeded"]
    assert [run.attempt for run in runs] == [1, 2, 3, 4, 5, 6, 7]


async def test_skip_retry_archives_at_once(hall) -> None:
    async def gives_up(ctx) -> None:
        msg = "no such customer"
        raise SkipRetry(msg)

    hall.open(a_task(gives_up, retries=50))
    with pytest.raises(JobFailedError, match="no such customer"):
        await hall.result(await hall.client.enqueue("gives_up"))


async def test_drop_leaves_no_trace_of_the_job(hall) -> None:
    async def drops(ctx) -> None:
        raise Drop("superseded")

    worker = hall.open(drops, records=True)
    reference = await hall.client.enqueue("drops")
    await until(lambda: worker.ended["D"])
    with pytest.raises(JobNotFoundError):
        await hall.result(reference)
    (run,) = await hall.executions(1)
    assert (run.outcome, run.transition, run.message) == ("dropped", "removed", "superseded")
    assert not [key for key in await hall.redis.keys("*") if reference.id.encode() in key]


# --- what cannot run ------------------------------------------------------------------------------


async def test_arguments_that_do_not_fit_are_archived_at_once(hall) -> None:
    async def add(ctx, a: int, b: int) -> int:
        return a + b

    hall.open(add)
    with pytest.raises(JobFailedError, match="b: input should be a valid integer") as failed:
        await hall.result(await hall.client.enqueue("add", 1, "two"))
    assert failed.value.error_type == "InvalidArgumentsError"


async def test_a_validator_that_raises_anything_does_not_disturb_the_worker(hall) -> None:
    class Odd:
        @classmethod
        def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
            raise LookupError

    async def takes(ctx, what: Any) -> None: ...

    takes.__annotations__["what"] = Odd
    hall.open(takes)
    with pytest.raises(JobFailedError):
        await hall.result(await hall.client.enqueue("takes", 1))


async def test_a_payload_that_cannot_be_read_is_archived_and_the_next_job_runs(hall) -> None:
    async def quick(ctx) -> int:
        return 1

    await hall.redis.zadd(BASE, {"gone": 1, "pickled": 2})
    await hall.redis.set("arq:job:pickled", b"\x80\x04nonsense")
    hall.open(quick, concurrency=1)
    assert await hall.result(await hall.client.enqueue("quick")) == 1
    for job_id, cause in (("gone", "the payload is gone"), ("pickled", "cannot be read")):
        info = json.loads(await hall.redis.hget(f"{BASE}:dead:{job_id}", "info"))
        assert cause in info["message"]


async def test_a_job_of_an_unknown_task_is_parked_until_a_worker_knows_it(hall) -> None:
    async def quick(ctx) -> int:
        return ctx.attempt

    async def new(ctx) -> int:
        return ctx.attempt

    old = hall.open(quick)
    reference = await hall.client.enqueue("new")
    await until(lambda: _state(reference, JobState.PARKED))
    await hall.stop(old)
    hall.open(quick, new)
    assert await hall.result(reference) == 1  # it had never started
