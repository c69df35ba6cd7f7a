"""Faults while a worker stops: each of these once cost a slot, a lease or an ending."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from jobsd import JobState
from tests.engine.hall import a_task, until

# --- shutdown -------------------------------------------------------------------------------------


async def test_a_claim_that_is_answered_during_the_stop_is_not_run_twice_or_at_all(hall) -> None:
    started = []

    async def runs(ctx) -> None:
        started.append(ctx.token)
        await asyncio.sleep(3600)

    worker = hall.make(runs, grace="10ms")
    claim, finish = worker.jobs.claim, worker.jobs.finish
    leased, answered = asyncio.Event(), asyncio.Event()

    async def answered_late(*args: Any, **kwargs: Any) -> Any:
        claimed = await claim(*args, **kwargs)
        if claimed.leases and not leased.is_set():
            leased.set()
            with contextlib.suppress(TimeoutError):
                await until(lambda: worker.ended["Q"], 0.2)  # nobody need ask a second time
            answered.set()
        return claimed

    async def finish_after_the_answer(*args: Any, **kwargs: Any) -> Any:
        await answered.wait()
        return await finish(*args, **kwargs)

    worker.jobs.claim, worker.jobs.finish = answered_late, finish_after_the_answer
    running = hall.start(worker)
    await hall.client.enqueue("runs")
    await leased.wait()
    worker.stop()
    async with asyncio.timeout(20):
        await running
    assert started == []


async def test_a_job_claimed_during_the_drain_does_not_outlive_the_worker(hall) -> None:
    begun, ended = [], []
    cancelled, release = asyncio.Event(), asyncio.Event()

    async def runs(ctx) -> None:
        begun.append(ctx.token)
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(ctx.token)

    async def resists(ctx) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancelled.set()

    worker = hall.make(runs, resists, grace="10ms", cancel_grace="200ms")
    claim, leased = worker.jobs.claim, asyncio.Event()

    async def answered_late(*args: Any, **kwargs: Any) -> Any:
        claimed = await claim(*args, **kwargs)
        if any(b'"runs"' in lease.payload for lease in claimed.leases):
            leased.set()
            await cancelled.wait()
        return claimed

    worker.jobs.claim = answered_late
    running = hall.start(worker)
    await hall.client.enqueue("resists")
    await until(lambda: worker.attempts)
    reference = await hall.client.enqueue("runs")
    try:
        async with asyncio.timeout(20):
            await leased.wait()
            worker.stop()
            await running
    finally:
        release.set()
    assert begun == ended
    assert await reference.status() is JobState.PENDING


async def test_a_worker_that_is_cancelled_takes_its_functions_with_it(hall) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def runs(ctx) -> None:
        started.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    running = hall.start(hall.make(runs))
    reference = await hall.client.enqueue("runs")
    await started.wait()
    running.cancel()
    await asyncio.wait([running])
    assert ended.is_set()
    assert await reference.status() is JobState.PENDING


async def test_a_timed_out_function_that_resists_until_the_stop_has_timed_out(hall) -> None:
    release, cancelled = asyncio.Event(), asyncio.Event()

    async def resists(ctx) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancelled.set()

    worker = hall.open(a_task(resists, timeout="10ms"), grace="10ms", records=True)
    await hall.client.enqueue("resists")
    await cancelled.wait()
    await hall.stop(worker)
    release.set()
    (run,) = await hall.executions(1)
    assert run.outcome == "timed_out"
