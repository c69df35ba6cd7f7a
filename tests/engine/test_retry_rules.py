"""Which errors are retried, and until when."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobsd import JobState, fixed, task
from jobsd.definition import registry
from jobsd.delays import DEFAULT
from jobsd.engine.decide import Policy, decide
from jobsd.errors import InvalidOptionError, JobFailedError, TaskDefinitionError
from jobsd.outcome import Archive, Expired, Failed, RetryAt, TimedOut
from tests.engine.hall import a_task, until

AT_ONCE = fixed("0s")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch) -> None:
    monkeypatch.setattr("jobsd.definition.registry", dict(registry))


def from_now(**duration: float) -> datetime:
    return datetime.now(UTC) + timedelta(**duration)


async def fails(ctx, kind: str = "ValueError") -> int:
    if ctx.attempt == 1:
        raise {"ValueError": ValueError, "KeyError": KeyError, "UnicodeError": UnicodeError}[kind]("no")
    return ctx.attempt


async def test_only_the_errors_of_retry_on_are_retried(hall) -> None:
    hall.open(a_task(fails, backoff=AT_ONCE, retry_on=(ValueError,)))
    assert await hall.result(await hall.client.enqueue("fails", "ValueError")) == 2
    assert await hall.result(await hall.client.enqueue("fails", "UnicodeError")) == 2, "a ValueError too"
    with pytest.raises(JobFailedError):
        await hall.result(await hall.client.enqueue("fails", "KeyError"))


async def test_the_errors_of_no_retry_on_are_archived_at_once(hall) -> None:
    worker = hall.open(a_task(fails, backoff=AT_ONCE, no_retry_on=(KeyError,)))
    assert await hall.result(await hall.client.enqueue("fails", "ValueError")) == 2
    with pytest.raises(JobFailedError):
        await hall.result(await hall.client.enqueue("fails", "KeyError"))
    assert worker.ended["A"] == 1


async def test_a_timeout_is_an_error_like_others_to_these_rules(hall) -> None:
    async def sleeps(ctx) -> None:
        await asyncio.sleep(3600)

    worker = hall.open(a_task(sleeps, timeout="10ms", backoff=AT_ONCE, no_retry_on=(TimeoutError,)))
    with pytest.raises(JobFailedError, match="timed out"):
        await hall.result(await hall.client.enqueue("sleeps"))
    assert worker.ended == {"A": 1}


async def test_an_error_that_is_no_failure_uses_up_no_retry(hall) -> None:
    async def waits_for_stock(ctx) -> int:
        if ctx.attempt < 4:
            raise LookupError
        return ctx.attempt

    def is_failure(error: BaseException) -> bool:
        return not isinstance(error, LookupError)

    hall.open(a_task(waits_for_stock, backoff=AT_ONCE, retries=0, is_failure=is_failure))
    assert await hall.result(await hall.client.enqueue("waits_for_stock")) == 4


async def test_an_is_failure_that_fails_leaves_it_a_failure(hall) -> None:
    hall.open(a_task(fails, retries=0, is_failure=lambda error: error.no_such_thing))
    with pytest.raises(JobFailedError):
        await hall.result(await hall.client.enqueue("fails"))


async def test_a_backoff_may_be_a_function_of_the_failures(hall) -> None:
    asked = []

    def curve(failures: int) -> str:
        asked.append(failures)
        return "1ms"

    @task("curved", retries=2, backoff=curve)
    async def curved(ctx) -> None:
        raise ValueError

    hall.open(curved)
    with pytest.raises(JobFailedError):
        await hall.result(await hall.client.enqueue(curved))
    assert asked == [1, 2]


async def test_no_attempt_runs_past_the_deadline_and_none_begins_after_it(hall) -> None:
    begun = []

    async def sleeps(ctx) -> None:
        begun.append(ctx.attempt)
        await asyncio.sleep(3600)

    hall.open(a_task(sleeps, backoff=AT_ONCE))
    with pytest.raises(JobFailedError, match="its deadline leaves no time"):
        await hall.result(await hall.client.enqueue("sleeps", _deadline=from_now(milliseconds=100)))
    assert begun == [1]


async def test_a_job_that_starts_too_late_expires_and_does_not_run(hall) -> None:
    begun = []

    async def runs(ctx) -> None:
        begun.append(ctx.job_id)

    late = await hall.client.enqueue("runs", _start_by=from_now(seconds=-5))
    over = await hall.client.enqueue("runs", _deadline=from_now(seconds=-5))
    in_time = await hall.client.enqueue("runs", _start_by=from_now(hours=1), _deadline=from_now(hours=2))
    hall.open(runs, records=True)
    await hall.result(in_time)
    for reference in (late, over):
        with pytest.raises(JobFailedError, match="expired"):
            await hall.result(reference)
        assert await reference.status() is JobState.ARCHIVED
    assert begun == [in_time.id]
    outcomes = {run.job_id: run.outcome for run in await hall.executions(3)}
    assert outcomes == {late.id: "expired", over.id: "expired", in_time.id: "succeeded"}


async def test_a_retry_may_start_after_start_by(hall) -> None:
    hall.open(a_task(fails, backoff=fixed("300ms")))
    assert await hall.result(await hall.client.enqueue("fails", _start_by=from_now(milliseconds=250))) == 2


@pytest.mark.parametrize("option", ["_deadline", "_start_by", "_at"])
async def test_an_instant_without_a_zone_is_refused(hall, option: str) -> None:
    with pytest.raises(InvalidOptionError, match="with a time zone"):
        await hall.client.enqueue("any", **{option: datetime(2030, 1, 1)})  # noqa: DTZ001 - that is the point


def test_what_is_no_error_class_is_refused_at_the_definition() -> None:
    with pytest.raises(TaskDefinitionError, match="retry_on takes classes of errors"):
        task("odd", retry_on=["ValueError"])(fails)  # type: ignore[list-item]


def test_a_retry_that_would_come_at_the_deadline_is_no_retry() -> None:
    policy = Policy(failures=0, retries=5, backoff=fixed("10s"), deadline=20_000)
    assert decide(policy, Failed("E", "no"), now=9_999) == RetryAt(19_999)
    assert isinstance(decide(policy, Failed("E", "no"), now=10_000), Archive)


def test_what_expired_or_may_not_be_retried_is_archived() -> None:
    policy = Policy(failures=0, retries=5, backoff=DEFAULT)
    assert decide(policy, Expired("late"), now=0) == Archive("late")
    assert isinstance(decide(policy, TimedOut(1000, for_good=True), now=0), Archive)


async def test_a_paused_queue_hands_out_nothing_until_it_is_resumed(hall) -> None:
    async def quick(ctx) -> int:
        return 1

    await hall.client._sending.jobs.pause("default", paused=True)
    worker = hall.open(quick, poll="1h")
    reference = await hall.client.enqueue("quick")
    await until(lambda: worker.dispatcher.idle)
    assert await reference.status() is JobState.PENDING
    await hall.client._sending.jobs.pause("default", paused=False)
    assert await hall.result(reference) == 1


async def test_a_held_worker_takes_nothing_until_it_is_resumed(hall) -> None:
    async def quick(ctx) -> int:
        return 1

    held, other = hall.make(quick, poll="1h"), hall.make(quick, poll="1h")
    held.hold()
    hall.start(held)
    reference = await hall.client.enqueue("quick")
    hall.start(other)
    assert await hall.result(reference) == 1
    await hall.stop(other)
    reference = await hall.client.enqueue("quick")
    held.resume()
    assert await hall.result(reference) == 1


async def test_strict_serves_lower_queues_only_when_higher_ones_are_empty(hall) -> None:
    order: list[Any] = []

    async def notes(ctx) -> None:
        order.append(ctx.queue)

    for queue in ("low", "high", "none"):
        await hall.client.enqueue_many(a_task(notes).opts(queue=queue).job() for _ in range(30))
    hall.open(notes, queues={"none": 0, "low": 1, "high": 6}, concurrency=7, strict=True)
    await until(lambda: len(order) == 90)
    assert order == ["high"] * 30 + ["low"] * 30 + ["none"] * 30
