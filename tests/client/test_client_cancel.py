"""JobRef.cancel(): what the caller hears, whatever the worker does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import CancelState, Client, JobState
from jobsd.errors import (
    InvalidOptionError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    UnreachableError,
    WrongLoopError,
)
from tests.client.a_worker import AWorker
from tests.client.proxy import Proxy
from tests.client.refusing import RefusingProxy
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def worker(redis) -> AWorker:
    return AWorker(redis)


@pytest.mark.parametrize("options", [{}, {"_delay": "1h"}, {"_limit_key": "acme"}, {"_unique_for": "1h"}], ids=str)
async def test_a_job_that_waits_is_archived_at_once(client: Client, options: dict[str, Any]) -> None:
    reference = await client.enqueue("add", 1, **options)
    assert await reference.cancel() is CancelState.CANCELLED
    assert await reference.status() is JobState.ARCHIVED


async def test_the_result_of_a_cancelled_job_is_an_error_that_says_so(client: Client) -> None:
    reference = await client.enqueue("add", 1)
    waiting = asyncio.create_task(reference.result(20))
    await reference.cancel()
    with pytest.raises(JobCancelledError, match=f"job {reference.id} failed: cancelled") as cancelled:
        await waiting
    assert isinstance(cancelled.value, JobFailedError)
    assert (cancelled.value.job_id, cancelled.value.error_type) == (reference.id, "CancelledError")


async def test_it_is_still_said_when_the_result_is_forgotten_and_the_archive_has_it(client: Client, redis) -> None:
    reference = await client.enqueue("add", 1)
    await reference.cancel()
    await redis.delete(f"arq:result:{reference.id}")
    with pytest.raises(JobCancelledError):
        await reference.result(20)


async def test_an_error_of_that_name_that_a_task_raised_itself_is_no_cancelling(client: Client, worker) -> None:
    reference = await client.enqueue("add", 1)
    await worker.archive(await worker.claim(), "failed", "CancelledError", "mine")
    with pytest.raises(JobFailedError, match="mine") as failed:
        await reference.result(20)
    assert not isinstance(failed.value, JobCancelledError)


async def test_cancelling_frees_the_unique_key_at_once(client: Client) -> None:
    first = await client.enqueue("add", 1, _unique_for="1h")
    assert (await client.enqueue("add", 1, _unique_for="1h")).duplicate
    await first.cancel()
    assert not (await client.enqueue("add", 1, _unique_for="1h")).duplicate


# --- a job that runs ------------------------------------------------------------------------------


async def test_a_running_job_is_followed_until_its_worker_has_cancelled_it(client: Client, worker) -> None:
    reference = await client.enqueue("add", 1)
    lease = await worker.claim()
    cancelling = asyncio.create_task(reference.cancel(20))
    await until(lambda: worker.jobs.told(lease.id, lease.mark, "delivered"))
    assert not cancelling.done()
    await worker.archive(lease, "cancelled", "CancelledError", "cancelled")
    assert await cancelling is CancelState.CANCELLED
    with pytest.raises(JobCancelledError):
        await reference.result(20)


@pytest.mark.parametrize("ending", ["completed", "failed"])
async def test_a_running_job_that_comes_to_its_own_end_all_the_same_has_ended(client: Client, worker, ending) -> None:
    reference = await client.enqueue("add", 1)
    lease = await worker.claim()
    cancelling = asyncio.create_task(reference.cancel(20))
    await until(lambda: worker.jobs.told(lease.id, lease.mark, "delivered"))
    if ending == "completed":
        await worker.complete(lease, 7)
    else:
        await worker.archive(lease, "failed", "ValueError", "no")
    assert await cancelling is CancelState.ENDED


@pytest.mark.parametrize("state", ["delivered", "resisting"])
async def test_when_the_time_is_over_it_is_said_how_far_the_cancelling_is(client: Client, worker, state) -> None:
    reference = await client.enqueue("add", 1)
    lease = await worker.claim()
    assert await reference.cancel(0) is CancelState.REQUESTED
    assert await worker.jobs.told(lease.id, lease.mark, state)
    assert await reference.cancel(0.01) is CancelState(state)
    assert await reference.status() is JobState.ACTIVE


async def test_what_is_said_at_last_is_what_was_heard_last(client: Client, worker) -> None:
    reference = await client.enqueue("add", 1)
    lease = await worker.claim()
    cancelling = asyncio.create_task(reference.cancel(1))
    await until(lambda: worker.jobs.told(lease.id, lease.mark, "resisting"))
    assert await cancelling is CancelState.RESISTING


async def test_a_request_stands_when_its_caller_has_gone(client: Client, worker) -> None:
    reference = await client.enqueue("add", 1)
    lease = await worker.claim()
    calling = asyncio.create_task(reference.cancel(None))
    await until(lambda: client.following()._cancels.state(lease.id))
    calling.cancel()
    await worker.archive(lease, "cancelled", "CancelledError", "cancelled")
    assert await reference.cancel() is CancelState.CANCELLED


async def test_cancelling_does_not_wait_longer_than_it_was_told(client: Client, worker) -> None:
    reference = await client.enqueue("add", 1)
    await worker.claim()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await reference.cancel(0.3) is CancelState.REQUESTED
    assert 0.3 <= loop.time() - began < 5


async def test_a_running_job_of_an_earlier_cancelling_may_be_cancelled_by_many(client: Client, worker) -> None:
    reference = await client.enqueue("add", 1)
    lease = await worker.claim()
    cancelling = [asyncio.create_task(reference.cancel(20)) for _ in range(20)]
    await until(lambda: worker.jobs.told(lease.id, lease.mark, "delivered"))
    await worker.archive(lease, "cancelled", "CancelledError", "cancelled", keeps=False)
    assert set(await asyncio.gather(*cancelling)) == {CancelState.CANCELLED}


# --- too late, and in trouble ---------------------------------------------------------------------


async def test_a_job_that_had_ended_has_ended(client: Client, worker) -> None:
    reference = await client.enqueue("add", 1)
    await worker.complete(await worker.claim(), 7)
    assert await reference.cancel() is CancelState.ENDED
    assert await reference.result(20) == 7


async def test_a_job_that_was_cancelled_before_is_cancelled(client: Client) -> None:
    reference = await client.enqueue("add", 1)
    assert [await reference.cancel(seconds) for seconds in (10, 10, 0)] == [CancelState.CANCELLED] * 3


async def test_a_job_of_which_there_is_no_trace_cannot_be_cancelled(client: Client) -> None:
    with pytest.raises(JobNotFoundError, match="no trace of job nothing"):
        await client.job("nothing").cancel()


async def test_the_answer_that_was_lost_is_heard_when_it_is_asked_again(redis_url: str, tmp_path: Path) -> None:
    async with Proxy(redis_url, tmp_path / "proxy.sock") as proxy, Client(proxy.url) as client:
        reference = await client.enqueue("add", 1)
        await client.job((await client.enqueue("warm")).id).cancel()
        proxy.swallowing = 1
        with pytest.raises(UnreachableError):
            await reference.cancel()
        assert await reference.cancel() is CancelState.CANCELLED


@pytest.mark.parametrize(
    "refusal", [b"-OOM command not allowed\r\n", b"-LOADING Redis is loading\r\n"], ids=["oom", "loading"]
)
async def test_a_server_that_takes_nothing_is_out_of_reach(redis_url: str, tmp_path: Path, refusal: bytes) -> None:
    async with RefusingProxy(redis_url, tmp_path / "proxy.sock") as proxy, Client(proxy.url) as client:
        reference = await client.enqueue("add", 1)
        proxy.refusal, proxy.refuses = refusal, lambda command: command == "cancel"
        with pytest.raises(UnreachableError):
            await reference.cancel()
        proxy.refuses = lambda _: False
        assert await reference.status() is JobState.PENDING


async def test_a_client_of_another_loop_is_told_so(client: Client) -> None:
    reference = await client.enqueue("add")
    with pytest.raises(WrongLoopError):
        await asyncio.to_thread(asyncio.run, reference.cancel())


@pytest.mark.parametrize("timeout", ["soon", -1, True, b"5s"], ids=repr)
async def test_a_timeout_that_is_none_is_refused_before_anything_is_asked(client: Client, timeout: Any) -> None:  # noqa: ASYNC109 - what is given
    reference = await client.enqueue("anything")
    with pytest.raises(InvalidOptionError, match="timeout"):
        await reference.cancel(timeout)
    with pytest.raises(InvalidOptionError, match="timeout"):
        await reference.result(timeout)
    assert await reference.status() is JobState.PENDING
    assert await reference.cancel("5s") is CancelState.CANCELLED
