"""``worker``: a real one, on a real Valkey, that runs what is due and then stands still."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, Context, Drop, JobState, Snooze, dependency, enqueue, fixed, task
from jobsd.ambient import close_default_client, default_client
from jobsd.definition import Task
from jobsd.errors import NotConfiguredError
from jobsd.testing import worker
from jobsd.testing.valkey import stop_own_valkey
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@task("idle:echo")
async def echo(ctx: Context, value: Any) -> Any:
    return value


@task("idle:plain", queue="files", executor="process")
def plain(ctx: Any, value: int) -> int:
    return value + 1


@task("idle:chain", queue="chain")
async def chain(ctx: Context, left: int) -> None:
    if left:
        await enqueue(chain, left - 1)


@task("idle:tells")
async def tells(ctx: Context, value: int) -> None:
    await ctx.progress(value, 2)
    await ctx.progress(2, 2)


@task("idle:fail", retries=1, backoff=fixed("10m"))
async def fail(ctx: Context) -> None:
    raise ValueError("no such order")


@task("idle:snooze")
async def snooze(ctx: Context) -> None:
    raise Snooze("1h")


@task("idle:drop")
async def drop(ctx: Context) -> None:
    raise Drop("nothing to do")


@task("idle:stuck", timeout="1h")
async def stuck(ctx: Context) -> None:
    await asyncio.Event().wait()


async def test_it_runs_all_that_is_due_and_what_that_leads_to(redis_url: str) -> None:
    async with worker(redis_url) as w:
        reference = await enqueue(echo, 1)
        await w.client.enqueue(plain, 1)
        await enqueue(chain, 3)
        ran = await w.run_until_idle()
        assert (ran.succeeded, ran.failed, len(ran)) == (6, 0, 6)
        assert await reference.result() == 1
        assert {run.task: run.result for run in ran.runs if run.result} == {"idle:echo": 1, "idle:plain": 2}
        assert len(await w.run_until_idle()) == 0


async def test_it_waits_for_no_poll(redis_url: str) -> None:
    async with worker(redis_url, poll="1h") as w:
        for _ in range(5):
            await enqueue(tells, 1)
            assert (await w.run_until_idle()).succeeded == 1


async def test_what_is_due_later_is_left_alone(redis_url: str) -> None:
    async with worker(redis_url) as w:
        later = await enqueue(echo.opts(delay="1h"), 1)
        assert len(await w.run_until_idle()) == 0
        assert await later.status() is JobState.SCHEDULED


async def test_failures_are_counted_and_can_be_looked_at(redis_url: str) -> None:
    async with worker(redis_url) as w:
        await enqueue(fail)
        await enqueue(fail.opts(retries=0))
        await enqueue(snooze)
        await enqueue(drop)
        await enqueue("idle:nobody")
        ran = await w.run_until_idle()
    assert (ran.failed, ran.retried, ran.archived, ran.snoozed, ran.dropped, ran.parked) == (3, 1, 1, 1, 1, 1)
    assert ran.counts == {"failed": 2, "snoozed": 1, "dropped": 1, "unknown_task": 1}
    failures = {run.became: run for run in ran.failures}
    assert failures["archived"].error == failures["retried"].error == "ValueError: no such order"
    assert "raise ValueError" in (failures["retried"].trace or "")
    assert "idle:fail (attempt 1): ValueError: no such order, retried" in repr(ran)
    assert "idle:nobody (attempt 1): parked for task:idle:nobody, parked" in repr(ran)


async def test_it_says_what_still_runs_when_the_time_is_over(redis_url: str) -> None:
    async with worker(redis_url) as w:
        reference = await enqueue(stuck)
        with pytest.raises(TimeoutError, match="the worker is not idle after 200ms; still running: idle:stuck"):
            await w.run_until_idle("200ms")
        assert await reference.status() is JobState.PENDING


async def test_limits_hold(redis_url: str) -> None:
    async with worker(redis_url, queues={"default": {"rate": "2/1m"}}, retries=0) as w:
        for n in range(3):
            await enqueue(echo, n)
        assert (await w.run_until_idle()).succeeded == 2
        assert (await w.run_until_idle()).succeeded == 0


async def test_it_knows_the_tasks_that_it_is_given_and_has_what_it_shares(redis_url: str) -> None:
    async def shared(ctx: Context) -> Any:
        return ctx["colour"]

    async with worker(redis_url, tasks=[Task(shared, "idle:shared")], shared={"colour": "blue"}) as w:
        await enqueue("idle:shared")
        await enqueue(echo, 1)
        ran = await w.run_until_idle()
    assert (ran.succeeded, ran.parked) == (1, 1)
    assert ran.runs[0].result == "blue" or ran.runs[1].result == "blue"


opened: list[str] = []


@dependency
async def settings() -> AsyncIterator[str]:
    opened.append("opened")
    yield "real"


@task("idle:settings")
async def uses_settings(ctx: Context) -> str:
    return ctx.use(settings)


async def test_dependencies_are_open_or_stood_in_for(redis_url: str) -> None:
    opened.clear()
    async with worker(redis_url, dependencies={settings: "fake"}) as w:
        await enqueue(uses_settings)
        assert [run.result for run in (await w.run_until_idle()).runs] == ["fake"]
    assert opened == []
    async with worker(redis_url) as w:
        await enqueue(uses_settings)
        assert [run.result for run in (await w.run_until_idle()).runs] == ["real"]


async def test_a_bare_enqueue_leads_to_its_redis_and_afterwards_where_it_did(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBSD_REDIS_URL", "redis://nobody.invalid:1")
    before = await default_client()
    async with worker(redis_url) as w:
        await enqueue(echo, 1)
        await asyncio.to_thread(lambda: asyncio.run(_from_elsewhere()))
        assert (await w.run_until_idle()).succeeded == 2
    assert await default_client() is not before
    assert os.environ["JOBSD_REDIS_URL"] == "redis://nobody.invalid:1"
    await close_default_client()


async def _from_elsewhere() -> None:
    await enqueue(echo, 1)


async def test_without_an_address_it_has_an_empty_valkey_of_its_own() -> None:
    async with worker() as w:
        await enqueue(echo, 1)
        await enqueue(echo.opts(delay="1h"), 1)
        assert (await w.run_until_idle()).succeeded == 1
    async with worker() as again:
        async with Client(again.url) as client:
            assert await client.job("nothing").status() is JobState.UNKNOWN
        assert again.url == w.url
        assert await again._jobs.looks.queues() == []


async def test_its_own_valkey_ends_with_tests_that_are_killed() -> None:
    code = (
        "import os; from jobsd.testing.valkey import own_valkey as v; print(v(), flush=True); os.kill(os.getpid(), 9)"
    )
    process = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False, timeout=60
    )
    socket = Path(process.stdout.strip().removeprefix("unix://"))
    assert socket.name == "valkey.sock"
    state = socket.parents[1]

    async def gone() -> bool:
        return not state.exists()

    await until(gone)


async def test_where_there_is_none_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stop_own_valkey()
    monkeypatch.setenv("JOBSD_VALKEY_SERVER", str(tmp_path / "none"))
    with pytest.raises(NotConfiguredError, match=r"no address for Redis: say which one is for tests.*which is no file"):
        async with worker():
            pass
