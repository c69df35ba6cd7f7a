"""Calls that Redis has carried out and whose answers never came: each is asked again, and nothing happens twice."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobRequest
from jobsd.store.scripts import source
from tests.acceptance.witness import RECORDED, counted, runs, settled, told, until, workers_are
from tests.client.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis.asyncio import Redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_JOBS = 20


@pytest.mark.parametrize("script", ["enqueue", "claim", "finish"])
async def test_an_answer_that_was_swallowed_is_as_good_as_given(
    daemon: Any, redis_url: str, redis: Redis, database_url: str, tmp_path: Path, script: str
) -> None:
    env = RECORDED | {"JOBSD_DATABASE_URL": database_url}
    (tmp_path / "gate").touch()
    async with Proxy(redis_url, tmp_path / "proxy.sock") as proxy, Client(proxy.url) as client:
        one, other = daemon(**env, JOBSD_REDIS_URL=proxy.url), daemon(**env)
        await _held(other, redis)
        assert await (await client.enqueue("add", 1, 2)).result(60) == 3  # the server knows every script from here on
        proxy.chooses, proxy.swallowing = _answers_of(script), 2
        jobs = await client.enqueue_many(_calls())
        await until(lambda: proxy.swallowed == 2)
        other.process.send_signal(signal.SIGCONT)  # what is anybody's is now taken by somebody
        assert not any(job.duplicate for job in jobs)
        for job in jobs:
            assert await job.result(60) == "endured"
        await until(lambda: settled(redis))
        await _stopped(one, other)
    ids = {job.id for job in jobs}
    assert sorted((run.job_id, run.attempt) for run in told(tmp_path, "started")) == [(id_, 1) for id_ in sorted(ids)]
    assert await counted(redis) == {"processed": _JOBS + 1}
    assert [run for run in await runs(database_url) if run[0] in ids] == [(id_, 1, "succeeded") for id_ in sorted(ids)]
    assert len(await runs(database_url)) == _JOBS + 1


async def test_jobs_whose_claim_stays_unanswered_beyond_the_lease_are_run_by_another_worker(
    daemon: Any, redis_url: str, redis: Redis, database_url: str, tmp_path: Path
) -> None:
    env = RECORDED | {"JOBSD_DATABASE_URL": database_url, "JOBSD_WORKER__LEASE": "2s"}
    (tmp_path / "gate").touch()
    async with Proxy(redis_url, tmp_path / "proxy.sock") as proxy, Client(redis_url) as client:
        deaf, other = daemon(**env, JOBSD_REDIS_URL=proxy.url), daemon(**env)
        await _held(other, redis)
        assert await (await client.enqueue("add", 1, 2)).result(60) == 3
        proxy.chooses, proxy.swallowing = _answers_of("claim"), 1_000_000
        jobs = await client.enqueue_many(_calls())
        await until(lambda: proxy.swallowed)
        other.process.send_signal(signal.SIGCONT)
        for job in jobs:
            assert await job.result(60) == "endured"
        proxy.swallowing = 0
        other.process.send_signal(signal.SIGTSTP)
        last = await client.enqueue("add", 2, 2)
        assert await last.result(60) == 4, "who was not answered works on"
        await until(lambda: settled(redis))
        await _stopped(deaf, other)
    ids = {job.id for job in jobs}
    assert sorted(run.job_id for run in told(tmp_path, "started")) == sorted(ids)
    assert await counted(redis) == {"processed": _JOBS + 2}
    recorded = await runs(database_url)
    assert sorted(job_id for job_id, _, outcome in recorded if outcome == "succeeded" and job_id in ids) == sorted(ids)
    assert len(recorded) == _JOBS + 2


async def _held(one: Any, redis: Redis) -> None:
    """Let this one take no jobs for now, when both of the test's daemons are up."""
    await until(lambda: workers_are(redis, 2))
    one.process.send_signal(signal.SIGTSTP)
    one.wait_for("daemon.held")


async def _stopped(*daemons: Any) -> None:
    """Stop them in a thread: the proxy, which the last words of one pass through, is in this one."""
    assert [await asyncio.to_thread(one.terminate) for one in daemons] == [0, 0]


def _answers_of(script: str) -> Callable[[bytes, bytes], bool]:
    """Choose the answers to calls of one script; of claims only those that hand out jobs."""
    sha = hashlib.sha1(source(script).encode(), usedforsecurity=False).hexdigest().encode()

    def chooses(asked: bytes, answer: bytes) -> bool:
        return sha in asked and (script != "claim" or b'{"i":"' in answer)

    return chooses


def _calls() -> list[JobRequest[Any]]:
    return [JobRequest("endure", ("gate",), {}, "default") for _ in range(_JOBS)]
