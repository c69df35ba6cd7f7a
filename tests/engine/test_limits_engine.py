"""What is kept of a failure and for how long, and how late a delayed job may start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import JobState
from jobsd.engine.keepers import Trimmer
from jobsd.engine.texts import TRACE_LIMIT
from tests.engine.hall import a_task, until

if TYPE_CHECKING:
    from jobsd.engine.worker import Worker

BASE = "jobsd:{main}:default"
_CUT = "… (cut)\n"
_LATE_MS = 500  # generous: it is some 2 ms


async def fails(ctx, n: int = 0) -> None:
    msg = f"no {n}"
    raise ValueError(msg)


async def quick(ctx) -> int:
    return 1


# --- the trace ------------------------------------------------------------------------------------


async def fails_at_length(ctx) -> None:
    """Fail of a failure of a failure …: each is in the trace."""
    error: Exception | None = None
    for n in range(500):
        link = ValueError(f"link {n}")
        link.__cause__, error = error, link
    assert error is not None
    raise error


async def test_of_a_long_trace_the_end_is_recorded_and_kept_in_the_archive(hall) -> None:
    hall.open(a_task(fails_at_length, retries=0), records=True)
    reference = await hall.client.enqueue("fails_at_length")
    (run,) = await hall.executions(1)
    trace = run.error_trace
    assert len(trace) == TRACE_LIMIT + len(_CUT)
    assert trace.startswith(_CUT)
    assert trace.endswith("ValueError: link 499\n"), "the cause stands at the end"
    assert "link 0\n" not in trace
    assert (await archived(hall, reference.id))["trace"] == trace


async def test_a_trace_within_the_limit_is_kept_whole(hall) -> None:
    hall.open(a_task(fails, retries=0), records=True)
    reference = await hall.client.enqueue("fails")
    (run,) = await hall.executions(1)
    assert run.error_trace.startswith("Traceback (most recent call last):\n")
    assert run.error_trace.endswith("ValueError: no 0\n")
    assert (await archived(hall, reference.id))["trace"] == run.error_trace


async def archived(hall, job_id: str) -> dict[str, Any]:
    await until(lambda: hall.redis.exists(f"{BASE}:dead:{job_id}"))
    return json.loads(await hall.redis.hget(f"{BASE}:dead:{job_id}", "info"))


# --- the archive ----------------------------------------------------------------------------------


async def test_an_ending_forgets_what_the_archive_holds_beyond_its_count(hall) -> None:
    worker = without_trimmer(hall.make(a_task(fails, retries=0), concurrency=1, keep_archived_count=3))
    hall.start(worker)
    references = [await archived_job(hall, n) for n in range(6)]
    await until(lambda: worker.finisher.accepted == 6)
    assert await in_archive(hall) == {reference.id for reference in references[3:]}


async def test_an_ending_forgets_what_was_archived_too_long_ago(hall) -> None:
    hall.start(without_trimmer(hall.make(a_task(fails, retries=0), keep_archived="50ms")))
    old = await archived_job(hall, 1)
    archived_at = await hall.redis.zscore(f"{BASE}:archived", old.id)
    await until(lambda: _is_after(hall, archived_at + 50))
    new = await archived_job(hall, 2)
    assert await in_archive(hall) == {new.id}


@pytest.mark.parametrize(("keep", "left"), [({"keep_archived_count": 2}, 2), ({"keep_archived": "1ms"}, 0)], ids=str)
async def test_a_worker_that_starts_forgets_what_others_have_archived_beyond_its_measure(
    hall, keep: dict[str, Any], left: int
) -> None:
    before = hall.open(a_task(fails, retries=0))
    references = [await archived_job(hall, n) for n in range(5)]
    await hall.stop(before)
    assert len(await in_archive(hall)) == 5
    hall.open(a_task(quick), **keep)  # nothing ends in it: it is the trimmer's work
    await until(lambda: _archive_is(hall, left))
    assert await in_archive(hall) == {reference.id for reference in references[5 - left :]}


def without_trimmer(worker: Worker) -> Worker:
    """Take the other one away that trims the archive."""
    worker._keepers[:] = [keeper for keeper in worker._keepers if not isinstance(keeper, Trimmer)]
    return worker


async def archived_job(hall, n: int) -> Any:
    reference = await hall.client.enqueue("fails", n)
    await until(lambda: _is_archived(reference))
    return reference


async def _is_archived(reference: Any) -> bool:
    return await reference.status() is JobState.ARCHIVED


async def _is_after(hall, ms: float) -> bool:
    seconds, micros = await hall.redis.time()
    return seconds * 1000 + micros / 1000 > ms + 1


async def _archive_is(hall, count: int) -> bool:
    return await hall.redis.zcard(f"{BASE}:archived") == count


async def in_archive(hall) -> set[str]:
    """Return the ids of what the archive lists; it holds the payloads of these and of no other."""
    listed = {job_id.decode() for job_id in await hall.redis.zrange(f"{BASE}:archived", 0, -1)}
    held = {key.decode().removeprefix(f"{BASE}:dead:") for key in await hall.redis.keys("jobsd:{main}:default:dead:*")}
    assert held == listed
    return listed


# --- time -----------------------------------------------------------------------------------------


async def test_delayed_jobs_start_close_to_their_due_time_without_any_poll(hall) -> None:
    hall.open(quick, poll="1h", records=True)
    delays = [30, 60, 90, 120, 400, 401, 700]
    for delay_ms in delays:
        await hall.client.enqueue("quick", _delay=f"{delay_ms}ms")
    late = [run.started_at - run.scheduled_for for run in await hall.executions(len(delays))]
    assert min(late) >= 0
    assert max(late) < _LATE_MS
