"""Faults at the worst moment: each of these once cost a slot, a lease or an ending."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis.exceptions
import structlog

from jobsd.store.jobs import Jobs, NewJob
from tests.engine.hall import a_task, are_listening, until

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
    await until(lambda: are_listening(hall, 1))
    payload = b'{"i":"0123456789ab","t":null,"f":"waits","a":[],"k":{},"et":1}'
    await hall.redis.mset({"arq:job:by-hand": payload})
    await hall.redis.zadd("jobsd:{main}:default", {"by-hand": 1})  # wakes nobody: the worker takes it, and listens on
    full.look()
    await until(lambda: full.attempts)
    idle = hall.open(waits, quick, concurrency=1, poll="1h")
    await until(lambda: idle._waker._listening)
    await until(lambda: are_listening(hall, 1))  # the full one has handed on what it heard, and listens no more
    reference = await hall.client.enqueue("quick")
    try:
        assert await reference.result(SOON_S) == 1
    finally:
        go.set()


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
