from __future__ import annotations

import asyncio

import pytest

from jobsd import Client, JobState
from jobsd.errors import JobFailedError, JobNotFoundError, UnreachableError
from tests.client.a_worker import KEEP_MS, AWorker, a_result


async def test_a_result_is_what_the_task_returned(client: Client, redis) -> None:
    reference = await client.enqueue("add")
    waiting = asyncio.create_task(reference.result(20))
    worker = AWorker(redis)
    await worker.complete(await worker.claim(), {"sum": [1, None]})
    assert await waiting == {"sum": [1, None]}


async def test_the_error_of_a_failed_job_tells_what_it_was(client: Client, redis) -> None:
    reference = await client.enqueue("add")
    worker = AWorker(redis)
    await worker.archive(await worker.claim(), "failed", "ValueError", "no")
    with pytest.raises(JobFailedError, match=f"job {reference.id} failed: no") as failed:
        await reference.result(20)
    assert (failed.value.job_id, failed.value.error_type, failed.value.message) == (reference.id, "ValueError", "no")


async def test_of_a_job_that_never_was_there_is_no_trace(client: Client) -> None:
    with pytest.raises(JobNotFoundError, match="no trace of job nothing"):
        await client.job("nothing").result()
    assert await client.job("nothing").status() is JobState.UNKNOWN
    assert await client.job("nothing").progress() is None


async def test_waiting_ends_with_the_timeout_and_says_where_the_job_is(client: Client) -> None:
    reference = await client.enqueue("add")
    with pytest.raises(TimeoutError, match=r"is pending after 0\.01 s"):
        await reference.result(0.01)


async def test_waiting_does_not_end_before_the_timeout(client: Client) -> None:
    reference = await client.enqueue("add")
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        await reference.result(0.55)
    assert loop.time() - began >= 0.55


async def test_a_result_that_another_program_pickled_is_said_to_be_none_of_ours(client: Client, redis) -> None:
    await redis.set("arq:result:x", b"\x80\x04K\x01.")
    with pytest.raises(JobFailedError, match="not JSON"):
        await client.job("x").result()


async def test_a_job_says_where_it_is_all_its_life(client: Client, redis) -> None:
    worker = AWorker(redis)
    scheduled = await client.enqueue("add", _delay="1h")
    assert await scheduled.status() is JobState.SCHEDULED
    reference = await client.enqueue("add")
    assert await reference.status() is JobState.PENDING
    lease = await worker.claim()
    assert await reference.status() is JobState.ACTIVE
    seconds, _ = await redis.time()
    await worker.finish(lease, "R", (seconds + 3600) * 1000, b'{"n":1}')
    assert await reference.status() is JobState.RETRY
    for move, data, expected in [
        ("P", b"task:add", JobState.PARKED),
        ("C", b"", JobState.COMPLETED),
        ("A", b'{"n":1}', JobState.ARCHIVED),
        ("D", b"", JobState.UNKNOWN),
    ]:
        one = await client.enqueue("add")
        lease = await worker.claim()
        await worker.finish(lease, move, KEEP_MS, data, a_result(lease, 1))
        assert await one.status() is expected


async def test_many_may_wait_for_results_at_the_same_time(client: Client, redis) -> None:
    references = [client.job(f"job-{n}") for n in range(200)]
    await redis.mset({f"arq:result:{one.id}": '{"s":true,"r":1}' for one in references})
    assert await asyncio.gather(*(one.result(20) for one in references)) == [1] * 200


async def test_an_unreachable_server_is_said_with_its_password_masked(tmp_path) -> None:
    async with Client(f"unix://:secret@{tmp_path}/nobody.sock") as client:
        for call in (client.job("x").result(), client.job("x").status(), client.job("x").progress()):
            with pytest.raises(UnreachableError) as unreachable:
                await call
            assert "secret" not in str(unreachable.value)
