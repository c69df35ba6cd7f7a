"""Plain functions: in a thread of their own, interrupted when they are to end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import pytest

from jobsd import JobState
from jobsd.errors import JobFailedError
from tests.engine.hall import a_task, are_listening, count_looks, said
from tests.waiting import until

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


async def test_a_plain_function_runs_in_a_thread_and_its_result_comes_back(hall) -> None:
    def area(ctx, width: int, height: int) -> dict[str, object]:
        return {"area": width * height, "thread": threading.current_thread().name, "attempt": ctx.attempt}

    hall.open(area)
    reference = await hall.client.enqueue("area", 3, height=4)
    assert await hall.result(reference) == {"area": 12, "thread": "jobsd area", "attempt": 1}


async def test_other_jobs_run_while_a_plain_function_blocks(hall) -> None:
    began, go_on = threading.Event(), threading.Event()

    def blocks(ctx) -> None:
        began.set()
        go_on.wait(20)

    async def quick(ctx) -> str:
        return "quick"

    hall.open(blocks, quick)
    blocked = await hall.client.enqueue("blocks")
    await until(began.is_set)
    assert await hall.result(await hall.client.enqueue("quick")) == "quick"
    assert await blocked.status() is JobState.ACTIVE
    go_on.set()
    await hall.result(blocked)


async def test_plain_functions_run_side_by_side_up_to_the_concurrency(hall) -> None:
    together = threading.Barrier(10, timeout=20)

    def meets(ctx) -> int:
        return together.wait()

    hall.open(meets, concurrency=10)
    references = [await hall.client.enqueue("meets") for _ in range(10)]
    assert sorted([await hall.result(reference) for reference in references]) == list(range(10))


async def test_an_error_of_a_plain_function_is_that_of_its_job(hall) -> None:
    def fails(ctx) -> None:
        msg = "no such row"
        raise LookupError(msg)

    hall.open(fails, retries=0)
    reference = await hall.client.enqueue("fails")
    with pytest.raises(JobFailedError, match=r"failed: no such row$") as failed:
        await hall.result(reference)
    assert failed.value.error_type == "LookupError"
    info = await hall.client.following().looks.dead("default", reference.id)
    assert b"in fails" in info[1]


async def test_a_plain_function_is_interrupted_at_its_timeout(hall) -> None:
    ended = threading.Event()

    def spins(ctx) -> None:
        try:
            while True:
                time.sleep(0.001)
        except Exception:  # noqa: BLE001 - an interruption is none
            return
        finally:
            ended.set()

    hall.open(a_task(spins, timeout="200ms", retries=0))
    reference = await hall.client.enqueue("spins")
    with pytest.raises(JobFailedError, match=r"timed out after 0\.2 s"):
        await hall.result(reference)
    assert ended.is_set()


async def test_a_plain_function_that_waits_for_the_loop_is_interrupted_there(hall) -> None:
    def waits(ctx) -> None:
        ctx.wait(asyncio.sleep(3600))

    hall.open(a_task(waits, timeout="200ms", retries=0))
    with pytest.raises(JobFailedError, match="timed out"):
        await hall.result(await hall.client.enqueue("waits"))


async def test_a_plain_function_that_resists_keeps_its_slot_until_it_has_ended(hall, caplog) -> None:
    began, go_on = threading.Event(), threading.Event()

    def resists(ctx) -> bool:
        began.set()
        while not go_on.is_set():
            try:
                go_on.wait(20)
            except BaseException:  # noqa: BLE001, S112 - it is what this one does
                continue
        return ctx.stopping

    worker = hall.open(resists, concurrency=1, retries=0)
    reference = await hall.client.enqueue("resists")
    await until(began.is_set)
    state = asyncio.create_task(reference.cancel(20))
    await until(lambda: said(caplog, "job.resisted"))
    assert len(worker.attempts) == 1
    go_on.set()
    assert await state == "ended"
    assert await hall.result(reference) is True


@pytest.mark.parametrize(("concurrency", "ends"), [(2, False), (1, True)])
async def test_a_thread_that_is_stuck_ends_the_process_only_when_no_slot_is_left(
    hall, monkeypatch, concurrency, ends
) -> None:
    exits: list[int] = []
    monkeypatch.setattr("jobsd.engine.leases.os._exit", exits.append)
    began, go_on = threading.Event(), threading.Event()

    def sticks(ctx) -> None:
        began.set()
        go_on.wait(20)

    hall.open(a_task(sticks, timeout="50ms", retries=0), max_stall="50ms", concurrency=concurrency)
    reference = await hall.client.enqueue("sticks")
    await until(began.is_set)
    looks = count_looks(monkeypatch)
    await until(lambda: len(looks) > 2)
    go_on.set()
    with pytest.raises(JobFailedError, match="timed out"):
        await hall.result(reference)
    assert bool(exits) is ends


async def test_a_cancelled_plain_function_ends(hall) -> None:
    began = threading.Event()

    def spins(ctx) -> None:
        began.set()
        while not ctx.stopping:
            time.sleep(0.001)

    hall.open(spins)
    reference = await hall.client.enqueue("spins")
    await until(began.is_set)
    assert await reference.cancel(20) in {"cancelled", "ended"}


async def test_a_plain_function_that_is_interrupted_by_the_shutdown_is_handed_back(hall) -> None:
    began = threading.Event()

    def spins(ctx) -> str:
        if ctx.attempt > 1:
            return "again"
        began.set()
        while True:
            time.sleep(0.001)

    worker = hall.open(spins, grace="10ms")
    reference = await hall.client.enqueue("spins")
    await until(began.is_set)
    await hall.stop(worker)
    assert await reference.status() is JobState.PENDING
    hall.open(spins)
    assert await hall.result(reference) == "again"


async def test_a_worker_ends_though_a_thread_resists_and_hands_its_job_back(hall, caplog) -> None:
    began, go_on = threading.Event(), threading.Event()

    def blocks(ctx) -> None:
        began.set()
        go_on.wait(60)

    worker = hall.open(blocks, grace="10ms", cancel_grace="50ms")
    reference = await hall.client.enqueue("blocks")
    await until(began.is_set)
    [attempt] = worker.attempts.values()
    await hall.stop(worker)
    assert await reference.status() is JobState.PENDING
    assert attempt.runs_in is not None
    await until(attempt.runs_in.done)
    assert worker.left_running == 1
    go_on.set()


async def test_a_plain_function_tells_its_progress_enqueues_and_waits(hall) -> None:
    told, go_on = threading.Event(), threading.Event()

    def parent(ctx) -> list[object]:
        ctx.progress(3, 4)
        told.set()
        go_on.wait(20)
        child = ctx.enqueue("child", 5)
        return [child.id, ctx.wait(child.result(20)), ctx["colour"]]

    async def child(ctx, n: int) -> int:
        return n + 1

    hall.open(parent, child)
    reference = await hall.client.enqueue("parent")
    await until(told.is_set)
    assert await reference.progress() == (3, 4)
    go_on.set()
    job_id, six, colour = await hall.result(reference)
    assert (six, colour) == (6, "blue")
    assert await hall.client.job(job_id).status() is JobState.COMPLETED


async def test_an_interrupted_function_can_clean_up(hall) -> None:
    def cleans(ctx) -> None:
        try:
            ctx.wait(asyncio.sleep(3600))
        finally:
            ctx.wait(ctx.redis.set("cleaned", 1))

    hall.open(a_task(cleans, timeout="200ms", retries=0), cancel_grace="20s")
    with pytest.raises(JobFailedError, match="timed out"):
        await hall.result(await hall.client.enqueue("cleans"))
    assert await hall.redis.get("cleaned") == b"1"


async def test_an_exit_in_what_a_plain_function_waits_for_ends_its_job_only(hall) -> None:
    async def exits() -> None:
        raise SystemExit(7)

    def waits(ctx) -> None:
        ctx.wait(exits())

    hall.open(waits, retries=0)
    with pytest.raises(JobFailedError, match="failed: 7") as failed:
        await hall.result(await hall.client.enqueue("waits"))
    assert failed.value.error_type == "SystemExit"


async def test_an_error_that_cannot_speak_ends_its_job_only(hall) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

    async def fails(ctx) -> None:
        raise MuteError

    hall.open(fails, retries=0)
    with pytest.raises(JobFailedError, match=r"\(no message: SystemExit\)"):
        await hall.result(await hall.client.enqueue("fails"))


async def test_a_context_outside_its_thread_is_refused(hall) -> None:
    def elsewhere(ctx) -> str:
        said_elsewhere: list[str] = []

        def other() -> None:
            try:
                ctx.wait(asyncio.sleep(0))
            except RuntimeError as error:
                said_elsewhere.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return said_elsewhere[0]

    hall.open(elsewhere)
    assert (
        await hall.result(await hall.client.enqueue("elsewhere"))
        == "a PlainContext belongs to the thread of its function"
    )


async def test_threads_are_gone_when_their_functions_have_ended(hall) -> None:
    def nothing(ctx) -> None: ...

    worker = hall.open(nothing)
    await until(lambda: are_listening(hall, 1))
    for _ in range(50):
        await hall.client.enqueue("nothing")
    await until(lambda: worker.ended["C"] == 50)
    await until(lambda: not [thread for thread in threading.enumerate() if thread.name == "jobsd nothing"])
