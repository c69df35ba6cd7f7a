"""While many records wait, fewer jobs are claimed, at a quarter over the limit none; and never one too few before."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from jobsd import JobRequest
from jobsd.job import JobState
from jobsd.store.backlog import share_of
from jobsd.store.keys import records_key, shard_key
from tests.engine.hall import are_listening, said
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobsd.engine.worker import Worker
    from tests.engine.hall import Hall

CALL: JobRequest[None] = JobRequest("works", (), {}, "default")
LIMIT = 256_000
FULL, SLOW = 1.3, 1.1  # of the limit


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    for name in ("_EVERY_S", "_LONGEST_S"):
        monkeypatch.setattr(f"jobsd.engine.backpressure.{name}", 0.01)


@pytest.fixture
def long_pause(monkeypatch) -> None:
    """Let the pause of a slowed worker be over when something else is told, and not before."""
    for name in ("_SLOWED_S", "_MOST_SLOWED_S"):
        monkeypatch.setattr(f"jobsd.engine.dispatcher.{name}", 3600.0)


@pytest.fixture
def fill(hall: Hall) -> Callable[[float], Awaitable[None]]:
    """Return a function that lets records for this part of the limit wait."""

    async def filled(part: float) -> None:
        await hall.redis.delete("made")
        while (await hall.redis.memory_usage("made", samples=0) or 0) < part * LIMIT:
            await hall.redis.xadd("made", {"job": "x" * 1000})
        if part:
            await hall.redis.rename("made", records_key())  # at once: nobody sees it half
        else:
            await hall.redis.delete(records_key())

    return filled


class Floor:
    """What the jobs of a test do: they say that they run, and wait until they may end."""

    def __init__(self) -> None:
        self.running = 0
        self.ended = 0
        self.may_end = asyncio.Event()

    async def works(self) -> None:
        self.running += 1
        await self.may_end.wait()
        self.running -= 1
        self.ended += 1


@pytest.fixture
def floor(hall: Hall) -> Floor:
    return Floor()


def opened(hall: Hall, floor: Floor, *, records: bool = True, **options) -> Worker:
    async def works(ctx) -> None:
        await floor.works()

    return hall.open(works, records=records, backlog=f"{LIMIT}B", **options)


async def looked(worker: Worker, times: int = 2) -> None:
    """Wait until the worker has looked at the stream so often again."""
    looks, tick = 0, worker.backpressure.tick

    async def counted() -> float | None:
        nonlocal looks
        pause = await tick()
        looks += 1
        return pause

    worker.backpressure.tick = counted
    await until(lambda: looks >= times)
    worker.backpressure.tick = tick


async def stopped(worker: Worker) -> None:
    await until(lambda: worker.backpressure.share == 0.0)


@pytest.mark.parametrize(("waiting", "share"), [(0, 1), (100, 1), (101, 0.96), (124, 0.04), (125, 0), (10**9, 0)])
def test_the_share_is_whole_up_to_the_limit_and_falls_to_nothing_at_a_quarter_more(waiting, share) -> None:
    assert share_of(waiting, 100) == pytest.approx(share)


async def test_up_to_the_limit_every_free_slot_is_filled(hall, floor, fill, caplog) -> None:
    await fill(0.9)
    worker = opened(hall, floor)
    await until(lambda: worker.backpressure.limit_bytes)
    await hall.client.enqueue_many([CALL] * 10)
    await until(lambda: floor.running == 10)
    assert worker.backpressure.share == 1.0
    assert not said(caplog, "claims.slowed")


async def test_over_the_limit_fewer_are_claimed_at_once(hall, floor, fill, monkeypatch) -> None:
    await fill(SLOW)
    worker = opened(hall, floor)
    await until(lambda: worker.backpressure.share < 1.0)
    asked, claim = [], worker.jobs.claim

    async def noted(*args, slots: int, **options):
        asked.append(slots)
        return await claim(*args, slots=slots, **options)

    monkeypatch.setattr(worker.jobs, "claim", noted)
    await hall.client.enqueue_many([CALL] * 10)
    await until(lambda: floor.running == 10)
    assert 0.4 < worker.backpressure.share < 0.6
    assert asked[0] == math.ceil(worker.backpressure.share * 10)
    assert len(asked) > 1


async def test_a_pause_ends_when_the_records_are_written(hall, floor, fill, long_pause) -> None:
    await fill(SLOW)
    worker = opened(hall, floor)
    await until(lambda: worker.backpressure.share < 1.0)
    await hall.client.enqueue_many([CALL] * 10)
    await looked(worker)
    assert not floor.running, "it has claimed before, and found nothing"
    await fill(0)
    await until(lambda: floor.running == 10)


async def test_far_over_the_limit_nothing_is_claimed_until_records_are_written(hall, floor, fill) -> None:
    worker = opened(hall, floor)
    await hall.client.enqueue_many([CALL] * 3)
    await until(lambda: floor.running == 3)
    await fill(FULL)
    await stopped(worker)
    late = await hall.client.enqueue("works")
    floor.may_end.set()
    await until(lambda: floor.ended == 3)  # what runs ends
    await until(lambda: _recorded(hall, 3))
    await looked(worker)
    assert await late.status() is JobState.PENDING
    await fill(0)
    await hall.result(late)


async def test_jobs_fill_the_backlog_and_stop_by_themselves(hall, floor, monkeypatch) -> None:
    monkeypatch.setattr("jobsd.engine.dispatcher._SLOWED_S", 0.001)
    floor.may_end.set()
    worker = opened(hall, floor)
    await hall.client.enqueue_many([CALL] * 1500)
    await stopped(worker)
    ended = floor.ended
    await looked(worker)
    assert floor.ended - ended <= 10, "more was claimed"
    assert LIMIT * 1.25 < worker.backpressure.waiting_bytes < LIMIT * 2
    while floor.ended < 1500:  # as a recorder does that is back
        before = floor.ended  # first: the last ones may end while the backlog is emptied
        await hall.redis.delete(records_key())
        await until(lambda before=before: floor.ended > before)


async def test_a_worker_that_records_nothing_is_never_slowed(hall, floor, fill, caplog) -> None:
    await fill(FULL)
    worker = opened(hall, floor, records=False)
    await hall.client.enqueue_many([CALL] * 10)
    await until(lambda: floor.running == 10)
    assert worker.backpressure.limit_bytes is None
    assert not said(caplog, "claims.slowed")


async def test_the_log_says_once_that_it_slows_that_it_stops_and_that_it_goes_on(hall, floor, fill, caplog) -> None:
    caplog.set_level("INFO")
    await fill(SLOW)
    worker = opened(hall, floor)
    for part in (SLOW, FULL, SLOW, FULL):
        await fill(part)
        await looked(worker)
    (slowed,), (halt,) = said(caplog, "claims.slowed"), said(caplog, "claims.stopped")
    assert (slowed.levelname, slowed.limit, slowed.waiting[-3:]) == ("WARNING", "256 kB", " kB")
    assert "fewer jobs are claimed" in slowed.consequence
    assert "Postgres" in slowed.remedy
    assert "no job is claimed" in halt.consequence
    await fill(0.95)
    await looked(worker)
    assert worker.backpressure.share == 1.0
    assert not said(caplog, "claims.resumed"), "just under the limit is no end of it"
    await fill(0)
    await until(lambda: said(caplog, "claims.resumed"))
    await looked(worker)
    assert [len(said(caplog, f"claims.{verb}")) for verb in ("slowed", "stopped", "resumed")] == [1, 1, 1]


async def test_a_worker_that_is_stopped_by_it_ends_at_once(hall, floor, fill) -> None:
    await fill(FULL)
    worker = opened(hall, floor)
    await stopped(worker)
    reference = await hall.client.enqueue("works")
    await hall.stop(worker)
    assert not worker._dispatching.cancelled(), "it had to be ended"
    assert await reference.status() is JobState.PENDING


async def test_a_worker_ends_in_the_midst_of_a_pause(hall, floor, fill, long_pause) -> None:
    await fill(SLOW)
    worker = opened(hall, floor)
    await until(lambda: worker.backpressure.share < 1.0)
    reference = await hall.client.enqueue("works")
    await looked(worker)
    await hall.stop(worker)
    assert not worker._dispatching.cancelled(), "it had to be ended"
    assert await reference.status() is JobState.PENDING


async def test_a_worker_held_meanwhile_goes_on_when_neither_holds_it(hall, floor, fill) -> None:
    await fill(FULL)
    worker = opened(hall, floor)
    await stopped(worker)
    worker.hold()
    reference = await hall.client.enqueue("works")
    await fill(0)
    await until(lambda: worker.backpressure.share == 1.0)
    assert await reference.status() is JobState.PENDING
    await fill(FULL)
    await stopped(worker)
    worker.resume()
    await looked(worker)
    assert await reference.status() is JobState.PENDING
    await fill(0)
    await until(lambda: floor.running == 1)


async def test_another_worker_that_records_nothing_takes_what_this_one_leaves(hall, floor, fill) -> None:
    first = opened(hall, floor)
    await until(lambda: first.backpressure.limit_bytes)
    await fill(FULL)
    await stopped(first)
    opened(hall, floor, records=False, poll="1h")
    await until(lambda: are_listening(hall, 2))  # the wake-up goes to the first
    await hall.client.enqueue("works")
    await until(lambda: floor.running == 1)


async def test_what_is_known_of_a_worker_has_its_share_while_it_is_slowed(hall, floor, fill) -> None:
    worker = opened(hall, floor)
    await until(lambda: worker.backpressure.limit_bytes)
    key = f"{shard_key()}:worker:{worker.id}"
    assert await hall.redis.hget(key, "throttle") is None
    await fill(FULL)

    async def told() -> bool:
        return await hall.redis.hget(key, "throttle") == b"0"

    await until(told)
    await fill(0)

    async def told_no_more() -> bool:
        return await hall.redis.hget(key, "throttle") is None

    await until(told_no_more)


async def test_what_cannot_be_asked_stays_as_it_was(hall, floor, fill, monkeypatch) -> None:
    await fill(FULL)
    worker = opened(hall, floor)
    await stopped(worker)

    async def away() -> int:
        raise ConnectionError("gone")

    monkeypatch.setattr(worker.jobs.looks, "backlog_bytes", away)
    await until(lambda: worker.backpressure.failures)
    await fill(0)
    await until(lambda: worker.backpressure.failures > 1)
    assert worker.backpressure.share == 0.0
    monkeypatch.undo()
    await until(lambda: worker.backpressure.share == 1.0)


async def test_jobs_of_a_dead_worker_are_taken_back_while_nothing_is_claimed(hall, floor, fill) -> None:
    first = opened(hall, floor, lease="1s")
    reference = await hall.client.enqueue("works")
    await until(lambda: floor.running == 1)
    await hall.redis.zadd("jobsd:{main}:default:active", {reference.id: 1})
    first._held.clear()  # it beats, and knows nothing of the lease
    await fill(FULL)
    await stopped(first)

    async def waits() -> bool:
        return await reference.status() is JobState.PENDING

    await until(waits)


async def _recorded(hall: Hall, count: int) -> bool:
    entries = await hall.redis.xrange(records_key())
    return sum(b'"works"' in value for _, fields in entries for value in fields.values()) == count
