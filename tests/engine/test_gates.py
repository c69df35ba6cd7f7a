"""Limits that a worker sees to by itself: how many of a queue run in its process, and in which hours they start."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import JobState
from jobsd.hours import Hours
from jobsd.store.jobs import Jobs
from tests.engine.hall import BASE, are_listening, said, until

if TYPE_CHECKING:
    from jobsd.engine.worker import Worker

SOON_S = 3.0  # sooner than the call ends with which an idle worker listens
OTHER = {"_queue": "other"}


class Doors:
    """A task whose runs wait until the test lets them out, one at a time."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.seen: list[str] = []
        self.most = 0
        self._out = asyncio.Semaphore(0)

    async def passes(self, ctx: Any) -> str:
        self.inside.append(ctx.job_id)
        self.seen.append(ctx.job_id)
        self.most = max(self.most, len(self.inside))
        try:
            await self._out.acquire()
        finally:
            self.inside.remove(ctx.job_id)
        return ctx.job_id

    def let_out(self, count: int = 1) -> None:
        for _ in range(count):
            self._out.release()


async def quick(ctx) -> int:
    return ctx.attempt


@pytest.fixture
def doors() -> Doors:
    return Doors()


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers look often for limits that were set while they run."""
    monkeypatch.setattr("jobsd.engine.gates._LOOK_EVERY_S", 0.02)


def count_claims(worker: Worker) -> list[int]:
    claim, claims = worker.jobs.claim, []

    async def counted(*args: Any, **options: Any) -> Any:
        claims.append(1)
        return await claim(*args, **options)

    worker.jobs.claim = counted  # type: ignore[method-assign]
    return claims


# --- how many in one process ----------------------------------------------------------------------


async def test_of_a_queue_no_more_run_in_one_process_than_it_says_and_each_end_lets_the_next_begin(hall, doors) -> None:
    hall.open(doors.passes, queues={"default": {"concurrency": 2}}, poll="1h")
    references = [await hall.client.enqueue("passes") for _ in range(6)]
    for left in range(6, 2, -1):
        await until(lambda left=left: len(doors.inside) == 2 and len(doors.seen) == 8 - left)
        doors.let_out()
    doors.let_out(2)
    assert sorted([await hall.result(reference) for reference in references]) == sorted(r.id for r in references)
    assert doors.most == 2


async def test_a_queue_that_is_full_here_holds_up_no_other(hall, doors) -> None:
    hall.open(doors.passes, quick, queues={"default": {"concurrency": 1, "weight": 9}, "other": 1}, poll="1h")
    first, second = [await hall.client.enqueue("passes") for _ in range(2)]
    await until(lambda: doors.inside == [first.id])
    for _ in range(20):
        assert await hall.result(await hall.client.enqueue("quick", **OTHER)) == 1
    assert doors.inside == [first.id]
    assert await second.status() is JobState.PENDING
    doors.let_out(2)
    await hall.result(second)


async def test_what_is_too_much_for_one_process_is_given_to_another(hall, doors) -> None:
    workers = [hall.open(doors.passes, queues={"default": {"concurrency": 1}}, poll="1h") for _ in range(2)]
    await until(lambda: are_listening(hall, 2))
    references = [await hall.client.enqueue("passes") for _ in range(3)]
    await until(lambda: len(doors.inside) == 2)
    assert [len(worker.attempts) for worker in workers] == [1, 1]
    doors.let_out(3)
    for reference in references:
        await hall.result(reference)
    assert doors.most == 2


async def test_a_worker_whose_queue_is_full_sleeps_and_leaves_the_wake_up_to_others(hall, doors) -> None:
    worker = hall.make(doors.passes, quick, queues={"default": {"concurrency": 1}, "other": 1}, poll="1h")
    claims = count_claims(worker)
    hall.start(worker)
    references = [await hall.client.enqueue("passes") for _ in range(3)]
    await until(lambda: doors.inside)
    await until(lambda: hall.redis.llen(f"{BASE}:wake"))
    before = len(claims)
    for _ in range(10):
        await hall.result(await hall.client.enqueue("quick", **OTHER))
    assert len(claims) - before <= 2 * 10 + 2
    assert await hall.redis.llen(f"{BASE}:wake") == 1
    doors.let_out(3)
    for reference in references:
        await hall.result(reference)


async def test_a_queue_that_was_full_is_heard_again_at_once(hall, doors) -> None:
    hall.open(doors.passes, quick, queues={"default": {"concurrency": 1}, "other": 1}, poll="1h")
    first = await hall.client.enqueue("passes")
    await until(lambda: doors.inside)
    await hall.result(await hall.client.enqueue("quick", **OTHER))  # what it listens to now is without the full queue
    await until(lambda: are_listening(hall, 1))
    doors.let_out()
    await hall.result(first)
    await until(lambda: are_listening(hall, 1))
    async with asyncio.timeout(SOON_S):
        assert await hall.result(await hall.client.enqueue("quick")) == 1


@pytest.mark.usefixtures("attentive")
async def test_a_limit_that_is_set_while_jobs_run_counts_those(hall, doors) -> None:
    worker = hall.open(doors.passes, poll="1h")
    references = [await hall.client.enqueue("passes") for _ in range(3)]
    await until(lambda: len(doors.inside) == 3)
    await Jobs(hall.redis).limit("default", "set", "*:*:*:*:*:*|2|*")
    await until(lambda: worker._gates.limited)
    references += [await hall.client.enqueue("passes") for _ in range(2)]
    doors.let_out(1)
    await until(lambda: len(doors.inside) == 2)
    await until(lambda: are_listening(hall, 1))
    assert len(doors.inside) == 2, "there is no room yet"
    doors.let_out(1)
    await until(lambda: len(doors.inside) == 2 and references[3].id in doors.inside)
    await Jobs(hall.redis).limit("default", "reset")
    await until(lambda: not worker._gates.limited)
    await until(lambda: len(doors.inside) == 3)
    doors.let_out(3)
    for reference in references:
        await hall.result(reference)


@pytest.mark.usefixtures("attentive")
async def test_limits_that_nobody_can_read_are_said_and_do_not_hold(hall, caplog) -> None:
    hall.open(quick)
    await hall.result(await hall.client.enqueue("quick"))
    await hall.redis.hset("jobsd:{main}::state", f"limits:{BASE}", ":::::||at night")
    await until(lambda: said(caplog, "limits.unreadable"))
    (line,) = said(caplog, "limits.unreadable")
    assert (line.queue, line.limits) == ("default", ":::::||at night")
    assert await hall.result(await hall.client.enqueue("quick")) == 1


# --- hours ----------------------------------------------------------------------------------------


class Clock:
    """Hours that begin in so many ms from the first look at them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, in_ms: int, for_ms: int = 3_600_000) -> None:
        self.opens = int(time.time() * 1000) + in_ms
        monkeypatch.setattr(Hours, "interval", lambda _hours, _now: (self.opens, self.opens + for_ms))


