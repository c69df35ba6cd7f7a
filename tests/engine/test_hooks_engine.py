"""Hooks, headers and dependencies as a worker's tasks have them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import JobState, Retry, SkipRetry, Snooze, around_enqueue, around_run, carry, dependency, hooks, request_id
from jobsd.daemon.child import child_setup
from jobsd.daemon.logs import configure_logs
from jobsd.daemon.settings import Settings
from jobsd.errors import JobFailedError
from jobsd.headers import traceparent
from jobsd.hooks import overridden
from tests.engine.hall import a_task, said
from tests.registered import nothing_else_registered
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
tenant: ContextVar[str] = ContextVar("tenant")


@pytest.fixture(autouse=True)
def _own_hooks() -> Iterator[None]:
    with nothing_else_registered():
        yield


async def double(ctx, n: int) -> int:
    return 2 * n


def halve(ctx, n: int) -> int:
    return n // 2


async def test_hooks_go_around_tasks_of_both_kinds_and_are_handed_a_context(hall):
    seen: list[tuple[str, int, str]] = []

    @around_run
    async def noting(ctx, call_next):
        seen.append((ctx.task, ctx.attempt, ctx["colour"]))
        await ctx.progress(1, 2)
        return await call_next() + 100

    hall.open(double, halve)
    assert await hall.result(await hall.client.enqueue("double", 2)) == 104
    assert await hall.result(await hall.client.enqueue("halve", 4)) == 102
    assert seen == [("double", 1, "blue"), ("halve", 1, "blue")]


async def test_a_hook_may_skip_the_task(hall):
    @around_run
    async def cached(ctx, call_next):
        return "cached"

    hall.open(double)
    assert await hall.result(await hall.client.enqueue("double", 2)) == "cached"


async def test_a_hook_that_fails_fails_the_job_and_never_the_worker(hall):
    attempts: list[int] = []

    @around_run
    async def failing(ctx, call_next):
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise SystemExit(3)
        raise LookupError("no such hook")

    hall.open(a_task(double, retries=1, backoff=_AtOnce()), a_task(halve))
    reference = await hall.client.enqueue("double", 2)
    with pytest.raises(JobFailedError, match="no such hook") as failed:
        await hall.result(reference)
    assert failed.value.error_type == "LookupError"
    assert attempts == [1, 2]
    hooks.run_hooks.clear()
    assert await hall.result(await hall.client.enqueue("halve", 4)) == 2


class _AtOnce:
    def delay_ms(self, _: int) -> int:
        return 0


async def test_what_a_hook_raises_to_steer_steers(hall):
    @around_run
    async def steering(ctx, call_next):
        if ctx.attempt == 1:
            raise Retry("0s")
        if ctx.attempt == 2:
            raise Snooze("0s")
        raise SkipRetry("enough")

    hall.open(a_task(double, retries=5))
    reference = await hall.client.enqueue("double", 2)
    with pytest.raises(JobFailedError, match="enough"):
        await hall.result(reference)
    assert await reference.status() is JobState.ARCHIVED


async def test_the_timeout_holds_for_the_hooks_too(hall):
    @around_run
    async def hanging(ctx, call_next):
        await asyncio.Event().wait()

    hall.open(a_task(double, timeout="20ms", retries=0))
    with pytest.raises(JobFailedError, match="timed out"):
        await hall.result(await hall.client.enqueue("double", 2))


async def test_what_is_carried_arrives_in_hooks_tasks_threads_and_their_own_jobs(hall):
    carry(tenant)

    def where() -> list[str | None]:
        return [tenant.get(None), request_id.get(None), traceparent.get(None)]

    found: dict[str, Any] = {}

    @around_run
    async def noting(ctx, call_next):
        found[f"hook of {ctx.task}"] = where()
        return await call_next()

    async def first(ctx):
        found["first"] = [*where(), dict(ctx.headers)]
        return (await ctx.enqueue("second")).id

    def second(ctx):
        found["second"] = [*where(), dict(ctx.headers)]
        return ctx.enqueue("third").id

    async def third(ctx):
        found["third"] = where()

    hall.open(first, second, third)

    async def request() -> Any:
        tenant.set("acme")
        request_id.set("r-1")
        traceparent.set(PARENT)
        return await hall.client.enqueue("first")

    reference = await asyncio.create_task(request())
    for _ in range(2):
        reference = hall.client.job(await hall.result(reference))
    await hall.result(reference)
    carried = ["acme", "r-1", PARENT]
    headers = {"tenant": "acme", "request_id": "r-1", "traceparent": PARENT}
    assert found["first"] == found["second"] == [*carried, headers]
    assert found["third"] == found["hook of first"] == found["hook of second"] == carried

    # A job of nobody's has nothing, in the same worker.
    await hall.result(await hall.client.enqueue("third"))
    assert found["third"] == [None, None, None]


async def test_headers_survive_a_retry(hall):
    seen: list[dict[str, Any]] = []

    async def twice(ctx):
        seen.append(dict(ctx.headers))
        with pytest.raises(TypeError):
            ctx.headers["by"] = "me"
        if ctx.attempt == 1:
            raise Retry("0s")

    @around_enqueue
    async def signed(request, call_next):
        return await call_next(request.with_headers({"by": "ann"}))

    hall.open(twice)
    await hall.result(await hall.client.enqueue("twice"))
    assert seen == [{"by": "ann"}, {"by": "ann"}]


async def test_every_line_that_a_task_writes_has_its_job_and_its_request(hall):
    stream = io.StringIO()
    root, ours = logging.getLogger(), logging.getLogger("jobsd")
    before = root.level, ours.level, list(root.handlers)
    configure_logs("DEBUG", "json", stream)
    try:

        async def talks(ctx):
            logging.getLogger("shop").info("sold")
            ctx.log.info("told", price=3)

        def mutters(ctx):
            logging.getLogger("shop").info("muttered")

        async def request() -> list[Any]:
            request_id.set("r-1")
            traceparent.set(PARENT)
            return [await hall.client.enqueue("talks"), await hall.client.enqueue("mutters")]

        worker = hall.open(talks, mutters)
        talk, mutter = await asyncio.create_task(request())
        await hall.result(talk)
        await hall.result(mutter)
        await hall.stop(worker)
    finally:
        root.setLevel(before[0])
        ours.setLevel(before[1])
        root.handlers[:] = before[2]
    lines = {line["event"]: line for line in map(json.loads, stream.getvalue().splitlines())}
    request = {"request_id": "r-1", "trace_id": TRACE_ID, "queue": "default", "attempt": 1}
    for event, job_id, task in (
        ("sold", talk.id, "talks"),
        ("told", talk.id, "talks"),
        ("muttered", mutter.id, "mutters"),
    ):
        facts = request | {"job_id": job_id, "task": task}
        assert {name: lines[event].get(name) for name in facts} == facts
    assert lines["job.completed"]["request_id"] == "r-1"
    assert "job_id" not in lines["daemon.draining"]


async def test_tasks_use_dependencies_that_open_before_the_first_and_close_after_the_last(hall):
    order: list[str] = []

    @dependency
    async def prices() -> AsyncIterator[dict[str, int]]:
        order.append("open")
        yield {"tea": 3}
        order.append("close")

    async def price(ctx):
        order.append("task")
        return ctx.use(prices)["tea"]

    def of_thread(ctx):
        return ctx.use(prices)["tea"]

    early = await hall.client.enqueue("price")
    worker = hall.open(price, of_thread)
    assert await hall.result(early) == 3
    assert await hall.result(await hall.client.enqueue("of_thread")) == 3
    await hall.stop(worker)
    assert order == ["open", "task", "close"]


async def test_a_job_whose_dependency_is_away_fails_with_its_cause_and_is_retried_until_it_is_there(hall, caplog):
    there = asyncio.Event()

    @dependency
    async def bank() -> AsyncIterator[str]:
        if not there.is_set():
            raise ConnectionError("refused")
        yield "the bank"

    async def pay(ctx):
        return ctx.use(bank)

    async def other(ctx):
        return "well"

    caplog.set_level("INFO")
    hall.open(a_task(pay, retries=1000, backoff=_AtOnce()), other)
    reference = await hall.client.enqueue("pay")
    assert await hall.result(await hall.client.enqueue("other")) == "well"
    await until(lambda: said(caplog, "job.retried"))
    assert "bank is not open: ConnectionError: refused" in said(caplog, "job.retried")[0].cause
    there.set()
    assert await hall.result(reference) == "the bank"


async def test_what_is_no_dependency_cannot_be_used(hall):
    async def uses(ctx) -> None:
        ctx.use("pool")

    hall.open(a_task(uses, retries=0))
    with pytest.raises(JobFailedError, match=r"ctx\.use takes what @dependency made, not 'pool'"):
        await hall.result(await hall.client.enqueue("uses"))


async def test_a_stand_in_is_what_a_task_uses(hall):
    @dependency
    async def bank() -> AsyncIterator[str]:
        raise AssertionError
        yield ""

    async def pay(ctx):
        return ctx.use(bank)

    with overridden(bank, "a toy bank"):
        hall.open(pay)
        assert await hall.result(await hall.client.enqueue("pay")) == "a toy bank"


async def test_a_child_process_has_its_own_hooks_and_dependencies_and_nothing_of_the_job_before(hall, redis_url):
    def look(ctx): ...

    setup = child_setup(Settings(tasks=["tests.engine.hooked_tasks"]), redis_url=redis_url, database_url=None)
    setup = setup._replace(facts={**setup.facts, "path": [str(Path(__file__).parents[2]), *sys.path]})
    hall.open(a_task(look, name="hooked:look", executor="process"), child=setup, children=1)
    carry(tenant)

    async def request() -> Any:
        tenant.set("acme")
        request_id.set("r-1")
        return await hall.client.enqueue("hooked:look")

    of_acme = await asyncio.create_task(request())
    first = await hall.result(of_acme)
    nobodys = await hall.client.enqueue("hooked:look")
    second = await hall.result(nobodys)
    headers = {"tenant": "acme", "request_id": "r-1"}
    assert first == {
        "pid": first["pid"],
        **headers,
        "headers": headers,
        "greeting": "hello",
        "stamp": of_acme.id,
    }
    assert second == first | {"tenant": None, "request_id": None, "headers": {}, "stamp": nobodys.id}
