from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobState
from jobsd.errors import JobFailedError, JobNotFoundError, UnreachableError
from jobsd.store.codec import decode_payload, encode_result
from jobsd.store.jobs import Ending, Jobs, Quota

if TYPE_CHECKING:
    from jobsd import JobRef
    from jobsd.store.jobs import Lease

KEEP_MS = 60_000


async def claim(jobs: Jobs) -> Lease:
    claimed = await jobs.claim(
        "tester", 1, [Quota("default", 1)], slots=1, lease_ms=60_000, max_losses=3, records=False
    )
    return claimed.leases[0]


async def finish(jobs: Jobs, lease: Lease, move: str, at: int = KEEP_MS, data: str = "", result: bytes = b"") -> None:
    accepted = await jobs.finish(
        "tester",
        1,
        [Ending(lease, move, at, data, result, b"")],
        keep_completed_count=10,
        keep_archived_ms=KEEP_MS,
        keep_archived_count=10,
    )
    assert accepted == [True]


def a_result(lease: Lease, value: Any, *, success: bool = True) -> bytes:
    return encode_result(
        decode_payload(lease.payload),
        attempt=1,
        success=success,
        value=value,
        started_at=1,
        finished_at=2,
        queue="default",
        job_id=lease.id,
    )


async def test_a_result_is_what_the_task_returned(client: Client, redis) -> None:
    reference = await client.enqueue("add")
    waiting = asyncio.create_task(reference.result(20))
    jobs = Jobs(redis)
    lease = await claim(jobs)
    await finish(jobs, lease, "C", result=a_result(lease, {"sum": [1, None]}))
    assert await waiting == {"sum": [1, None]}


async def test_the_error_of_a_failed_job_tells_what_it_was(client: Client, redis) -> None:
    reference = await client.enqueue("add")
    jobs = Jobs(redis)
    lease = await claim(jobs)
    error = a_result(lease, {"type": "ValueError", "message": "no"}, success=False)
    await finish(jobs, lease, "A", data='{"n":1}', result=error)
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
    jobs = Jobs(redis)

    async def state(reference: JobRef[Any]) -> JobState:
        return await reference.status()

    scheduled = await client.enqueue("add", _delay="1h")
    assert await state(scheduled) is JobState.SCHEDULED
    reference = await client.enqueue("add")
    assert await state(reference) is JobState.PENDING
    lease = await claim(jobs)
    assert await state(reference) is JobState.ACTIVE
    seconds, _ = await redis.time()
    await finish(jobs, lease, "R", at=(seconds + 3600) * 1000, data='{"n":1}')
    assert await state(reference) is JobState.RETRY
    for number, (move, expected) in enumerate(
        [("P", JobState.PARKED), ("C", JobState.COMPLETED), ("A", JobState.ARCHIVED), ("D", JobState.UNKNOWN)]
    ):
        one = await client.enqueue("add")
        claimed = await jobs.claim(
            f"tester-{number}", 1, [Quota("default", 1)], slots=1, lease_ms=60_000, max_losses=3, records=False
        )
        (lease,) = claimed.leases
        data = {"P": "task:add", "A": '{"n":1}'}.get(move, "")
        await jobs.finish(
            f"tester-{number}",
            1,
            [Ending(lease, move, KEEP_MS, data, a_result(lease, 1), b"")],
            keep_completed_count=10,
            keep_archived_ms=KEEP_MS,
            keep_archived_count=10,
        )
        assert await state(one) is expected


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
