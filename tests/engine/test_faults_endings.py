"""Faults around endings, leases and shares: each of these once cost one of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
import redis.exceptions

from jobsd import JobState
from jobsd.delays import fixed
from jobsd.engine.leases import Jobs as HeartbeatJobs
from jobsd.engine.shares import Shares
from jobsd.errors import JobFailedError
from jobsd.store.jobs import Jobs, NewJob, Quota
from jobsd.store.keys import IN_PROGRESS
from tests.engine.hall import a_task, are_listening, until

SOON_S = 2


async def quick(ctx) -> int:
    return ctx.attempt


# --- what is said of an ending --------------------------------------------------------------------


async def test_a_small_result_of_a_job_with_large_arguments_is_kept(hall) -> None:
    async def small(ctx, text: str) -> dict[str, int]:
        return {"length": len(text)}

    hall.open(small)
    assert await hall.result(await hall.client.enqueue("small", "x" * 300_000)) == {"length": 300_000}


async def test_a_failure_over_an_odd_file_name_is_retried(hall) -> None:
    async def opens(ctx) -> int:
        if ctx.attempt == 1:
            raise FileNotFoundError("caf\udce9")
        return ctx.attempt

    hall.open(a_task(opens, backoff=fixed("0s")))
    assert await (await hall.client.enqueue("opens")).result(SOON_S) == 2


async def test_no_repr_fails_a_job_that_succeeded(hall) -> None:
    class Odd:
        def __repr__(self) -> str:
            return "\udce9"

    async def returns(ctx) -> Odd:
        return Odd()

    worker = hall.open(returns)
    await hall.client.enqueue("returns")
    await until(worker.ended.total)
    assert worker.ended["C"] == 1


async def test_a_deep_result_is_readable_or_replaced(hall) -> None:
    async def deep(ctx) -> Any:
        return json.loads("[" * 210 + "]" * 210)

    hall.open(deep)
    assert await hall.result(await hall.client.enqueue("deep"))


async def test_progress_that_cannot_be_told_does_not_fail_the_job(hall, monkeypatch) -> None:
    async def gone(*_: Any) -> None:
        raise redis.exceptions.ConnectionError

    async def tells(ctx) -> int:
        await ctx.progress(1, 2)
        return 1

    monkeypatch.setattr(Jobs, "progress", gone)
    hall.open(tells, retries=0)
    assert await hall.result(await hall.client.enqueue("tells")) == 1


async def test_the_enqueue_time_is_an_item_like_the_others(hall) -> None:
    async def looks(ctx) -> bool:
        return ctx.get("enqueue_time") is not None and "enqueue_time" in {**ctx}

    hall.open(looks)
    assert await hall.result(await hall.client.enqueue("looks"))


# --- leases and shares ----------------------------------------------------------------------------


async def test_leases_are_prolonged_while_announcements_fail(hall, monkeypatch) -> None:
    go = asyncio.Event()

    async def waits(ctx) -> None:
        await go.wait()

    async def refused(*_: Any) -> None:
        msg = "command not allowed when used memory > 'maxmemory'."
        raise redis.exceptions.OutOfMemoryError(msg)

    monkeypatch.setattr("jobsd.engine.leases._ANNOUNCE_EVERY", 2)
    worker = hall.open(waits, lease="1s")
    reference = await hall.client.enqueue("waits")
    await until(lambda: worker.attempts)
    monkeypatch.setattr(HeartbeatJobs, "announce", refused)
    extended: list[int] = []
    extend = HeartbeatJobs.extend

    async def noting(self: Any, *args: Any, **options: Any) -> Any:
        extended.append(1)
        return await extend(self, *args, **options)

    monkeypatch.setattr(HeartbeatJobs, "extend", noting)
    try:
        await until(lambda: len(extended) > 3, SOON_S)
        assert await reference.status() is JobState.ACTIVE
    finally:
        go.set()


def test_claims_that_fail_do_not_change_the_shares() -> None:
    shares = Shares({"critical": 6, "default": 3, "low": 1})
    for _ in range(50):
        plan = shares.plan(100)  # the claim failed: nothing was settled
    assert sorted(plan) == sorted([Quota("critical", 60), Quota("default", 30), Quota("low", 10)])


async def test_large_payloads_do_not_starve_another_queue(hall) -> None:
    order = []

    async def notes(ctx, text: str) -> None:
        order.append(ctx.queue)

    task = a_task(notes)
    for queue in ("high", "low"):
        large = task.opts(queue=queue)
        await hall.client.enqueue_many(large.job("x" * 200_000) for _ in range(60))
    hall.open(task, queues={"high": 6, "low": 1}, concurrency=100)
    await until(lambda: len(order) == 120)
    assert "low" in order[:60]


async def test_a_job_that_cannot_be_read_says_so_to_who_waits_for_it(hall) -> None:
    hall.open(quick)
    await Jobs(hall.redis).enqueue("client", 1, [NewJob("default", "odd", "", b"nonsense")])
    reference = hall.client.job("odd")
    await until(lambda: hall.redis.exists("jobsd:{main}:default:dead:odd"))
    with pytest.raises(JobFailedError, match="cannot be read"):
        await reference.result(0.5)


# --- still open -----------------------------------------------------------------------------------


async def test_a_worker_that_is_cancelled_twice_still_closes(hall) -> None:
    started, cancelled, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def resists(ctx) -> None:
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancelled.set()

    worker = hall.make(resists, cancel_grace="1s")
    running = hall.start(worker)
    await hall.client.enqueue("resists")
    await started.wait()
    running.cancel()
    await cancelled.wait()
    running.cancel()
    await asyncio.wait([running])
    release.set()
    beats = worker._heartbeat._thread.is_alive()
    for left in asyncio.all_tasks():
        if "Service.run" in repr(left):
            left.cancel()
    await worker._close()
    assert not beats


async def test_a_function_that_resists_does_not_busy_the_loop(hall) -> None:
    cancelled, release = [], asyncio.Event()

    async def resists(ctx) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancelled.append(ctx.attempt)

    hall.open(a_task(resists, timeout="10ms", retries=0), cancel_grace="0s")
    await hall.client.enqueue("resists")
    await until(lambda: cancelled)
    try:
        with pytest.raises(TimeoutError):
            await until(lambda: len(cancelled) > 50, 0.3)
    finally:
        release.set()


async def test_a_lost_lease_is_told_once(hall, caplog) -> None:
    release, begun = asyncio.Event(), asyncio.Event()

    async def resists(ctx) -> None:
        begun.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    worker = hall.open(resists, lease="1s", cancel_grace="1h")
    reference = await hall.client.enqueue("resists")
    await begun.wait()
    await hall.redis.set(IN_PROGRESS + reference.id, "somebody-else:1:1:1:2:3")
    lost: list[Any] = []
    told = worker._heartbeat._lost
    worker._heartbeat._lost = lambda leases: (lost.append(leases), told(leases))
    await until(lambda: len(lost) >= 3)
    release.set()
    assert len([line for line in caplog.records if line.getMessage() == "lease.lost"]) == 1


async def test_an_idle_worker_listens_again_after_its_connection_was_lost(hall) -> None:
    worker = hall.open(quick, poll="1h")
    await until(lambda: worker._waker._listening)
    once = worker._waker._listening
    await until(lambda: are_listening(hall, 1))
    await hall.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await until(once.done)
    reference = await hall.client.enqueue("quick")
    assert await reference.result(SOON_S) == 1
