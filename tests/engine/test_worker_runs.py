"""A worker and real jobs: how each run ends, and what is left of it."""

from __future__ import annotations

import asyncio
import contextvars
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import redis.exceptions

from jobsd import Drop, JobState, Retry, SkipRetry, Snooze, fixed
from jobsd.clock import now_ms
from jobsd.engine.endings import RESULT_LIMIT
from jobsd.errors import JobFailedError, JobNotFoundError, UnreachableError
from jobsd.store.jobs import Jobs
from jobsd.store.keys import IN_PROGRESS
from tests.engine.hall import a_task, until

if TYPE_CHECKING:
    import logging

BASE = "jobsd:{main}:default"


def said(caplog, event: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == event]


async def _side(hall, job_id: str) -> dict[str, Any]:
    return json.loads(await hall.redis.hget(f"{BASE}:side", job_id))


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
    assert (line.job_id, line.task, line.reason) == (reference.id, "resists", "Stop.TIMEOUT")
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
    assert (await _side(hall, reference.id))["f"] == 1


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


# --- results --------------------------------------------------------------------------------------


async def test_a_result_that_is_not_json_is_replaced_by_its_repr_with_one_warning(hall, caplog) -> None:
    class Odd:
        def __repr__(self) -> str:
            return "<odd>"

    async def returns(ctx) -> Odd:
        return Odd()

    hall.open(returns)
    for _ in range(3):
        found = await hall.result(await hall.client.enqueue("returns"))
        assert found["repr"] == "<odd>"
        assert found["replaced"].startswith("it is not JSON")
    assert len(said(caplog, "result.replaced")) == 1


async def test_a_result_that_contains_itself_or_has_no_repr_does_not_fail_the_job(hall) -> None:
    class Speechless:
        def __repr__(self) -> str:
            raise RuntimeError

    async def returns(ctx, what: str) -> Any:
        circle: list[Any] = []
        circle.append(circle)
        return {"circle": circle, "speechless": Speechless(), "surrogate": "caf\udce9"}[what]

    hall.open(returns)
    assert (await hall.result(await hall.client.enqueue("returns", "circle")))["repr"] == "[[...]]"
    assert "no repr" in (await hall.result(await hall.client.enqueue("returns", "speechless")))["repr"]
    assert "caf" in (await hall.result(await hall.client.enqueue("returns", "surrogate")))["repr"]


async def test_a_result_over_256_kib_is_replaced(hall) -> None:
    async def returns(ctx, size: int) -> str:
        return "x" * size

    hall.open(returns)
    found = await hall.result(await hall.client.enqueue("returns", RESULT_LIMIT + 1))
    assert "the limit is 262,144" in found["replaced"]
    assert len(await hall.result(await hall.client.enqueue("returns", 200_000))) == 200_000


# --- the context ----------------------------------------------------------------------------------


async def test_the_context_is_arqs_dictionary_with_attributes(hall) -> None:
    contexts = []

    async def looks(ctx) -> None:
        contexts.append(ctx)

    hall.open(looks)
    before = datetime.now(UTC)
    reference = await hall.client.enqueue("looks")
    await hall.result(reference)
    (ctx,) = contexts
    assert isinstance(ctx, dict)
    assert (ctx["job_id"], ctx["job_try"], ctx["colour"]) == (reference.id, 1, "blue")
    assert (ctx.job_id, ctx.attempt, ctx.queue, ctx.task) == (reference.id, 1, "default", "looks")
    assert abs((ctx["enqueue_time"] - before).total_seconds()) < 60
    assert abs(ctx["score"] - before.timestamp() * 1000) < 60_000
    assert ctx.token.endswith(f":1:{ctx['score']}")
    with pytest.raises(KeyError, match="nothing"):
        ctx["nothing"]


async def test_what_a_job_leaves_in_its_context_no_other_job_sees(hall) -> None:
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="nobody's")

    async def leaves(ctx) -> tuple[str, bool]:
        found = mine.get(), "left" in ctx
        mine.set("somebody's")
        ctx["left"] = True
        return found

    hall.open(leaves, concurrency=1)
    references = [await hall.client.enqueue("leaves") for _ in range(5)]
    assert [await hall.result(reference) for reference in references] == [["nobody's", False]] * 5


async def test_a_task_enqueues_another_job(hall) -> None:
    async def child(ctx, n: int) -> int:
        return n + 1

    async def parent(ctx) -> str:
        return (await ctx.enqueue("child", 1)).id

    hall.open(parent, child)
    child_id = await hall.result(await hall.client.enqueue("parent"))
    assert await hall.result(hall.client.job(child_id)) == 2


