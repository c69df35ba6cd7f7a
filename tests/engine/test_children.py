"""Tasks in child processes: what comes through, what ends them, and what their death costs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobsd import JobState
from jobsd.admin.inspector import Inspector
from jobsd.clock import now_ms
from jobsd.engine.children.process import Child
from jobsd.errors import JobFailedError
from tests.engine import child_tasks
from tests.engine.hall import count_looks, said, side_of
from tests.engine.nursery import TASKS, are_parked, is_gone, seen_in, setup_of
from tests.waiting import until


async def test_a_task_runs_in_a_process_of_its_own_which_the_next_job_finds_warm(hall, open_worker) -> None:
    open_worker(children=1)
    first = await hall.result(await hall.client.enqueue(child_tasks.square, 7))
    assert first == {"square": 49, "pid": first["pid"], "attempt": 1}
    assert first["pid"] != os.getpid()
    second = await hall.result(await hall.client.enqueue(child_tasks.square, 8))
    assert second["pid"] == first["pid"]


async def test_an_async_task_has_its_loop_and_its_arguments_their_types(hall, open_worker) -> None:
    open_worker()
    at = datetime(2026, 5, 1, tzinfo=UTC)
    said_there = await hall.result(await hall.client.enqueue(child_tasks.in_its_loop, at))
    assert said_there.startswith("datetime in ")
    assert await hall.redis.get("seen:in_its_loop") == at.isoformat().encode()


@pytest.mark.parametrize("spins", [child_tasks.spin, child_tasks.spin_in_its_loop], ids=["thread", "loop"])
async def test_a_child_is_killed_at_the_timeout_whatever_it_does(hall, open_worker, spins) -> None:
    open_worker(children=1)
    reference = await hall.client.enqueue(spins)
    waits = await hall.client.enqueue(child_tasks.square, 2)
    with pytest.raises(JobFailedError, match=r"timed out after 0\.3 s"):
        await hall.result(reference)
    pid = await seen_in(hall, "spin")
    other = await hall.result(waits)
    assert other == {"square": 4, "pid": other["pid"], "attempt": 1}
    assert other["pid"] != pid
    await until(lambda: is_gone(pid))


async def test_a_child_is_killed_when_its_job_is_cancelled(hall, open_worker) -> None:
    open_worker()
    reference = await hall.client.enqueue(child_tasks.sleep, 3600)
    await until(lambda: seen_in(hall, "sleep"))
    assert await reference.cancel(20) == "cancelled"


async def test_what_a_task_raises_in_a_child_steers_its_job(hall, open_worker) -> None:
    open_worker()
    reference = await hall.client.enqueue(child_tasks.fail)
    with pytest.raises(JobFailedError, match=r"failed: no such row$") as failed:
        await hall.result(reference)
    assert failed.value.error_type == "LookupError"
    _, info = await hall.client.following().looks.dead("default", reference.id)
    assert b"in fail" in info
    assert b'"n":2' in info


async def test_a_result_without_json_form_is_kept_as_its_repr(hall, open_worker) -> None:
    open_worker()
    kept = await hall.result(await hall.client.enqueue(child_tasks.odd))
    assert kept["repr"].startswith("<object object at")
    assert kept["replaced"].startswith("it is not JSON")


@pytest.mark.parametrize(
    "request_of", [lambda: child_tasks.nest.job(240), child_tasks.big_number.job], ids=["nested", "number"]
)
async def test_a_result_that_could_be_written_and_not_read_is_kept_as_its_repr(hall, open_worker, request_of) -> None:
    open_worker()
    kept = await hall.result(await hall.client.enqueue(request_of()))
    assert kept["replaced"].startswith("it is not JSON")


async def test_progress_logs_and_enqueues_come_through(hall, open_worker, capfd) -> None:
    open_worker()
    reference = await hall.client.enqueue(child_tasks.tell)
    other = await hall.result(reference)
    assert (await hall.result(hall.client.job(other)))["square"] == 25
    line = next(line for line in capfd.readouterr().err.splitlines() if "told.by_child" in line)
    assert f'"job_id": "{reference.id}"' in line
    assert '"colour": "green"' in line


async def test_a_child_that_dies_takes_only_its_job_down_and_costs_no_retry(hall, open_worker, caplog) -> None:
    open_worker(children=2, records=True)
    other = await hall.client.enqueue(child_tasks.sleep, 0.3)
    reference = await hall.client.enqueue(child_tasks.die)
    with pytest.raises(
        JobFailedError,
        match=r"lost: the process ended with SIGSEGV; peak memory \d+ MB; this job lost its process 3 times",
    ):
        await hall.result(reference)
    assert await seen_in(hall, "die") == 3
    assert await hall.result(other)
    _, info = await hall.client.following().looks.dead("default", reference.id)
    assert b'"f":0' in info
    assert b'"l":3' in info
    rows = [row for row in await hall.executions(4) if row.job_id == reference.id]
    assert [(row.outcome, row.transition) for row in rows] == [("lost", "requeued")] * 2 + [("lost", "archived")]
    assert len(said(caplog, "job.lost")) == 2


async def test_a_death_is_noticed_though_another_process_holds_the_line_open(hall, open_worker) -> None:
    open_worker(max_losses=1)
    with pytest.raises(JobFailedError, match="lost: the process ended with SIGABRT"):
        await hall.result(await hall.client.enqueue(child_tasks.fork_and_die))


async def test_what_a_child_said_before_it_died_is_heard_however_late(hall, open_worker) -> None:
    open_worker(max_losses=1)
    reference = await hall.client.enqueue(child_tasks.die_soon)
    await until(lambda: seen_in(hall, "die_soon"))
    time.sleep(0.5)  # noqa: ASYNC251 - the loop is busy with something else while the child dies
    with pytest.raises(JobFailedError, match="this job lost its process 1 time"):
        await hall.result(reference)
    assert await seen_in(hall, "die_soon") == 1


async def test_a_child_that_dies_while_it_is_idle_costs_nobody_anything(hall, open_worker) -> None:
    open_worker(children=1, max_losses=1)
    for _ in range(5):
        idle = (await hall.result(await hall.client.enqueue(child_tasks.square, 2)))["pid"]
        os.kill(idle, signal.SIGKILL)
        after = await hall.result(await hall.client.enqueue(child_tasks.square, 3))
        assert (after["attempt"], after["pid"] == idle) == (1, False)


async def test_more_memory_than_allowed_is_an_error_of_the_task(hall, open_worker) -> None:
    open_worker()
    assert await hall.result(await hall.client.enqueue(child_tasks.allocate, 16)) == 16_000_000
    with pytest.raises(JobFailedError, match=r"it asked for more than 64 MB of memory; peak memory \d+ MB") as failed:
        await hall.result(await hall.client.enqueue(child_tasks.allocate, 100))
    assert failed.value.error_type == "MemoryError"


async def test_jobs_that_wait_for_a_child_hold_no_slot(hall, open_worker) -> None:
    async def quick(ctx) -> str:
        return "quick"

    worker = hall.open(*TASKS, quick, child=setup_of(hall.url), children=1, concurrency=4)
    long = [await hall.client.enqueue(child_tasks.sleep, 0.2) for _ in range(8)]
    await until(lambda: seen_in(hall, "sleep"))
    assert await hall.result(await hall.client.enqueue("quick")) == "quick"
    assert len(worker.attempts) <= 1
    assert JobState.PARKED in [await reference.status() for reference in long]
    assert len({await hall.result(reference) for reference in long}) == 1


async def test_whoever_waits_for_a_child_is_taken_as_soon_as_one_is_free(hall, open_worker, monkeypatch) -> None:
    monkeypatch.setattr("jobsd.engine.keepers._RELEASE_EVERY_S", 3600)
    open_worker(children=1)
    references = [await hall.client.enqueue(child_tasks.wait_for_go) for _ in range(3)]
    await until(lambda: are_parked(hall, 2))
    await hall.redis.set("go", 1)
    for reference in references:
        await hall.result(reference)


async def test_the_wait_for_a_child_is_no_part_of_a_run(hall, open_worker, monkeypatch) -> None:
    """Neither its timeout ends the job, nor the watch over functions that are stuck the process."""
    ended: list[int] = []
    monkeypatch.setattr("jobsd.engine.leases.os._exit", ended.append)
    open_worker(children=1, max_stall="100ms")
    first = await hall.client.enqueue(child_tasks.wait_for_go)
    await until(lambda: seen_in(hall, "wait_for_go"))
    second = await hall.client.enqueue(child_tasks.square.opts(timeout="100ms"), 3)
    await until(lambda: are_parked(hall, 1))
    looks = count_looks(monkeypatch)
    await until(lambda: len(looks) > 3)
    await hall.redis.set("go", 1)
    await hall.result(first)
    assert (await hall.result(second))["attempt"] == 1
    assert not ended


async def test_a_deadline_that_passes_while_a_child_starts_is_kept(hall, redis_url, monkeypatch) -> None:
    start = Child.start

    async def starts_late(*args: Any, **options: Any) -> Child:
        child = await start(*args, **options)
        await until(lambda: now_ms() > deadline.timestamp() * 1000 + 200)
        return child

    monkeypatch.setattr(Child, "start", starts_late)
    deadline = datetime.now(UTC) + timedelta(seconds=1)
    hall.open(*TASKS, child=setup_of(redis_url))
    with pytest.raises(JobFailedError, match="expired: its deadline had passed before it could start"):
        await hall.result(await hall.client.enqueue(child_tasks.sleep.opts(deadline=deadline), 0))
    assert not await seen_in(hall, "sleep")


async def test_an_operator_sees_what_a_parked_job_waits_for(hall, open_worker) -> None:
    worker = open_worker(children=1)
    for_child = [await hall.client.enqueue(child_tasks.wait_for_go) for _ in range(2)][1]
    for_daemon = await hall.client.enqueue("nobody's")
    await until(lambda: are_parked(hall, 1))
    await until(lambda: worker.ended["P"] == 2)
    inspector = Inspector(worker.jobs)
    shown = {job["id"]: job["message"] for job in await inspector.list("default", JobState.PARKED, limit=9)}
    assert shown == {
        for_child.id: "waits for a free child process",
        for_daemon.id: "waits for a daemon that knows its task",
    }
    assert (await inspector.show("default", for_child.id))["waits_for"] == "a free child process"
    await hall.redis.set("go", 1)
    await hall.result(for_child)


async def test_at_shutdown_children_end_and_their_jobs_are_handed_back(hall, open_worker) -> None:
    worker = open_worker(grace="10ms")
    reference = await hall.client.enqueue(child_tasks.sleep, 3600)
    await until(lambda: seen_in(hall, "sleep"))
    await hall.stop(worker)
    assert await reference.status() is JobState.PENDING
    assert (await side_of(hall, reference.id))["x"] == 1


async def test_a_job_for_which_no_child_can_be_started_waits_at_no_cost_and_it_is_said_why(
    hall, redis_url, caplog
) -> None:
    setup = setup_of(redis_url)
    broken = setup._replace(facts={**setup.facts, "modules": ["no_such_module"]})
    worker = hall.open(*TASKS, child=broken, retries=0, records=True)
    reference = await hall.client.enqueue(child_tasks.square, 7)
    await until(lambda: worker.ended["Q"])
    assert await reference.status() is JobState.SCHEDULED
    assert await hall.redis.xlen("jobsd:{main}::records") == 0
    [line] = said(caplog, "child.unstarted")
    assert (line.job_id, line.cause) == (reference.id, "ModuleNotFoundError: No module named 'no_such_module'")


async def test_a_child_ends_with_its_worker(hall, redis_url) -> None:
    """The worker is a process of its own here, and is killed."""
    program = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from jobsd.engine.children.process import Child
from tests.engine.nursery import setup_of

async def main():
    child = await Child.start(setup_of({redis_url!r}))
    print(child.pid, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert worker.stdout is not None
    async with asyncio.timeout(30):
        pid = int(await worker.stdout.readline())
    assert not is_gone(pid)
    os.kill(worker.pid, signal.SIGKILL)
    await worker.wait()
    await until(lambda: is_gone(pid))