NIGHT = {"default": {"hours": "22:00-06:00"}, "other": 1}


async def test_jobs_of_a_queue_start_when_its_hours_begin_without_any_poll(hall, monkeypatch) -> None:
    clock = Clock(monkeypatch, in_ms=600)
    worker = hall.make(quick, queues=NIGHT, poll="1h", records=True)
    claims = count_claims(worker)
    hall.start(worker)
    reference = await hall.client.enqueue("quick")
    assert await hall.result(await hall.client.enqueue("quick", **OTHER)) == 1, "other queues do not wait"
    assert await reference.status() is JobState.PENDING
    assert await hall.result(reference) == 1
    _, run = await hall.executions(2)
    assert 0 <= run.started_at - clock.opens < 1000
    assert len(claims) < 12


async def test_between_its_hours_a_queue_hands_out_nothing(hall, monkeypatch) -> None:
    Clock(monkeypatch, in_ms=-3_600_000)  # they are just over
    hall.open(quick, queues=NIGHT)
    reference = await hall.client.enqueue("quick")
    for _ in range(5):
        await hall.result(await hall.client.enqueue("quick", **OTHER))
    assert await reference.status() is JobState.PENDING


async def test_within_its_hours_a_queue_is_like_any_other(hall, monkeypatch) -> None:
    Clock(monkeypatch, in_ms=-1000)
    hall.open(quick, queues=NIGHT, poll="1h")
    for _ in range(5):
        async with asyncio.timeout(SOON_S):
            await hall.result(await hall.client.enqueue("quick"))