async def test_progress_can_be_read_while_the_job_runs(hall) -> None:
    told, go = asyncio.Event(), asyncio.Event()

    async def tells(ctx) -> None:
        await ctx.progress(3, 10)
        await ctx.progress(4, 10)  # too soon after the first to be written
        told.set()
        await go.wait()

    hall.open(tells)
    reference = await hall.client.enqueue("tells")
    await told.wait()
    assert await reference.progress() == (3, 10)
    go.set()
    await hall.result(reference)
    assert await reference.progress() is None


# --- records --------------------------------------------------------------------------------------


async def test_every_attempt_has_one_record_whatever_its_end(hall) -> None:
    async def ends(ctx, how: str) -> str:
        match how:
            case "succeeds":
                return "fine"
            case "snoozes" if ctx.attempt == 1:
                raise Snooze("0s")
            case "drops":
                raise Drop("enough")
            case "fails":
                raise ValueError("no")
            case _:
                return how

    hall.open(a_task(ends, retries=1, backoff=fixed("0s")), records=True)
    ways = ("succeeds", "snoozes", "drops", "fails")
    references = {how: await hall.client.enqueue("ends", how=how) for how in ways}
    await hall.client.enqueue("ends", how=5)
    runs = await hall.executions(7)
    found = {(run.args["kwargs"]["how"], run.attempt): (run.outcome, run.transition) for run in runs}
    assert found == {
        ("succeeds", 1): ("succeeded", "completed"),
        ("snoozes", 1): ("snoozed", "scheduled"),
        ("snoozes", 2): ("succeeded", "completed"),
        ("drops", 1): ("dropped", "removed"),
        ("fails", 1): ("failed", "retry"),
        ("fails", 2): ("failed", "archived"),
        (5, 1): ("failed", "archived"),
    }
    for run in runs:
        assert (run.task, run.queue) == ("ends", "default")
        assert run.enqueued_at <= run.started_at + 1000
        assert run.started_at <= run.finished_at
        assert run.incarnation
    (success,) = [run for run in runs if run.job_id == references["succeeds"].id]
    assert success.result_data == "fine"
    assert (success.error_type, success.message, success.error_trace) == (None, None, None)


# --- leases ---------------------------------------------------------------------------------------


async def test_a_lost_lease_cancels_the_attempt_and_writes_nothing(hall, caplog) -> None:
    ended, runs = asyncio.Event(), []

    async def waits(ctx) -> str:
        runs.append(ctx.attempt)
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        return "never"

    worker = hall.open(waits, lease="1s", records=True)
    reference = await hall.client.enqueue("waits")
    await until(lambda: runs)
    await hall.redis.set(IN_PROGRESS + reference.id, "somebody-else:1:1:1:2:3")
    async with asyncio.timeout(20):
        await ended.wait()
    await until(lambda: not worker.attempts)
    assert said(caplog, "lease.lost")
    assert not worker.ended
    assert not worker._held
    assert await hall.redis.get(IN_PROGRESS + reference.id) == b"somebody-else:1:1:1:2:3"
    assert not await hall.redis.exists("jobsd:{main}::records", f"arq:result:{reference.id}")


async def test_a_stale_ending_is_refused_and_counted(hall, caplog) -> None:
    async def loses(ctx) -> None:
        await ctx.redis.set(IN_PROGRESS + ctx.job_id, "somebody-else:1:1:1:2:3")

    worker = hall.open(loses, records=True)
    reference = await hall.client.enqueue("loses")
    await until(lambda: worker.finisher.stale == 1)
    (line,) = said(caplog, "ending.refused")
    assert (line.job_id, line.attempt, line.move) == (reference.id, 1, "C")
    assert not await hall.redis.exists("jobsd:{main}::records", f"arq:result:{reference.id}")
    assert await hall.redis.hget(f"{BASE}:stats", "stale") == b"1"


# --- time -----------------------------------------------------------------------------------------


async def test_a_delayed_job_runs_when_it_is_due_and_never_before(hall) -> None:
    async def looks(ctx) -> int:
        seconds, micros = await ctx.redis.time()
        return seconds * 1000 + micros // 1000

    hall.open(looks, poll="1h")
    for delay_ms in (1, 37, 120):
        seconds, micros = await hall.redis.time()
        due = seconds * 1000 + micros // 1000 + delay_ms
        assert await hall.result(await hall.client.enqueue("looks", _delay=f"{delay_ms}ms")) >= due


