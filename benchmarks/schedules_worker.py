"""A scheduler as the daemon runs it, with the pusher beside it, and nothing that runs its jobs."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks.meter import rss_mib
from benchmarks.processes import answer, options
from jobsd.definition import registry, task
from jobsd.records.pool import open_pool
from jobsd.records.schedules import PostgresSchedules
from jobsd.relay.outbox import Pusher
from jobsd.schedule.declared import schedules_of
from jobsd.scheduler.bridge import Bridge
from jobsd.scheduler.scheduler import Scheduler
from jobsd.store.connection import connect
from jobsd.store.keys import base_key
from jobsd.store.outbox import PushedJobs
from jobsd.store.schedules import RedisSchedules
from jobsd.store.spare_schedules import SpareSchedules

if TYPE_CHECKING:
    from jobsd.context import Context
    from jobsd.schedule.state import Change

_IDLE_S = 12.0  # two signs of life
_LOOK_EVERY_S = 0.01


@task("bench:scheduled")
async def scheduled(ctx: Context) -> None:
    del ctx


def a_schedule(number: int, due: int) -> tuple[str, dict[str, Any]]:
    """Return name and options of one that is due at ``due``, epoch seconds, and then not for a year."""
    at = time.gmtime(due)
    expression = f"{at.tm_sec} {at.tm_min} {at.tm_hour} {at.tm_mday} {at.tm_mon} *"
    return f"bench-{number}", {"task": "bench:scheduled", "at": expression, "seconds": True}


class Measured(Scheduler):
    """Counts what it fires, and times its ticks: without the sleep that ends each."""

    fired = 0
    longest_s = 0.0
    _woke = 0.0

    async def _sleep(self) -> None:
        self.longest_s = max(self.longest_s, time.perf_counter() - self._woke)
        await super()._sleep()
        self._woke = time.perf_counter()

    def _say(self, change: Change) -> None:
        self.fired += len(change.fired)
        super()._say(change)


class Held:
    """The longest that the loop's thread has computed between two of its turns."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def watch(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            self.longest_s = max(self.longest_s, time.thread_time() - before)


async def main(
    redis_url: str, database_url: str | None, declared: int, schedules: int, due: int, watch_s: int, within_s: float
) -> None:
    figures: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        redis = connect(redis_url, connections=4)
        stack.push_async_callback(redis.aclose)
        pool = None if database_url is None else await open_pool(database_url, size=4)
        if pool is not None:
            stack.push_async_callback(pool.close)
            await stack.enter_async_context(Pusher(pool, PushedJobs(redis), lambda: True).running())
        began = time.perf_counter()
        ours = schedules_of(dict(a_schedule(number, due) for number in range(declared)), registry, zone="UTC")
        gc.freeze()  # as the daemon does
        gc.set_threshold(20_000, 20, 100)
        in_redis = RedisSchedules(redis)
        bridge = None if pool is None else Bridge(SpareSchedules(redis))
        store = in_redis if pool is None else PostgresSchedules(pool)
        scheduler, held = Measured(store, in_redis.live, ours, bridge=bridge), Held()
        watching, running = asyncio.create_task(held.watch()), asyncio.create_task(scheduler.run())
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await _reached(lambda: len(scheduler.plans), schedules)
                planned = time.perf_counter()
                figures["start_ms"] = (planned - began) * 1000
                figures["start_held_ms"] = held.longest_s * 1000
                await asyncio.sleep(1)
                figures |= await _worst(scheduler, held, "idle", asyncio.sleep(_IDLE_S))
                await asyncio.sleep(due - 0.5 - time.time())

                async def all_jobs() -> None:
                    await _reached(lambda: scheduler.fired, schedules)
                    figures["fired_s"] = time.time() - due
                    while await redis.zcard(base_key("default")) < schedules:  # noqa: ASYNC110 - see _reached
                        await asyncio.sleep(_LOOK_EVERY_S)

                figures |= await _worst(scheduler, held, "due", all_jobs())
                figures["jobs_s"] = time.time() - due
                for name, at_s in (("rss_early_mib", watch_s / 5), ("rss_late_mib", watch_s)):
                    await asyncio.sleep(planned + at_s - time.perf_counter())
                    figures[name] = rss_mib()
        watching.cancel()
        scheduler.stop()
        await asyncio.gather(watching, running, return_exceptions=True)
    answer(planned=len(scheduler.plans), fired=scheduler.fired, **figures)


async def _reached(count: Any, wanted: int) -> None:
    while count() < wanted:  # noqa: ASYNC110 - no scheduler has an event for its nth plan
        await asyncio.sleep(_LOOK_EVERY_S)


async def _worst(scheduler: Measured, held: Held, name: str, meanwhile: Any) -> dict[str, float]:
    scheduler.longest_s = held.longest_s = 0.0
    await meanwhile
    return {f"{name}_tick_ms": scheduler.longest_s * 1000, f"{name}_held_ms": held.longest_s * 1000}


if __name__ == "__main__":
    uvloop.run(main(**options()))
