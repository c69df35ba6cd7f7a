"""A job of which nobody can say whether it is done waits until Postgres says it, at no cost, and is not called."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from jobsd import JobState, fixed
from jobsd.errors import InDoubtError
from jobsd.events import Event
from jobsd.records import once
from tests.engine.hall import BASE, a_task, said, side_of
from tests.waiting import until

if TYPE_CHECKING:
    from jobsd.engine.worker import Worker


async def seats(db) -> list[int]:
    return [row["attempt"] for row in await db.fetch("SELECT attempt FROM seats ORDER BY attempt")]


async def retries(reference) -> bool:
    return await reference.status() is JobState.RETRY


async def attempt_again(hall, worker: Worker, reference) -> None:
    """Let the job be due now, and wait until its attempt has ended."""
    before = worker.ended["R"]
    await hall.redis.zadd(BASE, {reference.id: 1})
    await hall.redis.lpush(f"{BASE}:wake", 1)
    await until(lambda: worker.ended["R"] > before)
    await until(lambda: retries(reference))


class Booking:
    """A task whose COMMIT is not answered, or not sent, in its first run; Postgres is away afterwards."""

    def __init__(self, wire, way: str = "unheard") -> None:
        self.called: list[int] = []
        self._wire = wire
        self._way = way

    async def book(self, ctx) -> None:
        self.called.append(ctx.attempt)
        async with ctx.transaction() as conn:
            await conn.execute("INSERT INTO seats VALUES ('12A', $1)", ctx.attempt)
            ctx.set_result(ctx.attempt)
            if ctx.attempt == 1:
                self._wire.ways, self._wire.shut = [self._way], True


@pytest.fixture(autouse=True)
def soon_undecided(monkeypatch) -> None:
    monkeypatch.setattr(once, "SETTLED_WITHIN_S", 0.1)


@pytest.mark.parametrize(("way", "kept", "called"), [("unheard", 1, [1]), ("unsent", 4, [1, 4])])
async def test_a_job_in_doubt_is_not_called_before_postgres_has_answered(hall, db, wired, way, kept, called):
    wire, pool = wired
    booking = Booking(wire, way)

    async def book(ctx) -> None:
        await booking.book(ctx)

    worker = hall.open(a_task(book, retries=0, backoff=fixed("1h")), db=pool, records=True)
    reference = await hall.client.enqueue("book")
    await until(lambda: retries(reference))
    assert (await side_of(hall, reference.id))["d"] == 1
    for n in (2, 3):
        await attempt_again(hall, worker, reference)
        side = await side_of(hall, reference.id)
        assert (side["d"], side["n"], side.get("f"), side["e"][0]) == (n, n, None, "InDoubtError")
    told = f"nobody can say whether what job {reference.id} did is committed: "
    assert side["e"][1].startswith(told)
    assert booking.called == [1]
    wire.shut = False
    await hall.redis.zadd(BASE, {reference.id: 1})
    await hall.redis.lpush(f"{BASE}:wake", 1)
    assert await hall.result(reference) == kept
    assert booking.called == called
    assert await seats(db) == [kept]


async def test_the_waits_of_a_job_in_doubt_grow_up_to_a_minute(hall, wired, caplog):
    caplog.set_level(logging.INFO, logger="jobsd")
    wire, pool = wired
    wire.shut = True

    async def never(ctx) -> None:
        raise AssertionError

    reference = await hall.client.enqueue("never", _delay="1h")
    await hall.redis.hset(f"{BASE}:side", reference.id, json.dumps({"n": 1, "d": 1}))
    worker = hall.open(a_task(never, retries=0, backoff=fixed("0s")), db=pool)
    for _ in range(6):
        await attempt_again(hall, worker, reference)
    waits = [line.delay_s for line in said(caplog, Event.JOB_RETRIED)]
    assert waits == pytest.approx([4, 8, 16, 32, 60, 60], abs=0.5)


async def test_once_postgres_has_answered_the_job_is_in_doubt_no_longer(hall, db):
    async def fails(ctx) -> None:
        raise LookupError("no such flight")

    reference = await hall.client.enqueue("fails", _delay="1h")
    await hall.redis.hset(f"{BASE}:side", reference.id, json.dumps({"n": 1, "d": 3}))
    worker = hall.open(a_task(fails, backoff=fixed("1h")), db=db)
    await attempt_again(hall, worker, reference)
    assert await side_of(hall, reference.id) == {"n": 2, "f": 1, "e": ["LookupError", "no such flight"]}


async def test_a_deadline_does_not_archive_a_job_in_doubt(hall, db, wired):
    wire, pool = wired
    booking = Booking(wire)

    async def book(ctx) -> None:
        await booking.book(ctx)

    booking_task = a_task(book, retries=0, backoff=fixed("1h"))
    worker = hall.open(booking_task, db=pool)
    reference = await hall.client.enqueue("book", _deadline=datetime.now(UTC) + timedelta(seconds=2))
    await until(lambda: retries(reference))
    wire.shut = False
    await hall.redis.zadd(BASE, {reference.id: 1})
    await hall.redis.lpush(f"{BASE}:wake", 1)
    assert await hall.result(reference) == 1
    assert worker.ended["A"] == 0


@pytest.mark.parametrize("over", [False, True])
async def test_a_lost_job_that_comes_to_its_block_while_postgres_is_away_waits_from_then_on(hall, db, wired, over):
    wire, pool = wired
    wire.shut = True
    called = []

    async def book(ctx) -> str:
        called.append(ctx.attempt)
        try:
            async with ctx.transaction():
                ctx.set_result(ctx.attempt)
        except OSError:
            if not over:
                raise
        return "swallowed"

    reference = await hall.client.enqueue("book", _delay="1h")
    await hall.redis.hset(f"{BASE}:side", reference.id, json.dumps({"n": 1, "l": 1}))
    worker = hall.open(a_task(book, retries=0, backoff=fixed("1h")), db=pool)
    await attempt_again(hall, worker, reference)
    assert called == [2]
    assert (await side_of(hall, reference.id))["e"][0] == InDoubtError.__name__
    await attempt_again(hall, worker, reference)
    assert called == [2]
    wire.shut = False
    await hall.redis.zadd(BASE, {reference.id: 1})
    await hall.redis.lpush(f"{BASE}:wake", 1)
    assert await hall.result(reference) == 4
