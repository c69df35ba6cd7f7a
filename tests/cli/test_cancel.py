"""jobsd jobs cancel: each state in words, and exit code 1 where the job was not cancelled."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from jobsd import JobState
from jobsd.cli import app
from jobsd.errors import JobNotFoundError
from jobsd.store.keys import LANED, base_key
from tests.engine.hall import Hall, a_task, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis


@pytest.fixture
async def hall(redis_url: str, redis: Redis, monkeypatch, tmp_path) -> AsyncIterator[Hall]:
    for name in os.environ:
        if name.startswith(("JOBSD_", "REDIS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JOBSD_REDIS_URL", redis_url)
    monkeypatch.chdir(tmp_path)
    opened = Hall(redis_url, redis)
    yield opened
    await opened.close()


async def run(*arguments: str) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, app, [*arguments])


async def test_a_job_that_waits_is_cancelled(hall) -> None:
    reference = await hall.client.enqueue("anything", _queue="mails")
    ended = await run("jobs", "cancel", reference.id, "-q", "mails")
    assert (ended.exit_code, ended.stdout) == (0, f"{reference.id} is cancelled\n")
    assert await reference.status() is JobState.ARCHIVED
    again = await run("jobs", "cancel", reference.id, "-q", "mails")
    assert (again.exit_code, again.stdout) == (0, f"{reference.id} is cancelled\n")


async def test_a_job_that_runs_is_cancelled_and_one_that_resists_is_told(hall) -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def resists(ctx) -> None:
        began.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise ValueError

    hall.open(a_task(resists, retries=5))
    reference = await hall.client.enqueue("resists")
    await until(began.is_set)
    ended = await run("jobs", "cancel", reference.id, "--wait", "1ms")
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"{reference.id} still runs: ")
    await until(lambda: _resists(reference.id))
    release.set()
    ended = await run("jobs", "cancel", reference.id)
    assert (ended.exit_code, ended.stdout) == (0, f"{reference.id} is cancelled\n")


async def _resists(job_id: str) -> bool:
    ended = await run("jobs", "cancel", job_id, "--wait", "1ms")
    return ended.exit_code == 1 and "its function was cancelled and resists" in ended.stderr


async def test_a_job_that_has_ended_is_told_so(hall) -> None:
    async def quick(ctx) -> int:
        return 1

    hall.open(quick)
    reference = await hall.client.enqueue("quick")
    await hall.result(reference)
    ended = await run("jobs", "cancel", reference.id)
    assert ended.exit_code == 1
    assert ended.stderr == f"{reference.id} was not cancelled: it has ended, and is completed\n"


async def test_a_job_that_nobody_knows_is_an_error(hall) -> None:
    ended = await run("jobs", "cancel", "nobody")
    assert isinstance(ended.exception, JobNotFoundError)
    assert ended.exception.exit_code == 1


async def test_a_job_in_a_lane_is_shown_with_what_it_waits_for(hall) -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def waits(ctx) -> None:
        began.set()
        await release.wait()

    hall.open(waits, queues={"default": {"per_key": {"concurrency": 1}}})
    await hall.client.enqueue("waits", _limit_key="acme")
    await until(began.is_set)
    reference = await hall.client.enqueue("waits", _limit_key="acme", _resources=["stripe"])
    await until(lambda: _is_in_a_lane(hall, reference.id))
    lines = (await run("jobs", "show", reference.id)).stdout.splitlines()
    assert "limited by  limit key acme and resource stripe" in [line.strip() for line in lines]
    assert [line for line in lines if line.startswith("due")]
    assert (await run("jobs", "cancel", reference.id)).exit_code == 0
    release.set()


async def test_a_job_is_shown_in_whichever_queue_it_is(hall) -> None:
    archived = await hall.client.enqueue("anything", _id="daily")
    await run("jobs", "cancel", archived.id)
    await hall.redis.delete("arq:result:daily")  # an hour later
    await hall.client.enqueue("anything", _id="daily", _queue="low")
    shown = json.loads((await run("jobs", "show", "daily", "--json")).stdout)
    assert (shown["queue"], shown["state"]) == ("low", "pending"), "the one that lives"
    shown = json.loads((await run("jobs", "show", "daily", "-q", "default", "--json")).stdout)
    assert (shown["queue"], shown["state"]) == ("default", "archived")
    ended = await run("jobs", "show", "nobody")
    told = "no trace of job nobody in any queue: it never was there, or its retention is over"
    assert (type(ended.exception), str(ended.exception)) == (JobNotFoundError, told)


async def _is_in_a_lane(hall: Any, job_id: str) -> bool:
    return await hall.redis.zscore(base_key("default"), job_id) == LANED


async def test_an_archived_job_whose_key_another_has_is_not_run_again(hall) -> None:
    first = await hall.client.enqueue("anything", 1, _unique_for="1h")
    await run("jobs", "cancel", first.id)
    second = await hall.client.enqueue("anything", 1, _unique_for="1h")
    refused = await run("jobs", "retry", first.id)
    assert "another job has its unique key" in str(refused.exception)
    assert await second.status() is JobState.PENDING
