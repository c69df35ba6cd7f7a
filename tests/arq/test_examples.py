"""arq's quick start and documented examples, with their WorkerSettings as they are, on jobsd.Worker."""

from __future__ import annotations

import asyncio
import functools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from arq.worker import get_kwargs

import jobsd
from tests.arq import examples
from tests.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

QUICK = {"timeout": PATIENCE_S, "poll_delay": 0.02}


@pytest.fixture(params=["burst", "daemon"])
def serve(office, request) -> Callable[[Any], Awaitable[jobsd.Worker]]:
    """Return how a class is run: to the end of its queue, or beside the test."""

    async def run(settings: Any) -> jobsd.Worker:
        given = {"redis_settings": office.settings, "handle_signals": False, "poll_delay": 0.02}
        worker = jobsd.Worker(**get_kwargs(settings) | given, burst=request.param == "burst")
        if not worker.burst:
            return office.start(worker)
        async with asyncio.timeout(PATIENCE_S):
            await worker.main()
            await worker.close()
        return worker

    return run


async def test_the_quick_start(office, serve) -> None:
    urls = ["https://example.com/a", "https://example.com/b"]
    jobs = [await office.jobs.enqueue_job("download", url) for url in urls]
    worker = await serve(examples.QuickStart)
    assert [await job.result(**QUICK) for job in jobs] == [f"{url}: 200" for url in urls]
    session = worker.ctx["session"]
    assert session.asked == 2
    assert session.open is not worker.burst  # a burst has ended, and closed it


async def test_retries_with_a_growing_delay(office, serve) -> None:
    job = await office.jobs.enqueue_job("insist", "https://example.com/busy")
    worker = await serve(examples.Retries)
    assert await job.result(**QUICK) == 3
    assert worker.jobs_retried == 2


async def test_deferred_jobs(office, serve) -> None:
    by = await office.jobs.enqueue_job("note", _defer_by=0.2)
    span = await office.jobs.enqueue_job("note", _defer_by=timedelta(milliseconds=200))
    at = await office.jobs.enqueue_job("note", _defer_until=datetime.now(UTC) + timedelta(milliseconds=200))
    await serve(examples.Deferred)
    for job in (by, span, at):
        due = (await job.info()).score
        assert await job.result(**QUICK) == job.job_id
        assert due is None or (await job.result_info()).start_time.timestamp() * 1000 >= due


async def test_job_ids(office, serve) -> None:
    one, other = await office.jobs.enqueue_job("note"), await office.jobs.enqueue_job("note")
    assert one.job_id != other.job_id
    mine = await office.jobs.enqueue_job("note", _job_id="mine")
    assert await office.jobs.enqueue_job("note", _job_id="mine") is None
    await serve(examples.Deferred)
    assert await mine.result(**QUICK) == "mine"


async def test_aborting_a_job_that_waits(office, serve) -> None:
    job = await office.jobs.enqueue_job("stuff")
    aborting = asyncio.create_task(job.abort(**QUICK))
    await until(lambda: office.redis.zcard("arq:abort"))
    await serve(examples.Aborts)
    assert await aborting is True


async def test_a_cron_job_runs_beside_nothing_else(office) -> None:
    office.start(jobsd.Worker(**get_kwargs(examples.Crons), redis_settings=office.settings, handle_signals=False))
    await until(lambda: office.redis.get("regularly"))


async def test_custom_serialisation(office, serve) -> None:
    unpack = functools.partial(msgpack.unpackb, raw=False)
    jobs = await office.client(job_serializer=msgpack.packb, job_deserializer=unpack)
    job = await jobs.enqueue_job("answer")
    await serve(examples.Msgpack)
    assert await job.result(**QUICK) == 42


async def test_code_that_blocks_in_a_pool(office, serve) -> None:
    job = await office.jobs.enqueue_job("in_a_pool", 1000)
    await serve(examples.Blocking)
    assert await job.result(**QUICK) == 499_500
