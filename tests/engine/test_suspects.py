"""Jobs whose process was lost: together in quarantine first, then alone, until they are cleared or found out."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import JobState
from jobsd.engine.children.quarantine import Quarantine
from jobsd.errors import JobFailedError
from tests.engine import child_tasks
from tests.engine.hall import BASE, said, side_of
from tests.engine.nursery import TASKS, seen_in, setup_of
from tests.waiting import until

if TYPE_CHECKING:
    from jobsd.engine.children.process import Child


async def test_a_suspect_for_which_no_child_can_be_started_waits_at_no_cost(hall, redis_url, caplog) -> None:
    setup = setup_of(redis_url)
    reference = await hall.client.enqueue(child_tasks.innocent)
    await _lose(hall, reference)
    worker = hall.open(*TASKS, child=setup._replace(facts={**setup.facts, "modules": ["no_such_module"]}), retries=0)
    await until(lambda: said(caplog, "child.unstarted"))
    await until(lambda: worker.ended["Q"])
    assert await reference.status() is JobState.SCHEDULED
    assert (await side_of(hall, reference.id))["l"] == 1


async def test_a_suspect_that_comes_to_its_end_is_cleared(hall, open_worker) -> None:
    reference = await hall.client.enqueue(child_tasks.fails_once)
    await _lose(hall, reference, times=2)
    open_worker()
    assert await hall.result(reference) == os.getpid(), "the second run is in the worker, as any other"


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
    assert await seen_in(hall, "bomb") == 2
    await asyncio.gather(*map(hall.result, innocent))
    assert await seen_in(hall, "lingers") == 20, "once with the culprit, and once alone"
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
    assert await seen_in(hall, "waits") == 2


async def test_a_suspect_that_resists_its_cancellation_is_killed_and_the_others_run_again(hall, open_worker) -> None:
    other = await hall.client.enqueue(child_tasks.lingers)
    resists = await hall.client.enqueue(child_tasks.resists.opts(timeout="300ms", retries=0))
    await _lose(hall, other, resists)
    open_worker(cancel_grace="200ms")
    with pytest.raises(JobFailedError, match=r"timed out after 0\.3 s"):
        await hall.result(resists)
    await hall.result(other)
    assert await seen_in(hall, "lingers") == 2


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
    await until(lambda: seen_in(hall, "waits"))
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
    await until(lambda: seen_in(hall, "waits"))
    await hall.stop(worker)
    assert await reference.status() is JobState.PENDING
    side = await side_of(hall, reference.id)
    assert (side["x"], side["l"]) == (1, 1)
