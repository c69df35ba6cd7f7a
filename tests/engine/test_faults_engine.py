"""Faults at the worst moment: each of these once cost a slot, a lease or an ending."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import redis.exceptions
import structlog

from jobsd import JobState
from jobsd.delays import fixed
from jobsd.engine.leases import Jobs as HeartbeatJobs
from jobsd.engine.shares import Shares
from jobsd.errors import JobFailedError
from jobsd.store.jobs import Jobs, NewJob, Quota
from jobsd.store.keys import IN_PROGRESS
from tests.engine.hall import a_task, until

if TYPE_CHECKING:
    from jobsd.engine.attempt import Attempt
    from jobsd.engine.worker import Worker

SOON_S = 2


async def quick(ctx) -> int:
    return ctx.attempt


def attempts_of(worker: Worker) -> list[Attempt]:
    """Return a list that every attempt of the worker joins when it starts."""
    started: list[Attempt] = []
    start = worker.start

    def noting(lease: Any) -> None:
        start(lease)
        started.append(worker.attempts[lease.mark])

    worker.start = noting  # type: ignore[method-assign]
    return started


async def first_has_ended(attempts: list[Attempt]) -> None:
    await until(lambda: attempts and attempts[0].runs_in.done())
    attempts[0].runs_in.exception()  # whatever it is, it is told by what the worker does next


# --- the dispatcher sleeps for ever ---------------------------------------------------------------


async def test_a_slot_that_is_freed_while_a_wake_up_is_handed_on_is_used(hall) -> None:
    go = asyncio.Event()
    second = []

    async def waits(ctx) -> None:
        await go.wait()

    worker = hall.make(waits, quick, concurrency=1, poll="1h")
    claim, hand_on = worker.jobs.claim, worker.jobs.hand_on

    async def claim_while_a_token_comes(*args: Any, **kwargs: Any) -> Any:
        claimed = await claim(*args, **kwargs)
        if claimed.leases and not second:
            second.append(await hall.client.enqueue("quick"))
            await until(lambda: worker._waker._base)
        return claimed

    async def hand_on_while_the_job_ends(*args: Any) -> None:
        go.set()
        await until(lambda: not worker.attempts)
        await hand_on(*args)

    worker.jobs.claim, worker.jobs.hand_on = claim_while_a_token_comes, hand_on_while_the_job_ends
    hall.start(worker)
    await hall.client.enqueue("waits", _delay="50ms")  # its due time ends the sleep, while the waker still listens
    await until(lambda: second)
    assert await second[0].result(SOON_S) == 1


async def test_work_goes_on_after_endings_could_not_be_written_for_a_while(hall) -> None:
    worker = hall.make(quick, concurrency=1)
    finish = worker.jobs.finish
    away = True

    async def finish_unless_away(*args: Any, **kwargs: Any) -> Any:
        if away:
            raise redis.exceptions.ConnectionError
        return await finish(*args, **kwargs)

    worker.jobs.finish = finish_unless_away
    hall.start(worker)
    task = a_task(quick)
    await hall.client.enqueue_many(task.job() for _ in range(510))
    await until(lambda: worker.free_slots <= 0 and not worker.attempts)
    away = False
    await until(lambda: worker.finisher.backlog == 0)
    await until(lambda: worker.ended["C"] == 510, SOON_S)


async def test_an_idle_worker_listens_for_as_long_as_it_sleeps(hall, monkeypatch) -> None:
    monkeypatch.setattr("jobsd.engine.waker._BLOCK_S", 0.1)
    worker = hall.open(quick, poll="1h")
    await until(lambda: worker._waker._listening)
    once = worker._waker._listening
    await until(once.done)
    reference = await hall.client.enqueue("quick")
    assert await reference.result(SOON_S) == 1


async def test_a_full_worker_does_not_keep_a_wake_up_from_an_idle_one(hall) -> None:
    go = asyncio.Event()

    async def waits(ctx) -> None:
        await go.wait()

    full = hall.open(waits, quick, concurrency=1, poll="1h")
    await until(lambda: _blocked(hall, 1))
    payload = b'{"i":"0123456789ab","t":null,"f":"waits","a":[],"k":{},"et":1}'
    await hall.redis.mset({"arq:job:by-hand": payload})
    await hall.redis.zadd("jobsd:{main}:default", {"by-hand": 1})  # wakes nobody: the worker takes it, and listens on
    full.look()
    await until(lambda: full.attempts)
    idle = hall.open(waits, quick, concurrency=1, poll="1h")
    await until(lambda: idle._waker._listening)
    await until(lambda: _blocked(hall, 1))  # the full one has handed on what it heard, and listens no more
    reference = await hall.client.enqueue("quick")
    try:
        assert await reference.result(SOON_S) == 1
    finally:
        go.set()


async def _blocked(hall, count: int) -> bool:
    return (await hall.redis.info("clients"))["blocked_clients"] == count


# --- an attempt that never ends -------------------------------------------------------------------


async def test_an_exception_whose_text_cannot_be_made_is_a_failure_like_any_other(hall) -> None:
    class SpeechlessError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    async def fails(ctx) -> None:
        raise SpeechlessError

    worker = hall.make(fails, retries=0)
    attempts = attempts_of(worker)
    hall.start(worker)
    await hall.client.enqueue("fails")
    await first_has_ended(attempts)
    assert not worker.attempts
    assert worker.ended["A"] == 1


@pytest.mark.parametrize(
    "wrong", ['"o":[1]', '"o":{"b":[1]}', '"o":{"t":"soon"}', '"o":{"r":"often"}', '"et":1e999'], ids=str
)
async def test_a_payload_with_a_wrong_field_is_archived(hall, wrong: str) -> None:
    async def fails(ctx) -> None:
        raise ValueError

    worker = hall.make(fails)
    attempts = attempts_of(worker)
    hall.start(worker)
    payload = f'{{"i":"0123456789ab","t":null,"f":"fails","a":[],"k":{{}},"et":1,{wrong}}}'
    await Jobs(hall.redis).enqueue("client", 1, [NewJob("default", "odd", "", payload.encode())])
    await first_has_ended(attempts)
    assert not worker.attempts
    await until(lambda: hall.redis.exists("jobsd:{main}:default:dead:odd"))


@pytest.mark.parametrize(("member", "score"), [(b"\xff\xfe", 1), ("id", "-inf")], ids=["id", "score"])
async def test_an_unreadable_member_does_not_stop_the_others(hall, member: Any, score: Any) -> None:
    await hall.redis.zadd("jobsd:{main}:default", {member: score})
    hall.open(quick)
    reference = await hall.client.enqueue("quick")
    assert await reference.result(SOON_S) == 1


async def test_context_variables_of_a_task_do_not_disturb_the_engine(hall) -> None:
    async def binds(ctx) -> None:
        structlog.contextvars.bind_contextvars(name="Bob")
        raise ValueError

    worker = hall.make(binds, quick, concurrency=1, retries=0)
    attempts = attempts_of(worker)
    hall.start(worker)
    await hall.client.enqueue("binds")
    await first_has_ended(attempts)
    assert worker.ended["A"] == 1
    reference = await hall.client.enqueue("quick")
    assert await reference.result(SOON_S) == 1


@pytest.mark.parametrize("fact", ["name", "module", "args", "message", "process", "filename"])
async def test_a_task_may_log_any_fact(hall, fact: str) -> None:
    async def logs(ctx) -> int:
        ctx.log.warning("user.made", **{fact: "Bob"})
        return 1

    hall.open(logs, retries=0)
    assert await hall.result(await hall.client.enqueue("logs")) == 1


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
    await until(lambda: _blocked(hall, 1))
    await hall.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await until(once.done)
    reference = await hall.client.enqueue("quick")
    assert await reference.result(SOON_S) == 1
