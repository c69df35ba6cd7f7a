"""``capture``: every enqueue of the process, and nothing of it stored."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import jobsd.ambient
import jobsd.client
from jobsd import (
    CancelState,
    Client,
    Context,
    JobState,
    aggregate,
    around_enqueue,
    enqueue,
    enqueue_many,
    exponential,
    task,
)
from jobsd.errors import (
    InvalidArgumentsError,
    InvalidOptionError,
    JobCancelledError,
    JobFailedError,
    NotConfiguredError,
    NotRunError,
    PayloadTooLargeError,
    UnserializableError,
)
from jobsd.hooks import enqueue_hooks
from jobsd.testing import capture

NOBODY = "redis://nobody.invalid:1"


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("JOBSD_REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JOBSD_STATE", str(tmp_path / "none"))


@task("captured:send", timeout="30s")
async def send(ctx: Context, to: str, subject: str = "Hello") -> tuple[str, str]:
    return to, subject


@task("captured:remind")
async def remind(ctx: Context, at: datetime) -> None: ...


@task("captured:chain")
async def chain(ctx: Context, left: int) -> int:
    if left:
        await ctx.enqueue(chain, left - 1)
    return left


@task("captured:fail")
async def fail(ctx: Context) -> None:
    raise ValueError("no such order")


async def test_a_bare_enqueue_is_captured_without_a_server() -> None:
    with capture() as jobs:
        reference = await enqueue(send, "ann", subject="Hi")
    assert jobs == [send.job("ann", "Hi")]
    (job,) = jobs
    assert (job.task, job.queue, job.id) == ("captured:send", "default", reference.id)
    assert job.arguments == {"to": "ann", "subject": "Hi"}


async def test_afterwards_all_is_as_before() -> None:
    with capture() as jobs:
        await enqueue(send, "ann")
    with pytest.raises(NotConfiguredError):
        await enqueue(send, "bob")
    assert len(jobs) == 1
    assert (jobsd.client.captor, jobsd.ambient.captive) == (None, None)


async def test_the_switched_off_queue_is_captured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_ENABLE", "false")
    with capture() as jobs:
        await enqueue(send, "ann")
    assert len(jobs) == 1


async def test_every_way_to_enqueue_is_captured_in_order() -> None:
    async with Client(NOBODY) as client:
        with capture() as jobs:
            await enqueue(send, "a")
            await client.enqueue(send.opts(queue="low"), "b")
            references = await client.enqueue_many(send.job(name) for name in "cd")
            await enqueue_many([send.job("e")])
            await client.enqueue("captured:send", to="f", _delay="5m")
    assert [job.arguments["to"] for job in jobs] == ["a", "b", "c", "d", "e", "f"]
    assert [reference.id for reference in references] == [job.id for job in jobs[2:4]]
    assert jobs == [
        send.job("a"),
        send.opts(queue="low").job("b"),
        *(send.job(name) for name in "cde"),
        send.opts(delay="5m").job("f"),
    ]


async def test_a_client_of_another_loop_is_captured_all_the_same() -> None:
    client = Client(NOBODY)
    with capture() as jobs:
        await client.enqueue(send, "a")
        await asyncio.to_thread(lambda: asyncio.run(client.enqueue_many([send.job("b")])))
    assert len(jobs) == 2
    await client.close()


async def test_other_threads_are_captured() -> None:
    with capture() as jobs:
        thread = threading.Thread(target=lambda: asyncio.run(_two()))
        thread.start()
        await asyncio.to_thread(thread.join)
    assert jobs == [send.job("a"), send.job("b")]


async def _two() -> None:
    await enqueue(send, "a")
    await enqueue(send, "b")


async def test_of_nested_captures_the_inner_one_has_the_jobs() -> None:
    with capture() as outer:
        await enqueue(send, "a")
        with capture() as inner:
            await enqueue(send, "b")
        await enqueue(send, "c")
    assert inner == [send.job("b")]
    assert outer == [send.job("a"), send.job("c")]


async def test_what_the_client_refuses_is_refused() -> None:
    with capture() as jobs:
        with pytest.raises(InvalidArgumentsError, match="to is missing"):
            await enqueue(send)  # type: ignore[call-arg]
        with pytest.raises(UnserializableError, match="has no JSON form"):
            await enqueue("captured:send", object())
        with pytest.raises(InvalidOptionError, match="option 'queue' is 'a b'"):
            await enqueue("captured:send", "a", _queue="a b")
        with pytest.raises(PayloadTooLargeError, match="the limit is 100 "):
            await Client(NOBODY, payload_limit_bytes=100).enqueue(send, "a" * 100)
    assert jobs == []


async def test_calls_are_the_same_however_they_were_written() -> None:
    with capture() as jobs:
        at = datetime(2030, 1, 1, tzinfo=UTC)
        await enqueue("captured:send", "ann", subject="Hi")
        await enqueue("captured:remind", at.isoformat().replace("+00:00", "Z"))
        await enqueue(send.opts(delay=timedelta(minutes=5), queue="default"), to="ann")
    assert jobs[0] == send.job(subject="Hi", to="ann")
    assert send.job("ann", "Hi") == jobs[0]
    assert jobs[1] == remind.job(at)
    assert jobs[2] == send.opts(delay="300s").job("ann")


@pytest.mark.parametrize(
    "other",
    [
        send.job("bob"),
        send.job("ann", "Hello"),
        send.opts(queue="low").job("ann"),
        send.opts(delay="5m").job("ann"),
        send.opts(retries=0).job("ann"),
        send.opts(backoff=exponential("1s")).job("ann"),
        chain.job(1),
        "captured:send",
    ],
)
async def test_other_calls_are_not(other: Any) -> None:
    with capture() as jobs:
        await enqueue(send, "ann")
    assert jobs[0] != other


async def test_jobs_of_a_task_are_found() -> None:
    with capture() as jobs:
        await enqueue(send, "ann")
        await enqueue(chain, 1)
        await enqueue(send, "bob")
    assert [job.arguments["to"] for job in jobs.of(send)] == ["ann", "bob"]
    assert jobs.of("captured:chain") == [chain.job(1)]
    assert jobs.only(chain).arguments == {"left": 1}
    assert jobs.of(remind) == []


async def test_not_the_only_one_is_said_with_all_that_there_is() -> None:
    with capture() as jobs:
        with pytest.raises(AssertionError, match="captured:send was not enqueued; nothing was captured"):
            jobs.only(send)
        await enqueue(send.opts(queue="low", delay="5m"), "ann")
        await enqueue(send, "bob", "Hi")
        with pytest.raises(AssertionError) as raised:
            jobs.only(send)
    assert str(raised.value).splitlines() == [
        "captured:send was enqueued 2 times; captured were:",
        "  <captured:send(to='ann', queue 'low', delay '5m')>",
        "  <captured:send(to='bob', subject='Hi')>",
    ]


async def test_a_reference_says_that_nothing_runs_the_job() -> None:
    with capture():
        reference = await enqueue(send, "ann")
        later = await enqueue(send.opts(delay="5m"), "ann")
        assert (await reference.status(), await later.status()) == (JobState.PENDING, JobState.SCHEDULED)
        assert await reference.progress() is None
        text = f"job {reference.id} of 'captured:send' was captured, and nothing runs it but the capture's run()"
        with pytest.raises(NotRunError) as raised:
            await reference.result(timeout=5)
    assert str(raised.value) == text


async def test_the_jobs_run_in_place_and_the_references_tell() -> None:
    with capture() as jobs:
        sent = await enqueue(send, "ann")
        failed = await enqueue(fail)
        after = await enqueue(send, "bob")
        with pytest.raises(ValueError, match="no such order"):
            await jobs.run()
        assert (await sent.status(), await after.status()) == (JobState.COMPLETED, JobState.PENDING)
        assert await sent.result() == ["ann", "Hello"]  # as it comes from Redis
        assert await failed.status() == JobState.ARCHIVED
        with pytest.raises(JobFailedError, match="no such order") as raised:
            await failed.result()
        assert raised.value.error_type == "ValueError"
        await jobs.run()
    assert await after.result() == ["bob", "Hello"]


async def test_what_they_enqueue_runs_too() -> None:
    with capture() as jobs:
        await enqueue(chain, 3)
        await jobs.run()
    assert [job.result for job in jobs] == [3, 2, 1, 0]


async def test_they_run_behind_the_capture_as_well() -> None:
    with capture() as jobs:
        await enqueue(chain, 1)
    await jobs.run()
    assert jobs == [chain.job(1), chain.job(0)]


async def test_a_task_that_goes_on_for_ever_is_stopped() -> None:
    with capture() as jobs:
        await enqueue(chain, 1_000_000)
        with pytest.raises(AssertionError, match="20 jobs have run, and there are more: does captured:chain enqueue"):
            await jobs.run(at_most=20)


async def test_a_cancelled_job_does_not_run() -> None:
    with capture() as jobs:
        reference = await enqueue(fail)
        assert await reference.cancel() is CancelState.CANCELLED
        await jobs.run()
        assert await reference.status() == JobState.ARCHIVED
        assert await reference.cancel() is CancelState.ENDED
    with pytest.raises(JobCancelledError):
        await reference.result()


async def test_an_id_that_was_used_is_a_duplicate() -> None:
    with capture() as jobs:
        first = await enqueue(send.opts(id="welcome-1"), "ann")
        again = await enqueue(send.opts(id="welcome-1"), "ann")
    assert (first.duplicate, again.duplicate, again.id) == (False, True, "welcome-1")
    assert len(jobs) == 1


@task("captured:index", aggregate=aggregate(grace="1s"))
async def index(ctx: Context, pages: list[int]) -> None: ...


async def test_jobs_with_limits_are_captured_one_a_call() -> None:
    with capture() as jobs:
        for pages in ([1], [2]):
            await enqueue(index, pages)
        await enqueue(send.opts(unique_for="1h", limit_key="ann"), "ann")
    assert [job.arguments for job in jobs.of(index)] == [{"pages": [1]}, {"pages": [2]}]
    assert jobs[-1] == send.opts(unique_for="60m", limit_key="ann").job("ann")


async def test_what_comes_through_the_hooks_is_what_is_captured() -> None:
    before = dict(enqueue_hooks)

    @around_enqueue
    async def tenant(request: Any, call_next: Any) -> Any:
        if request.args == ("nobody",):
            raise ValueError("nobody is no tenant")
        return await call_next(request.with_headers({"tenant": request.args[0]}))

    try:
        with capture() as jobs:
            await enqueue(send, "ann")
            await enqueue_many(send.job(name) for name in ("bob", "eve"))
            with pytest.raises(ValueError, match="nobody is no tenant"):
                await enqueue(send, "nobody")
    finally:
        enqueue_hooks.clear()
        enqueue_hooks.update(before)
    assert [job.headers for job in jobs] == [{"tenant": "ann"}, {"tenant": "bob"}, {"tenant": "eve"}]
    assert jobs == [send.job("ann"), send.job("bob"), send.job("eve")]
    assert b'"h":{"tenant":"ann"}' in jobs[0].payload


async def test_what_was_on_its_way_before_goes_on(redis_url: str) -> None:
    async with Client(redis_url) as client:
        with contextlib.ExitStack() as stack:

            async def under_way() -> Any:
                yield send.job("ann")
                yield stack.enter_context(capture()) or send.job("bob")

            first, second = await client.enqueue_many(under_way())
        assert (await first.status(), await second.status()) == (JobState.PENDING, JobState.PENDING)


async def test_two_captures_in_two_tasks_end_in_any_order() -> None:
    first, second = capture(), capture()
    one, two = first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    await enqueue(send, "ann")
    second.__exit__(None, None, None)
    assert (len(one), len(two)) == (0, 1)
    with pytest.raises(NotConfiguredError):
        await enqueue(send, "ann")
