"""``movable_clock``: hours that pass at once, in this process and in the scripts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import jobsd.clock
from jobsd import Context, JobState, Retry, enqueue, fixed, task
from jobsd.clock import monotonic, now_ms
from jobsd.errors import JobNotFoundError
from jobsd.store.scripts import source
from jobsd.testing import capture, movable_clock, run, worker

if TYPE_CHECKING:
    from redis.asyncio import Redis


@task("moved:echo")
async def echo(ctx: Context, value: Any) -> Any:
    return value


@task("moved:fail", retries=2, backoff=fixed("10m"))
async def fail(ctx: Context) -> None:
    raise ValueError("no such order")


@task("moved:told")
async def told(ctx: Context) -> None:
    if ctx.attempt < 3:
        raise Retry("2h")


@task("moved:night", hours="22:00-06:00")
async def night(ctx: Context) -> None: ...


async def test_it_moves_on_and_is_restored() -> None:
    before, steady = now_ms(), monotonic()
    with movable_clock() as clock:
        assert clock.move("2h") - clock.now < timedelta(seconds=1)
        assert 7_200_000 <= now_ms() - before < 7_260_000
        at = datetime(2100, 1, 1, tzinfo=UTC)
        clock.move_to(at)
        assert timedelta(0) <= clock.now - at < timedelta(minutes=1)
        assert monotonic() - steady < 60
    assert now_ms() - before < 60_000
    assert jobsd.clock.ahead_ms == 0
    assert "jobsd:moved" not in source("claim")


async def test_it_goes_on_only() -> None:
    with movable_clock() as clock:
        with pytest.raises(ValueError, match=r"the clock cannot go back: it is .*, after 2020-01-01T00:00:00\+00:00"):
            clock.move_to(datetime(2020, 1, 1, tzinfo=UTC))
        with pytest.raises(ValueError, match="'yesterday' is not a duration such as"):
            clock.move("yesterday")
        with pytest.raises(ValueError, match="has no time zone"):
            clock.move_to(datetime(2100, 1, 1))  # noqa: DTZ001 - that is the point


async def test_one_inside_another_is_the_same() -> None:
    with movable_clock() as clock:
        with movable_clock() as same:
            same.move("1h")
        assert same is clock
        assert jobsd.clock.ahead_ms == 3_600_000


async def test_what_runs_without_a_server_sees_it() -> None:
    @task("moved:when")
    async def when(ctx: Context) -> datetime:
        return ctx["enqueue_time"]

    with movable_clock() as clock:
        clock.move_to(datetime(2100, 1, 1, tzinfo=UTC))
        assert (await run(when)).year == 2100
        with capture() as jobs:
            await enqueue(when)
            await jobs.run()
    assert jobs[0].result.year == 2100


async def test_delayed_jobs_fall_due(redis_url: str) -> None:
    async with worker(redis_url) as w:
        with movable_clock() as clock:
            await enqueue(echo.opts(delay="1h"), 1)
            await enqueue(echo.opts(at=clock.now + timedelta(hours=3)), 2)
            assert (await w.run_until_idle()).succeeded == 0
            clock.move("1h")
            assert (await w.run_until_idle()).succeeded == 1
            clock.move("2h")
            assert (await w.run_until_idle()).succeeded == 1


async def test_retries_come_up_and_are_used_up(redis_url: str) -> None:
    async with worker(redis_url) as w:
        with movable_clock() as clock:
            reference = await enqueue(fail)
            asked = await enqueue(told)
            assert (await w.run_until_idle()).retried == 2
            clock.move("9m")
            assert len(await w.run_until_idle()) == 0
            clock.move("1m")
            assert (await w.run_until_idle()).retried == 1
            clock.move("10m")
            assert (await w.run_until_idle()).archived == 1
            assert await reference.status() is JobState.ARCHIVED
            for _ in range(2):
                clock.move("2h")
                await w.run_until_idle()
            assert await asked.status() is JobState.COMPLETED


async def test_results_and_the_archive_are_forgotten_in_their_time(redis_url: str) -> None:
    async with worker(redis_url, keep_completed="1h", keep_archived="30d") as w:
        with movable_clock() as clock:
            done = await enqueue(echo, 1)
            failed = await enqueue(fail.opts(retries=0))
            await w.run_until_idle()
            clock.move("59m")
            await w.run_until_idle()
            assert await done.result() == 1
            clock.move("1m")
            await w.run_until_idle()
            with pytest.raises(JobNotFoundError):
                await done.result()
            clock.move("29d")
            await w.run_until_idle()
            assert await failed.status() is JobState.ARCHIVED
            clock.move("1d")
            await w.run_until_idle()
            assert await failed.status() is JobState.UNKNOWN


async def test_unique_keys_and_throttles_end_in_their_time(redis_url: str) -> None:
    async with worker(redis_url):
        with movable_clock() as clock:
            for option in ("unique_for", "throttle"):
                call = echo.opts(**{option: "1h"})
                assert not (await enqueue(call, 1)).duplicate
                clock.move("59m")
                assert (await enqueue(call, 1)).duplicate
                clock.move("1m")
                assert not (await enqueue(call, 1)).duplicate


async def test_debounced_calls_come_when_none_has_come_for_so_long(redis_url: str) -> None:
    async with worker(redis_url) as w:
        with movable_clock() as clock:
            await enqueue(echo.opts(debounce="10m"), 1)
            clock.move("9m")
            await enqueue(echo.opts(debounce="10m"), 2)
            clock.move("9m")
            assert (await w.run_until_idle()).succeeded == 0
            clock.move("1m")
            assert [one.result for one in (await w.run_until_idle()).runs] == [2]


async def test_a_rate_lets_the_next_start_in_its_time(redis_url: str) -> None:
    async with worker(redis_url, queues={"default": {"rate": "2/10m"}}) as w:
        with movable_clock() as clock:
            for n in range(5):
                await enqueue(echo, n)
            started: list[int] = []
            for duration in ("0s", "9m", "1m", "10m"):
                clock.move(duration)
                started.append((await w.run_until_idle()).succeeded)
    assert started == [2, 0, 2, 1]


async def test_hours_open(redis_url: str) -> None:
    async with worker(redis_url) as w:
        with movable_clock() as clock:
            clock.move_to(datetime(2100, 1, 1, 12, tzinfo=UTC))
            await enqueue(night)
            assert (await w.run_until_idle()).succeeded == 0
            clock.move_to(datetime(2100, 1, 1, 22, tzinfo=UTC))
            assert (await w.run_until_idle()).succeeded == 1


async def test_a_deadline_passes(redis_url: str) -> None:
    async with worker(redis_url) as w:
        with movable_clock() as clock:
            await enqueue(echo.opts(deadline=clock.now + timedelta(hours=1)), 1)
            clock.move("1h")
            ran = await w.run_until_idle()
    assert [one.outcome for one in ran.runs] == ["expired"]


async def test_other_data_is_left_as_it_is(redis_url: str, redis: Redis) -> None:
    await redis.set("session:1", "ann", ex=60)
    async with worker(redis_url) as w:
        with movable_clock() as clock:
            clock.move("1h")
            await w.run_until_idle()
    assert await redis.get("session:1") == b"ann"