async def test_an_enqueue_wakes_an_idle_worker_without_any_poll(hall) -> None:
    async def quick(ctx) -> int:
        return 1

    worker = hall.open(quick, poll="1h")
    for _ in range(5):
        await until(lambda: worker._waker._listening)
        assert await hall.result(await hall.client.enqueue("quick")) == 1


# --- queues ---------------------------------------------------------------------------------------


async def test_a_running_worker_respects_the_weights(hall) -> None:
    order = []

    async def notes(ctx) -> None:
        order.append(ctx.queue)

    task = a_task(notes)
    for queue in ("critical", "default", "low"):
        await hall.client.enqueue_many(task.opts(queue=queue).job() for _ in range(100))
    hall.open(task, queues={"low": 1, "critical": 6, "default": 3}, concurrency=10)
    await until(lambda: len(order) == 300)
    first = order[:100]
    assert [first.count(queue) for queue in ("critical", "default", "low")] == [60, 30, 10]


async def test_a_queue_of_weight_0_is_served_when_and_only_when_all_others_are_empty(hall) -> None:
    order = []

    async def notes(ctx) -> None:
        order.append(ctx.queue)

    task = a_task(notes)
    for queue in ("rest", "default"):
        await hall.client.enqueue_many(task.opts(queue=queue).job() for _ in range(50))
    hall.open(task, queues={"rest": 0, "default": 1}, concurrency=10)
    await until(lambda: len(order) == 100)
    assert order == 50 * ["default"] + 50 * ["rest"]


async def test_a_paused_queue_hands_out_nothing_and_the_others_go_on(hall) -> None:
    async def quick(ctx) -> str:
        return ctx.queue

    task = a_task(quick)
    await hall.redis.hset("jobsd:{main}::state", "paused:jobsd:{main}:still", 1)
    still = await hall.client.enqueue(task.opts(queue="still"))
    hall.open(task, queues={"still": 5, "default": 1})
    assert await hall.result(await hall.client.enqueue(task)) == "default"
    assert await still.status() is JobState.PENDING


async def test_a_burst_ends_when_the_queue_is_empty_retries_included(hall) -> None:
    async def second_time_lucky(ctx) -> int:
        if ctx.attempt == 1:
            raise ValueError
        return ctx.attempt

    task = a_task(second_time_lucky, backoff=fixed("50ms"))
    await hall.client.enqueue_many(task.job() for _ in range(25))
    worker = hall.make(task)
    async with asyncio.timeout(20):
        await hall.start(worker, burst=True)
    assert worker.ended == {"R": 25, "C": 25}
    assert not await hall.redis.exists(BASE)


async def test_a_burst_over_an_empty_queue_ends_at_once(hall) -> None:
    async def quick(ctx) -> None: ...

    async with asyncio.timeout(20):
        await hall.start(hall.make(quick), burst=True)


# --- Redis in trouble -----------------------------------------------------------------------------


async def test_killed_connections_cost_no_job_and_run_none_twice(hall) -> None:
    runs: list[str] = []
    killed = asyncio.Event()

    async def works(ctx) -> int:
        runs.append(ctx.job_id)
        await killed.wait() if ctx["score"] % 2 else await asyncio.sleep(0)
        return ctx.attempt

    task = a_task(works)
    worker = hall.open(task, concurrency=20)
    references = await hall.client.enqueue_many(task.job() for _ in range(200))
    for _ in range(5):
        await until(lambda: worker.attempts or len(runs) == 200)
        await hall.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        killed.set()
    results = [await _patiently(reference) for reference in references]
    assert results == [1] * 200
    assert sorted(runs) == sorted(reference.id for reference in references)
    assert worker.finisher.stale == 0


async def _patiently(reference) -> Any:
    async with asyncio.timeout(20):
        while True:
            try:
                return await reference.result(20)
            except UnreachableError:  # its own connection was among those that were killed
                continue


async def test_flushed_scripts_are_loaded_again(hall) -> None:
    async def quick(ctx) -> int:
        return 1

    hall.open(quick)
    assert await hall.result(await hall.client.enqueue("quick")) == 1
    await hall.redis.script_flush()
    assert await hall.result(await hall.client.enqueue("quick")) == 1


