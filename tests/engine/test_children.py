"""Tasks in child processes: what comes through, what ends them, and what their death costs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import JobState
from jobsd.admin.inspector import Inspector
from jobsd.clock import now_ms
from jobsd.daemon.child import child_setup
from jobsd.daemon.settings import Settings
from jobsd.engine.children.process import Child
from jobsd.engine.children.quarantine import Quarantine
from jobsd.errors import JobFailedError
from tests.engine import child_tasks
from tests.engine.hall import BASE, count_looks, said, side_of
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.engine.children.process import ChildSetup
    from jobsd.engine.worker import Worker

_TASKS = [found for found in vars(child_tasks).values() if hasattr(found, "executor")]


def _setup(url: str) -> ChildSetup:
    setup = child_setup(Settings(tasks=["tests.engine.child_tasks"]), redis_url=url, database_url=None)
    root = str(Path(__file__).parents[2])
    return setup._replace(facts={**setup.facts, "path": [root, *sys.path], "log_format": "json"})


@pytest.fixture
def open_worker(hall, redis_url) -> Callable[..., Worker]:
    return lambda **options: hall.open(*_TASKS, child=_setup(redis_url), **({"children": 2} | options))


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def _are_parked(hall, count: int) -> bool:
    return await hall.redis.zcard(f"{BASE}:parked:executor:process") == count


async def _seen(hall, name: str) -> int:
    return int(await hall.redis.get(f"seen:{name}") or 0)


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
    pid = await _seen(hall, "spin")
    other = await hall.result(waits)
    assert other == {"square": 4, "pid": other["pid"], "attempt": 1}
    assert other["pid"] != pid
    await until(lambda: _is_gone(pid))


async def test_a_child_is_killed_when_its_job_is_cancelled(hall, open_worker) -> None:
    open_worker()
    reference = await hall.client.enqueue(child_tasks.sleep, 3600)
    await until(lambda: _seen(hall, "sleep"))
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
    assert await _seen(hall, "die") == 3
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
    await until(lambda: _seen(hall, "die_soon"))
    time.sleep(0.5)  # noqa: ASYNC251 - the loop is busy with something else while the child dies
    with pytest.raises(JobFailedError, match="this job lost its process 1 time"):
        await hall.result(reference)
    assert await _seen(hall, "die_soon") == 1


async def test_a_suspect_for_which_no_child_can_be_started_waits_at_no_cost(hall, redis_url, caplog) -> None:
    setup = _setup(redis_url)
    reference = await hall.client.enqueue(child_tasks.innocent)
    await _lose(hall, reference)
    worker = hall.open(*_TASKS, child=setup._replace(facts={**setup.facts, "modules": ["no_such_module"]}), retries=0)
    await until(lambda: said(caplog, "child.unstarted"))
    await until(lambda: worker.ended["Q"])
    assert await reference.status() is JobState.SCHEDULED
    assert (await side_of(hall, reference.id))["l"] == 1


async def test_a_suspect_that_comes_to_its_end_is_cleared(hall, open_worker) -> None:
    reference = await hall.client.enqueue(child_tasks.fails_once)
    await _lose(hall, reference, times=2)
    open_worker()
    assert await hall.result(reference) == os.getpid(), "the second run is in the worker, as any other"


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

    worker = hall.open(*_TASKS, quick, child=_setup(hall.url), children=1, concurrency=4)
    long = [await hall.client.enqueue(child_tasks.sleep, 0.2) for _ in range(8)]
    await until(lambda: _seen(hall, "sleep"))
    assert await hall.result(await hall.client.enqueue("quick")) == "quick"
    assert len(worker.attempts) <= 1
    assert JobState.PARKED in [await reference.status() for reference in long]
    assert len({await hall.result(reference) for reference in long}) == 1


async def test_whoever_waits_for_a_child_is_taken_as_soon_as_one_is_free(hall, open_worker, monkeypatch) -> None:
    monkeypatch.setattr("jobsd.engine.keepers._RELEASE_EVERY_S", 3600)
    open_worker(children=1)
    references = [await hall.client.enqueue(child_tasks.wait_for_go) for _ in range(3)]
    await until(lambda: _are_parked(hall, 2))
    await hall.redis.set("go", 1)
    for reference in references:
        await hall.result(reference)


async def test_the_wait_for_a_child_is_no_part_of_a_run(hall, open_worker, monkeypatch) -> None:
    """Neither its timeout ends the job, nor the watch over functions that are stuck the process."""
    ended: list[int] = []
    monkeypatch.setattr("jobsd.engine.leases.os._exit", ended.append)
    open_worker(children=1, max_stall="100ms")
    first = await hall.client.enqueue(child_tasks.wait_for_go)
    await until(lambda: _seen(hall, "wait_for_go"))
    second = await hall.client.enqueue(child_tasks.square.opts(timeout="100ms"), 3)
    await until(lambda: _are_parked(hall, 1))
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
    hall.open(*_TASKS, child=_setup(redis_url))
    with pytest.raises(JobFailedError, match="expired: its deadline had passed before it could start"):
        await hall.result(await hall.client.enqueue(child_tasks.sleep.opts(deadline=deadline), 0))
    assert not await _seen(hall, "sleep")


async def test_an_operator_sees_what_a_parked_job_waits_for(hall, open_worker) -> None:
    worker = open_worker(children=1)
    for_child = [await hall.client.enqueue(child_tasks.wait_for_go) for _ in range(2)][1]
    for_daemon = await hall.client.enqueue("nobody's")
    await until(lambda: _are_parked(hall, 1))
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
    await until(lambda: _seen(hall, "sleep"))
    await hall.stop(worker)
    assert await reference.status() is JobState.PENDING
    assert (await side_of(hall, reference.id))["x"] == 1


async def test_a_job_for_which_no_child_can_be_started_waits_at_no_cost_and_it_is_said_why(
    hall, redis_url, caplog
) -> None:
    setup = _setup(redis_url)
    broken = setup._replace(facts={**setup.facts, "modules": ["no_such_module"]})
    worker = hall.open(*_TASKS, child=broken, retries=0, records=True)
    reference = await hall.client.enqueue(child_tasks.square, 7)
    await until(lambda: worker.ended["Q"])
    assert await reference.status() is JobState.SCHEDULED
    assert await hall.redis.xlen("jobsd:{main}::records") == 0
    [line] = said(caplog, "child.unstarted")
    assert (line.job_id, line.cause) == (reference.id, "ModuleNotFoundError: No module named 'no_such_module'")


# --- suspects -------------------------------------------------------------------------------------


async def _lose(hall, *references, times: int = 1) -> None:
    """Note of these jobs that a process of theirs was lost, so many times."""
    lost = json.dumps({"n": times, "l": times, "w": [["gone-1-abc", 1, 2]] * times})
    for reference in references:
        await hall.redis.hset(f"{BASE}:side", reference.id, lost)


async def _make_due(hall, reference) -> None:
    await hall.redis.zadd(BASE, {reference.id: 1})
    await hall.redis.lpush(f"{BASE}:wake", 1)


async def _archived(hall, reference) -> dict[str, Any]:
    _, info = await hall.client.following().looks.dead("default", reference.id)
    return json.loads(info)


async def test_jobs_whose_worker_was_lost_run_together_in_one_child(hall, open_worker) -> None:
    references = [await hall.client.enqueue(child_tasks.meets, 5) for _ in range(5)]
    await _lose(hall, *references)
    open_worker(children=1)
    pids = {await hall.result(reference) for reference in references}
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert await hall.result(await hall.client.enqueue(child_tasks.meets, 1)) == os.getpid()


async def test_a_job_of_which_two_runs_were_lost_runs_alone(hall, open_worker) -> None:
    references = [await hall.client.enqueue(child_tasks.innocent) for _ in range(3)]
    alone = await hall.client.enqueue(child_tasks.innocent)
    await _lose(hall, *references)
    await _lose(hall, alone, times=2)
    open_worker(children=1)
    together = {await hall.result(reference) for reference in references}
    assert len({*together, await hall.result(alone), os.getpid()}) == 3


async def test_what_kills_its_process_is_archived_with_its_evidence_and_the_innocent_lose_nothing(
    hall, open_worker
) -> None:
    innocent = [await hall.client.enqueue(child_tasks.lingers) for _ in range(10)]
    culprit = await hall.client.enqueue(child_tasks.bomb)
    await _lose(hall, culprit, *innocent)
    open_worker(suspect_memory="100MB", records=True, concurrency=20)
    with pytest.raises(
        JobFailedError,
        match=r"lost: it asked for more than 100 MB of memory; peak memory 1\d\d MB; this job lost its process 3 times",
    ):
        await hall.result(culprit)
    assert await _seen(hall, "bomb") == 2
    await asyncio.gather(*map(hall.result, innocent))
    assert await _seen(hall, "lingers") == 20, "once with the culprit, and once alone"
    archived = await _archived(hall, culprit)
    assert (archived["f"], archived["l"], archived["w"][0]) == (0, 3, ["gone-1-abc", 1, 2])
    assert [run[3] > 100_000_000 for run in archived["w"][1:]] == [True, True]
    rows = await hall.executions(22)
    shared = [row.message for row in rows if row.outcome == "lost" and row.task == "suspect:lingers"]
    assert len(shared) == 10
    assert re.fullmatch(
        r"lost: the process that it shared with 10 others ended with SIGKILL; peak memory 1\d\d MB", shared[0]
    )


async def test_however_few_losses_are_allowed_what_dies_with_others_is_given_a_run_alone(hall, open_worker) -> None:
    innocent = await hall.client.enqueue(child_tasks.lingers)
    culprit = await hall.client.enqueue(child_tasks.bomb)
    await _lose(hall, innocent, culprit)
    open_worker(suspect_memory="100MB", max_losses=2)
    with pytest.raises(JobFailedError, match="this job lost its process 3 times"):
        await hall.result(culprit)
    await hall.result(innocent)


async def test_a_suspect_is_cancelled_at_its_timeout_and_the_others_go_on(hall, open_worker) -> None:
    other = await hall.client.enqueue(child_tasks.waits_for_go)
    late = await hall.client.enqueue(child_tasks.waits_for_go.opts(timeout="300ms", retries=0))
    await _lose(hall, other, late)
    open_worker(cancel_grace="20s")
    with pytest.raises(JobFailedError, match=r"timed out after 0\.3 s"):
        await hall.result(late)
    await hall.redis.set("go", 1)
    await hall.result(other)
    assert await _seen(hall, "waits") == 2


async def test_a_suspect_that_resists_its_cancellation_is_killed_and_the_others_run_again(hall, open_worker) -> None:
    other = await hall.client.enqueue(child_tasks.lingers)
    resists = await hall.client.enqueue(child_tasks.resists.opts(timeout="300ms", retries=0))
    await _lose(hall, other, resists)
    open_worker(cancel_grace="200ms")
    with pytest.raises(JobFailedError, match=r"timed out after 0\.3 s"):
        await hall.result(resists)
    await hall.result(other)
    assert await _seen(hall, "lingers") == 2


async def test_the_quarantine_goes_on_with_the_child_that_it_has_now(hall, open_worker, monkeypatch) -> None:
    """Not with the one that died, and that it means to end for being empty."""
    ended: list[Child] = []
    end = Quarantine._end_if_empty
    monkeypatch.setattr("jobsd.engine.children.quarantine._EMPTY_S", 0.3)
    monkeypatch.setattr(Quarantine, "_end_if_empty", lambda own, child: (end(own, child), ended.append(child)))
    open_worker()
    first, second, third = [await hall.client.enqueue(child_tasks.waits_for_go.opts(delay="1h")) for _ in range(3)]
    await _lose(hall, first, second, third)
    await _make_due(hall, first)
    await until(lambda: _seen(hall, "waits"))
    await hall.redis.set("go", 1)
    os.kill(await hall.result(first), signal.SIGKILL)
    await hall.redis.delete("go")
    await _make_due(hall, second)
    await until(lambda: ended)
    await _make_due(hall, third)
    await hall.redis.set("go", 1)
    assert await hall.result(second) == await hall.result(third)


async def test_a_suspect_is_handed_back_at_shutdown(hall, open_worker) -> None:
    reference = await hall.client.enqueue(child_tasks.waits_for_go)
    await _lose(hall, reference)
    worker = open_worker(grace="10ms")
    await until(lambda: _seen(hall, "waits"))
    await hall.stop(worker)
    assert await reference.status() is JobState.PENDING
    side = await side_of(hall, reference.id)
    assert (side["x"], side["l"]) == (1, 1)


async def test_a_child_ends_with_its_worker(hall, redis_url) -> None:
    """The worker is a process of its own here, and is killed."""
    program = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from jobsd.engine.children.process import Child
from tests.engine.test_children import _setup

async def main():
    child = await Child.start(_setup({redis_url!r}))
    print(child.pid, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert worker.stdout is not None
    async with asyncio.timeout(30):
        pid = int(await worker.stdout.readline())
    assert not _is_gone(pid)
    os.kill(worker.pid, signal.SIGKILL)
    await worker.wait()
    await until(lambda: _is_gone(pid))
