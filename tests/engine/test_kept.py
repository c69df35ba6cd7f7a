"""Finished jobs are kept by count and by age, for each queue as its options say; whoever does the work."""

from __future__ import annotations

from typing import Any

import pytest

from jobsd import JobState
from jobsd.engine.keepers import Trimmer
from jobsd.engine.options import WorkerOptions
from jobsd.store.jobs import Jobs
from tests.engine.hall import a_task, until

SHARD = "jobsd:{main}:"
BESIDE = {"default": 1}


async def quick(ctx) -> int:
    return 1


async def fails(ctx) -> None:
    msg = "no"
    raise ValueError(msg)


FAILS = a_task(fails, retries=0)


async def put(hall, worker, task: str, count: int, *queues: str) -> list[Any]:
    """Enqueue so many jobs in each of the queues, and wait until ``worker`` has written all endings."""
    before = worker.finisher.accepted
    references = [await hall.client.enqueue(task, _queue=queue) for queue in queues for _ in range(count)]
    await until(lambda: worker.finisher.accepted == before + len(references))
    return references


async def left(hall, kind: str, queue: str) -> int:
    return await hall.redis.zcard(f"{SHARD}{queue}:{kind}")


async def with_result(references: list[Any]) -> int:
    """Return how many of the jobs are completed to who asks for them; the others are forgotten."""
    states = [await reference.status() for reference in references]
    assert set(states) <= {JobState.COMPLETED, JobState.UNKNOWN}
    return states.count(JobState.COMPLETED)


async def test_a_queue_keeps_so_many_completed_jobs_and_the_queue_beside_it_keeps_all(hall):
    worker = hall.open(quick, queues=BESIDE | {"mails": {"keep_completed_count": 3}})
    references = await put(hall, worker, "quick", 20, "mails", "default")
    assert (await with_result(references[:20]), await with_result(references[20:])) == (3, 20)


async def test_a_queue_keeps_so_many_failed_jobs_and_nothing_of_those_before(hall):
    worker = hall.open(FAILS, queues=BESIDE | {"mails": {"keep_archived_count": 5}})
    await put(hall, worker, "fails", 8, "mails", "default")
    assert (await left(hall, "archived", "mails"), await left(hall, "archived", "default")) == (5, 8)
    assert len(await hall.redis.keys(f"{SHARD}mails:dead:*")) == 5


@pytest.mark.parametrize("none", [{"keep_completed_count": 0}, {"keep_completed": "0s"}], ids=str)
async def test_a_queue_that_keeps_no_completed_job_stores_no_result(hall, none):
    worker = hall.open(quick, queues=BESIDE | {"mails": none})
    references = await put(hall, worker, "quick", 3, "mails", "default")
    assert (await with_result(references[:3]), await with_result(references[3:])) == (0, 3)
    assert len(await hall.redis.keys("arq:result:*")) == 3


async def test_a_queue_that_keeps_some_does_so_where_the_worker_keeps_none(hall):
    worker = hall.open(quick, queues=BESIDE | {"mails": {"keep_completed_count": 2}}, keep_completed_count=0)
    references = await put(hall, worker, "quick", 3, "mails", "default")
    assert (await with_result(references[:3]), await with_result(references[3:])) == (2, 0)


async def test_a_result_is_kept_for_the_time_that_its_queue_says(hall):
    worker = hall.open(quick, queues=BESIDE | {"mails": {"keep_completed": "10m"}})
    await put(hall, worker, "quick", 1, "mails", "default")
    [(_, mails)] = await hall.redis.zrange(f"{SHARD}mails:completed", 0, -1, withscores=True)
    [(_, default)] = await hall.redis.zrange(f"{SHARD}default:completed", 0, -1, withscores=True)
    assert (default - mails) / 60_000 == pytest.approx(50, abs=1)


async def test_a_daemon_that_does_not_serve_a_queue_trims_it_as_its_own_daemons_say(hall):
    first = hall.open(quick, FAILS, queues={"mails": {"keep_archived_count": 12}}, keep_completed_count=20)
    await put(hall, first, "quick", 15, "mails")
    await put(hall, first, "fails", 15, "mails")
    stingy = {"keep_completed_count": 1, "keep_archived_count": 0, "keep_archived": "0s"}
    hall.open(quick, **stingy)
    await Trimmer(Jobs(hall.redis), WorkerOptions(**stingy)).tick()
    assert (await left(hall, "completed", "mails"), await left(hall, "archived", "mails")) == (15, 12)


async def test_the_daemon_that_came_last_decides_for_those_that_run_already(hall):
    old = hall.open(quick, queues={"mails": {"keep_completed_count": 50}})
    await old.ready.wait()
    new = hall.open(quick, queues={"mails": {"keep_completed_count": 3}})
    await new.ready.wait()
    await hall.stop(new)
    references = await put(hall, old, "quick", 20, "mails")
    assert await with_result(references) == 3


async def test_after_a_restart_the_new_numbers_hold_at_once(hall):
    before = hall.open(quick, FAILS, queues={"mails": {"keep_completed_count": 50}})
    await put(hall, before, "quick", 10, "mails")
    await put(hall, before, "fails", 10, "mails")
    await hall.stop(before)
    hall.open(quick, queues={"mails": {"keep_completed_count": 4, "keep_archived_count": 2}})  # no job ends in it

    async def as_said() -> bool:
        return (await left(hall, "completed", "mails"), await left(hall, "archived", "mails")) == (4, 2)

    await until(as_said)
    assert len(await hall.redis.keys("arq:result:*")) == 4 + 10, "of the failed they end by themselves"
