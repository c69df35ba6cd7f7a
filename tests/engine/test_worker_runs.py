"""A worker at work: leases, time, queues, a Redis in trouble, the stop."""

from __future__ import annotations

import asyncio
from typing import Any

import redis.exceptions

from jobsd import JobState, fixed
from jobsd.errors import UnreachableError
from jobsd.store.jobs import Jobs
from jobsd.store.keys import IN_PROGRESS
from tests.engine.hall import BASE, a_task, said, side_of, until

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
    side = await side_of(hall, reference.id)
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