async def test_a_claim_and_an_ending_whose_answers_are_lost_are_settled_by_asking_again(hall) -> None:
    runs = []

    async def works(ctx) -> int:
        runs.append(ctx.attempt)
        return ctx.attempt

    worker = hall.make(works, records=True)
    lost = {"claim": 0, "finish": 0}

    def losing_its_answer(name: str) -> Any:
        call = getattr(worker.jobs, name)

        async def once_lost(*args: Any, **kwargs: Any) -> Any:
            answer = await call(*args, **kwargs)
            if not lost[name] and (name == "finish" or answer.leases):
                lost[name] += 1
                raise redis.exceptions.TimeoutError
            return answer

        return once_lost

    worker.jobs.claim, worker.jobs.finish = losing_its_answer("claim"), losing_its_answer("finish")
    hall.start(worker)
    assert await hall.result(await hall.client.enqueue("works")) == 1
    await until(lambda: worker.finisher.accepted)
    assert (runs, lost, worker.finisher.stale) == ([1], {"claim": 1, "finish": 1}, 0)
    assert len(await hall.executions(1)) == 1


# --- stopping -------------------------------------------------------------------------------------


async def test_a_stop_lets_running_jobs_end_and_takes_no_more(hall) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def waits(ctx) -> str:
        started.set()
        await go.wait()
        return "done"

    worker = hall.open(waits, concurrency=1)
    reference = await hall.client.enqueue("waits")
    await started.wait()
    worker.stop()
    waiting = await hall.client.enqueue("waits")
    go.set()
    await hall.stop(worker)
    assert await hall.result(reference) == "done"
    assert await waiting.status() is JobState.PENDING
    assert await hall.redis.zcard("jobsd:{main}::workers") == 0


async def test_what_does_not_end_in_the_grace_is_handed_back_at_no_cost(hall) -> None:
    started = asyncio.Event()

    async def waits(ctx) -> int:
        if ctx.attempt == 1:
            started.set()
            await asyncio.sleep(3600)
        return ctx.attempt

    task = a_task(waits, retries=0)
    worker = hall.open(task, grace="10ms", records=True)
    reference = await hall.client.enqueue("waits")
    due = await hall.redis.zscore(BASE, reference.id)
    await started.wait()
    await hall.stop(worker)
    assert await reference.status() is JobState.PENDING
    assert await hall.redis.zscore(BASE, reference.id) <= due  # its place in the line is kept
    side = await _side(hall, reference.id)
    assert (side["n"], side["x"], "f" in side) == (1, 1, False)
    (run,) = await hall.executions(1)
    assert (run.outcome, run.transition) == ("interrupted", "requeued")
    hall.open(task)
    assert await hall.result(reference) == 2


async def test_what_comes_to_its_own_end_when_it_is_cancelled_is_not_run_again(hall) -> None:
    started = asyncio.Event()

    async def tidies_up(ctx) -> str:
        started.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "tidy"
        return "never"

    worker = hall.open(tidies_up, grace="10ms")
    reference = await hall.client.enqueue("tidies_up")
    await started.wait()
    await hall.stop(worker)
    assert await hall.result(reference) == "tidy"


async def test_a_worker_stops_before_its_first_beat_and_before_it_runs(hall) -> None:
    async def quick(ctx) -> None: ...

    worker = hall.make(quick)
    worker.stop()
    async with asyncio.timeout(20):
        await hall.start(worker)
    other = hall.make(quick)
    running = hall.start(other)
    await asyncio.sleep(0)
    other.stop()
    async with asyncio.timeout(20):
        await running


async def test_a_worker_whose_redis_never_answers_stops_when_told(tmp_path, hall) -> None:
    hall.url = f"unix://{tmp_path}/nobody.sock"
    worker = hall.open(grace="0s")
    await asyncio.sleep(0)
    await hall.stop(worker)


async def test_two_workers_in_one_process_share_the_work(hall) -> None:
    by: list[str] = []
    both = asyncio.Event()

    async def meets(ctx) -> None:
        by.append(ctx.token.split(":")[0])
        if len(set(by)) == 2:
            both.set()
        await both.wait()

    one, two = hall.open(meets, concurrency=1, poll="100ms"), hall.open(meets, concurrency=1, poll="100ms")
    references = [await hall.client.enqueue("meets") for _ in range(2)]
    for reference in references:
        await hall.result(reference)
    assert set(by) == {one.id, two.id}


async def test_progress_of_a_lost_run_changes_nothing(hall) -> None:
    async def tells(ctx) -> None:
        await ctx.redis.set(IN_PROGRESS + ctx.job_id, "somebody-else:1:1:1:2:3")
        await ctx.progress(10, 10)

    worker = hall.open(tells)
    reference = await hall.client.enqueue("tells")
    await until(lambda: worker.finisher.stale)
    assert await Jobs(hall.redis).looks.side("default", reference.id) == {}
