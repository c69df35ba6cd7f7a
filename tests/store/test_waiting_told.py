"""What is told of jobs that wait for a turn, a limit or a task: by jobsd's looks, and by arq's own client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from arq.jobs import Job, JobStatus, ResultNotFound
from pydantic_core import from_json

from jobsd.job import JobState
from tests.store.shop import START, Shop, a_limited_job, a_payload, an_ending, archived, completed
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from redis.asyncio import Redis

BASE = "jobsd:{main}:default"
QUICK = {"timeout": PATIENCE_S, "poll_delay": 0.01}


@pytest.fixture
async def waiting(shop):
    """One job each: runs, waits in a line, is parked, scheduled, waits for a retry, and is due without any limit."""
    await shop.limit("default", ":::1::||")
    hand = shop.hand("w1")
    await shop.put("parked", "retry")
    parked, retry = sorted(await hand.claim(), key=lambda lease: lease.id)
    await hand.finish(
        an_ending(parked, "P", parked.due, "task:email:send"), an_ending(retry, "R", START + 5000, '{"n":1,"f":1}')
    )
    await shop.put_limited("k=a", "runs")
    await hand.claim()
    await shop.put_limited("k=a", "in-line", when=f"{START - 30}")
    await shop.put_limited("k=a", "scheduled", when="+60000")
    await shop.put("due")
    return hand


async def states(shop: Shop, *job_ids: str) -> list[JobState]:
    return [await shop.jobs.looks.state("default", job_id, now=shop.now) for job_id in job_ids]


# --- jobsd's looks --------------------------------------------------------------------------------


@pytest.mark.usefixtures("waiting")
async def test_a_job_in_a_line_is_pending_and_a_parked_one_parked(shop):
    assert await states(shop, "in-line", "due", "parked", "scheduled", "retry", "runs") == [
        JobState.PENDING,
        JobState.PENDING,
        JobState.PARKED,
        JobState.SCHEDULED,
        JobState.RETRY,
        JobState.ACTIVE,
    ]


async def test_a_retry_that_has_joined_its_line_is_pending(shop, waiting):
    [running] = waiting.held
    await waiting.finish(an_ending(running, "R", START + 1000, '{"n":1,"f":1}'))
    await shop.put_limited("k=a", "next")
    await waiting.claim(2)
    assert await states(shop, "runs") == [JobState.RETRY]
    await shop.advance(1000, waiting)
    await waiting.claim(2)
    assert await states(shop, "runs") == [JobState.PENDING]
    assert ("runs", START + 1000) not in await shop.jobs.looks.members(
        "default", JobState.RETRY, now=shop.now, limit=10
    )


@pytest.mark.usefixtures("waiting")
async def test_each_job_has_its_own_due_time_wherever_it_waits(shop):
    dues = {
        job_id: await shop.jobs.looks.due("default", job_id) for job_id in ("in-line", "due", "scheduled", "parked")
    }
    assert dues == {"in-line": START - 30, "due": START, "scheduled": START + 60_000, "parked": None}


@pytest.mark.usefixtures("waiting")
async def test_jobs_in_lines_are_counted_among_those_that_are_due(shop):
    counts = await shop.jobs.looks.counts("default", now=shop.now)
    assert (counts.due, counts.future, counts.active, counts.retry, counts.parked) == (2, 3, 1, 1, 1)


@pytest.mark.usefixtures("waiting")
async def test_members_of_a_state_are_listed_with_their_times(shop):
    looks, now = shop.jobs.looks, shop.now
    assert dict(await looks.members("default", JobState.PENDING, now=now, limit=10)) == {
        "due": START,
        "in-line": START - 30,
    }
    assert await looks.members("default", JobState.PARKED, now=now, limit=10) == [("parked", now)]
    assert await looks.members("default", JobState.SCHEDULED, now=now, limit=10) == [("scheduled", START + 60_000)]


async def test_members_of_many_lines_are_listed_up_to_the_limit(shop):
    await shop.enqueue([a_limited_job(f"job-{n:02}", f"k={n % 7}") for n in range(35)])
    for limit, told in ((1, 1), (10, 10), (34, 34), (35, 35), (100, 35)):
        found = await shop.jobs.looks.members("default", JobState.PENDING, now=shop.now, limit=limit)
        assert len(found) == len(dict(found)) == told


@pytest.mark.usefixtures("waiting")
async def test_a_limited_run_tells_when_it_started_and_its_number(shop):
    assert await shop.jobs.looks.started("runs") == (START, 1)


async def test_the_limits_in_effect_are_told_of_queues_and_resources(shop):
    await shop.limit("default", ":::1::||")
    await shop.limit("r=s", "2:::::||")
    told = await shop.jobs.looks.limits(["default", "low", "r=s", "r=t"])
    assert told == {"default": ":::1::||", "low": "", "r=s": "2:::::||", "r=t": ""}


# --- arq's client ---------------------------------------------------------------------------------


def arq_job(redis: Redis, job_id: str) -> Job:
    return Job(job_id, redis, _queue_name=BASE, _deserializer=from_json)


@pytest.mark.usefixtures("waiting")
async def test_arq_says_of_a_job_in_a_line_and_of_a_parked_one_that_they_are_queued(shop):
    future = f"{9_000_000_000_000}"  # arq asks the server's clock and not the shop's
    await shop.put("future", when=future)
    await shop.put_limited("k=b", "future-limited", when=future)
    found = {
        job_id: await arq_job(shop.redis, job_id).status()
        for job_id in ("in-line", "parked", "future", "future-limited", "runs", "none")
    }
    assert found == {
        "in-line": JobStatus.queued,
        "parked": JobStatus.queued,
        "future": JobStatus.deferred,
        "future-limited": JobStatus.deferred,
        "runs": JobStatus.in_progress,
        "none": JobStatus.not_found,
    }


async def told_when(shop: Shop, job_id: str, end: Any) -> Any:
    """Wait for a result as arq does, and end the job as soon as somebody waits."""
    job = arq_job(shop.redis, job_id)
    with pytest.raises(asyncio.TimeoutError):
        await job.result(timeout=0)
    waiting = asyncio.create_task(job.result(**QUICK))
    await end()
    return await waiting


async def test_arq_waits_for_the_result_of_a_job_in_a_line(shop, waiting):
    async def run() -> None:
        for _ in range(2):
            [lease] = [lease for lease in waiting.held if lease.id != "due"]
            result = arq_result(lease.id)
            await waiting.finish(an_ending(lease, "C", 3_600_000, result=result))
            await waiting.claim()

    assert await told_when(shop, "in-line", run) == "done in-line"


async def test_arq_waits_for_the_result_of_a_parked_job(shop, waiting):
    async def run() -> None:
        assert await shop.jobs.release("default", ["task:email:send"]) == 1
        [lease] = [lease for lease in await waiting.claim() if lease.id == "parked"]
        await waiting.finish(an_ending(lease, "C", 3_600_000, result=arq_result("parked")))

    assert await told_when(shop, "parked", run) == "done parked"


def arq_result(job_id: str) -> bytes:
    """Return a whole result, as the engine writes it."""
    payload = a_payload()
    told = f',"t":1,"s":true,"r":"done {job_id}","st":{START},"ft":{START},"q":"default","id":"{job_id}"}}'
    return payload[:-1].replace(b'"t":null,', b"") + told.encode()


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("job_id", ["in-line", "parked", "scheduled"])
async def test_arq_finds_a_cancelled_job_complete_and_failed(shop, job_id):
    await shop.jobs.cancel("default", job_id)
    job = arq_job(shop.redis, job_id)
    assert await job.status() is JobStatus.complete
    info = await job.result_info()
    assert (info.success, info.result) == (False, {"type": "CancelledError", "message": "cancelled"})


async def test_arq_finds_no_result_of_a_job_that_left_none(shop, waiting):
    [running] = waiting.held
    await waiting.finish(an_ending(running, "D"))
    with pytest.raises(ResultNotFound):
        await arq_job(shop.redis, "runs").result(timeout=0)


@pytest.mark.parametrize("ending", [completed, archived])
async def test_arq_finds_no_job_queued_whose_line_is_gone(shop, waiting, ending):
    [running] = waiting.held
    await waiting.finish(ending(running))
    leases = await waiting.claim()
    await waiting.finish(*map(ending, leases))
    assert await arq_job(shop.redis, "in-line").status() is JobStatus.complete
