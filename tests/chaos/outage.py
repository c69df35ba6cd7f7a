"""Postgres is away for long under a steady load: jobs go on, over the limit fewer are claimed, all is recorded after.

Redis gets as much memory as lets the waiting records reach their limit about when half of the time is over.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from jobsd import Client
from jobsd.admin.inspector import Inspector
from jobsd.errors import JobsdError
from jobsd.size import format_size
from jobsd.store.jobs import Jobs
from tests.chaos.calls import calls, ended, settled, waiting
from tests.chaos.daemons import some_daemons
from tests.chaos.ground import a_ground
from tests.chaos.laws import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.ground import Ground

RATE, DAEMONS = 300, 2  # jobs a second
_FILLER_BYTES = 1_000
_RECORD_BYTES = 1_340  # what a record with its part of the stream takes, measured
_RECORDS_A_JOB = 1.05  # one of twenty is tried again
_LIMIT = 0.25  # of Redis' memory: the setting's default
_ENQUEUE_EVERY_S = 0.05
_BEFORE_S = 5.0
_AS_EVER = 0.9  # of the jobs that were enqueued in a stretch: so many runs end, but for what still runs
_SLOWED = 0.5  # of them, when the limit is passed: it closes on nothing ever more slowly
_MOST = 1.3  # of the limit: claims stop at a quarter over it, and what runs still ends


class Sample(NamedTuple):
    """What was seen of a stretch of ``length_s``; bytes and percent are of its end."""

    at_s: float
    length_s: float
    enqueued: int
    ended: int
    waiting_jobs: int
    waiting_bytes: int
    limit_bytes: int
    claims_percent: int

    def __str__(self) -> str:
        return (
            f"{self.ended / self.length_s:6.0f} jobs/s, {format_size(self.waiting_bytes):>7} of records wait "
            f"({self.waiting_bytes / self.limit_bytes:4.0%} of the limit), {self.claims_percent:3}% claimed, "
            f"{self.waiting_jobs:,} jobs wait"
        )


class Ran(NamedTuple):
    jobs: int
    away_s: float
    samples: list[Sample]
    recorded_after_s: float
    """From the return of Postgres until the last job had ended and the last record was written."""
    verdict: Verdict


async def run(away_s: float, *, rate: int = RATE, say: Callable[[str], None]) -> Ran:
    """Run it all, and judge."""
    async with a_ground() as ground, AsyncExitStack() as stack:
        reached_at_s = away_s / 2
        memory = round(rate * _RECORDS_A_JOB * reached_at_s * _RECORD_BYTES / _LIMIT)
        await ground.redis.config_set("maxmemory", memory)
        crew = await stack.enter_async_context(some_daemons(ground, DAEMONS))
        say(f"two servers and {DAEMONS} daemons started; Redis has {format_size(memory)}")
        load = Load(ground, rate)
        loading = asyncio.create_task(load.run())
        try:
            await asyncio.sleep(_BEFORE_S)
            await ground.postgres.die()
            say(f"Postgres is away, for {away_s:g} s")
            samples = await _watched(ground, load, away_s, say)
            await ground.postgres.start()
        finally:
            load.stop()
            await loading
        back_at = monotonic()
        say("Postgres is back")
        stuck = await settled(ground.redis)
        after_s = monotonic() - back_at
        say("no job and no record moves any more")
        heard = {event: crew.count(event) for event in ("claims.slowed", "claims.resumed")}
        await crew.stop()
        verdict = await judge(load.enqueued, crew.begun, ground.pool)
        verdict.broken += load.refused + _broken(samples, heard) + stuck + crew.troubles()
        if verdict.broken:
            verdict.broken.append(crew.keep())
        return Ran(load.enqueued, away_s, samples, after_s, verdict)


class Load:
    """Enqueues at a steady rate, however long a call takes."""

    def __init__(self, ground: Ground, rate: int) -> None:
        self.enqueued = 0
        self.refused: list[str] = []
        self._url = ground.redis_url
        self._rate = rate
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> None:
        filler = secrets.token_hex(_FILLER_BYTES // 2)
        began = monotonic()
        async with Client(self._url) as client:
            while not self._stopping:
                due = round((monotonic() - began) * self._rate)
                try:
                    await client.enqueue_many(calls(range(self.enqueued, due), filler))
                except JobsdError as error:
                    self.refused.append(f"enqueue failed: {error}")
                    return
                self.enqueued = due
                await asyncio.sleep(_ENQUEUE_EVERY_S)


async def _watched(ground: Ground, load: Load, away_s: float, say: Callable[[str], None]) -> list[Sample]:
    """Look every 10 s, or 20 times, until the time is over; tell each look."""
    inspector = Inspector(Jobs(ground.redis))
    length_s = min(10.0, away_s / 20)
    began = last_at = monotonic()
    enqueued, before = load.enqueued, await ended(ground.redis)
    samples: list[Sample] = []
    while last_at - began < away_s - 0.5 * length_s:
        await asyncio.sleep(began + (len(samples) + 1) * length_s - monotonic())
        facts, now = await inspector.records(), await ended(ground.redis)
        at = monotonic()
        samples.append(
            Sample(
                at - began,
                at - last_at,
                load.enqueued - enqueued,
                now - before,
                (await waiting(ground.redis)).jobs,
                facts.bytes,
                facts.limit_bytes,
                facts.claims_percent,
            )
        )
        say(str(samples[-1]))
        last_at, enqueued, before = at, load.enqueued, now
    return samples


def _broken(samples: list[Sample], heard: dict[str, int]) -> list[str]:
    below = [sample for sample in samples if sample.waiting_bytes <= sample.limit_bytes]
    broken = [
        f"{sample.ended:,} of {sample.enqueued:,} jobs ended in {sample.length_s:.1f} s, "
        f"{sample.waiting_bytes / sample.limit_bytes:.0%} of the limit waited"
        for sample in below
        if sample.ended < _AS_EVER * sample.enqueued
    ]
    if len(below) == len(samples):
        broken.append("the limit was never reached")
    if samples[-1].ended > _SLOWED * samples[-1].enqueued:
        broken.append(f"{samples[-1].ended:,} jobs ended in the last stretch: the limit has slowed none")
    if (most := max(sample.waiting_bytes / sample.limit_bytes for sample in samples)) > _MOST:
        broken.append(f"{most:.0%} of the limit waited")
    broken += [f"{count} of {DAEMONS} daemons said {event}" for event, count in heard.items() if count != DAEMONS]
    return broken
