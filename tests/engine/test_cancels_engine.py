"""Cancelling what runs: how a worker hears of it, stops the function, and says what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as GoneError

from jobsd import CancelState, JobState, SkipRetry, Snooze, fixed
from jobsd.errors import JobCancelledError
from jobsd.store.cancels import Cancels
from jobsd.store.keys import cancel_key
from tests.engine.hall import BASE, a_task, said, until

if TYPE_CHECKING:
    from jobsd import JobRef
    from jobsd.engine.worker import Worker

SOON_S = 3.0  # sooner than a worker that has heard nothing looks


class Sleeper:
    """A task that sleeps until it is cancelled, and then ends as the test wants."""

    def __init__(self, *, ends: Any = asyncio.CancelledError, retries: int = 50) -> None:
        self.retries = retries
        self.began = asyncio.Event()
        self.attempts: list[int] = []
        self._ends = ends

    async def sleeps(self, ctx: Any) -> str:
        self.attempts.append(ctx.attempt)
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if isinstance(self._ends, str):
                return self._ends
            raise self._ends from None
        return "never"

    @property
    def task(self) -> Any:
        return a_task(self.sleeps, retries=self.retries, backoff=fixed("0s"))


async def quick(ctx) -> int:
    return ctx.attempt


async def running(hall: Any, sleeper: Sleeper, **options: Any) -> tuple[Worker, JobRef[Any]]:
    worker = hall.open(sleeper.task, quick, **options)
    reference = await hall.client.enqueue("sleeps")
    await until(sleeper.began.is_set)
    return worker, reference


async def is_forgotten(hall: Any, job_id: str) -> bool:
    return await Cancels(hall.redis).state(job_id) is None


# --- what becomes of the job ----------------------------------------------------------------------


@pytest.mark.parametrize("retries", [0, 50])
@pytest.mark.parametrize("ends", [asyncio.CancelledError(), ValueError("no"), Snooze("1h"), SkipRetry()], ids=repr)
async def test_a_running_job_is_cancelled_however_its_function_takes_it(hall, ends, retries) -> None:
    sleeper = Sleeper(ends=ends, retries=retries)
    worker, reference = await running(hall, sleeper, records=True)
    async with asyncio.timeout(SOON_S):
        assert await reference.cancel(None) is CancelState.CANCELLED
    assert await reference.status() is JobState.ARCHIVED
    with pytest.raises(JobCancelledError):
        await hall.result(reference)
    (run,) = await hall.executions(1)
    assert (run.attempt, run.outcome, run.transition) == (1, "cancelled", "archived")
    assert await hall.result(await hall.client.enqueue("quick")) == 1
    assert sleeper.attempts == [1]
    await until(lambda: not worker._held)  # it is told of its endings after everybody else
    assert await is_forgotten(hall, reference.id)
    assert not await hall.redis.exists(cancel_key(worker.id), f"{BASE}:side")


async def test_a_function_that_returns_all_the_same_completes_its_job(hall) -> None:
    _, reference = await running(hall, Sleeper(ends="done"))
    assert await reference.cancel(None) is CancelState.ENDED
    assert await hall.result(reference) == "done"
    assert await is_forgotten(hall, reference.id)


async def test_a_function_that_resists_is_reported_and_then_ends_as_cancelled(hall, caplog) -> None:
    release, began = asyncio.Event(), asyncio.Event()

    async def resists(ctx) -> None:
        began.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise ValueError

    worker = hall.open(a_task(resists, retries=50))
    reference = await hall.client.enqueue("resists")
    await until(began.is_set)
    assert await reference.cancel(0.05) in {CancelState.REQUESTED, CancelState.DELIVERED}
    await until(lambda: _is(hall, reference.id, "resisting"))
    assert worker.attempts
    assert said(caplog, "job.resisted")[0].reason == "cancelled"
    assert await reference.cancel(0.01) is CancelState.RESISTING
    release.set()
    assert await reference.cancel(None) is CancelState.CANCELLED
    assert await reference.status() is JobState.ARCHIVED


async def _is(hall: Any, job_id: str, state: str) -> bool:
    return await Cancels(hall.redis).state(job_id) == state


async def test_a_job_that_is_cancelled_while_its_worker_stops_is_not_handed_back(hall) -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def cleans_up(ctx) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    worker = hall.make(cleans_up, grace="0s", records=True)
    without_canceller(worker)
    ended = hall.start(worker)
    reference = await hall.client.enqueue("cleans_up")
    await until(began.is_set)
    worker.stop()
    assert await Cancels(hall.redis).ask("default", reference.id) == "requested"
    release.set()
    await ended
    assert await reference.status() is JobState.ARCHIVED
    (run,) = await hall.executions(1)
    assert (run.task, run.outcome) == ("cleans_up", "cancelled")


async def test_a_job_that_failed_before_its_worker_heard_of_the_cancelling_is_not_retried(hall) -> None:
    began, fail = asyncio.Event(), asyncio.Event()

    async def fails(ctx) -> None:
        began.set()
        await fail.wait()
        raise ValueError

    worker = without_canceller(hall.make(a_task(fails, retries=50, backoff=fixed("0s"))))
    hall.start(worker)
    reference = await hall.client.enqueue("fails")
    await until(began.is_set)
    assert await reference.cancel(0) is CancelState.REQUESTED
    fail.set()
    assert await reference.cancel(None) is CancelState.CANCELLED
    assert dict(worker.ended) == {"R": 1, "A": 1}
    assert await hall.redis.hgetall(f"{BASE}:stats") == {b"processed": b"1"}


def without_canceller(worker: Worker) -> Worker:
    """Let the worker not hear of anything before the endings tell it."""
    worker._keepers[:] = [keeper for keeper in worker._keepers if keeper.name != "Canceller"]
    return worker


# --- how the worker hears of it -------------------------------------------------------------------


async def test_a_job_that_is_cancelled_while_the_answer_of_its_claim_is_under_way_is_stopped(hall) -> None:
    sleeper = Sleeper()
    worker = hall.make(sleeper.task)
    claim, claimed, answer = worker.jobs.claim, asyncio.Event(), asyncio.Event()

    async def slowly(*args: Any, **options: Any) -> Any:
        found = await claim(*args, **options)
        if found.leases:
            claimed.set()
            await answer.wait()
        return found

    worker.jobs.claim = slowly  # type: ignore[method-assign]
    hall.start(worker)
    reference = await hall.client.enqueue("sleeps")
    await until(claimed.is_set)
    assert await reference.cancel(0) is CancelState.REQUESTED
    await until(lambda: _is_taken(hall, worker))
    answer.set()
    async with asyncio.timeout(SOON_S):
        assert await reference.cancel(None) is CancelState.CANCELLED


async def _is_taken(hall: Any, worker: Worker) -> bool:
    return not await hall.redis.exists(cancel_key(worker.id))


async def test_a_token_that_was_lost_with_its_connection_costs_no_cancelling(hall, monkeypatch) -> None:
    sleeper = Sleeper()
    worker = hall.make(sleeper.task)
    canceller = next(keeper for keeper in worker._keepers if keeper.name == "Canceller")
    brpop, lost = canceller._redis.brpop, []

    async def loses_the_answer(*args: Any, **options: Any) -> Any:
        token = await brpop(*args, **options)
        if token is not None and not lost:
            lost.append(token)
            raise GoneError
        return token

    canceller._redis.brpop = loses_the_answer
    hall.start(worker)
    reference = await hall.client.enqueue("sleeps")
    await until(sleeper.began.is_set)
    async with asyncio.timeout(SOON_S):
        assert await reference.cancel(None) is CancelState.CANCELLED
    assert lost


async def test_cancels_of_many_jobs_at_once_all_arrive(hall) -> None:
    sleeper = Sleeper()
    for _ in range(2):
        hall.open(sleeper.task, concurrency=20)
    references = [await hall.client.enqueue("sleeps") for _ in range(30)]
    await until(lambda: len(sleeper.attempts) == 30)
    found = await asyncio.gather(*(reference.cancel(10) for reference in references))
    assert set(found) == {CancelState.CANCELLED}
    assert sleeper.attempts == [1] * 30


async def test_a_job_that_nobody_cancelled_is_left_alone(hall) -> None:
    sleeper, other = Sleeper(), Sleeper(ends="done")
    _, reference = await running(hall, sleeper)
    worker = hall.open(a_task(other.sleeps, name="other"), queues={"other": 1})
    left = await hall.client.enqueue("other", _queue="other")
    await until(other.began.is_set)
    assert await reference.cancel(None) is CancelState.CANCELLED
    assert await left.status() is JobState.ACTIVE
    worker.stop()


async def test_a_function_that_snoozed_before_its_worker_heard_of_the_cancelling_does_not_come_back(hall) -> None:
    began, snooze = asyncio.Event(), asyncio.Event()

    async def snoozes(ctx) -> None:
        began.set()
        await snooze.wait()
        raise Snooze("0s")

    worker = without_canceller(hall.make(snoozes))
    hall.start(worker)
    reference = await hall.client.enqueue("snoozes")
    await until(began.is_set)
    assert await reference.cancel(0) is CancelState.REQUESTED
    snooze.set()
    assert await reference.cancel(None) is CancelState.CANCELLED
    assert dict(worker.ended) == {"S": 1, "A": 1}


async def test_a_job_that_was_to_be_given_back_before_it_began_is_recorded_with_its_task(hall) -> None:
    worker = without_canceller(hall.make(quick, records=True))
    claim = worker.jobs.claim

    async def cancelled_and_stopped_meanwhile(*args: Any, **options: Any) -> Any:
        claimed = await claim(*args, **options)
        for lease in claimed.leases:
            await Cancels(hall.redis).ask(lease.queue, lease.id)
            worker.stop()
            await until(worker._stop_requested.is_set)
        return claimed

    worker.jobs.claim = cancelled_and_stopped_meanwhile  # type: ignore[method-assign]
    reference = await hall.client.enqueue("quick")
    await hall.start(worker)
    assert await reference.status() is JobState.ARCHIVED
    (run,) = await hall.executions(1)
    assert (run.task, run.outcome) == ("quick", "cancelled")
