"""``run``: a task in place, as a worker would run it, and no server anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from jobsd import Context, Retry, around_run, dependency, enqueue, task
from jobsd.errors import DependencyError, InvalidArgumentsError, NotConfiguredError, UnserializableError
from jobsd.hooks import run_hooks
from jobsd.testing import capture, overridden, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

AT = datetime(2030, 1, 1, 9, tzinfo=UTC)
seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen")


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("JOBSD_REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JOBSD_STATE", str(tmp_path / "none"))


@task("in-place:remind", queue="mails", timeout="30s")
async def remind(ctx: Context, to: str, at: datetime, *, times: int = 1) -> dict[str, Any]:
    return {"to": to, "at": at, "times": times, "facts": [ctx.attempt, ctx.queue, ctx.task, ctx.job_id]}


@task("in-place:echo")
async def echo(ctx: Context, value: Any) -> Any:
    return value


@task("in-place:count", executor="process")
def count(ctx: Any, to: int) -> list[Any]:
    for n in range(1, to + 1):
        ctx.progress(n, to)
    ctx.enqueue(echo, to)
    return [threading.current_thread().name, ctx.attempt]


@task("in-place:steer")
async def steer(ctx: Context, error: str) -> None:
    raise {"retry": Retry("30s"), "value": ValueError("no such order")}[error]


async def test_a_task_runs_in_place_and_gets_its_arguments_as_from_a_worker() -> None:
    returned = await run(remind, "ann", at=AT)
    assert returned["at"] == AT
    assert isinstance(returned["at"], datetime)
    assert returned["facts"][:3] == [1, "mails", "in-place:remind"]
    assert len(returned["facts"][3]) == 26


async def test_arguments_have_been_through_json() -> None:
    assert await run(echo, (1, AT)) == [1, "2030-01-01T09:00:00Z"]


async def test_arguments_that_do_not_fit_are_refused_as_by_enqueue() -> None:
    with pytest.raises(InvalidArgumentsError, match="times: input should be a valid integer"):
        await run(remind, "ann", AT, times="many")  # type: ignore[arg-type]


async def test_an_argument_without_json_form_fails() -> None:
    with pytest.raises(UnserializableError, match="argument 1 of 'in-place:echo' has no JSON form"):
        await run(echo, object())


@dataclass
class Order:
    number: int


@task("in-place:order")
async def order(ctx: Context, one: Order) -> str:
    return type(one).__name__ + str(one.number)


async def test_a_class_arrives_as_itself() -> None:
    assert await run(order, Order(3)) == "Order3"


async def test_a_result_without_json_form_is_said() -> None:
    @task("in-place:odd")
    async def odd(ctx: Context) -> object:
        return object()

    with pytest.raises(AssertionError, match=r"the result of in-place:odd has no JSON form: .*keep its repr"):
        await run(odd)


async def test_a_result_that_is_too_large_is_said() -> None:
    @task("in-place:large")
    async def large(ctx: Context) -> str:
        return "x" * 300_000

    with pytest.raises(AssertionError, match="the result of in-place:large is 300,002 bytes of JSON"):
        await run(large)


async def test_what_the_task_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="no such order"):
        await run(steer, "value")
    with pytest.raises(Retry) as raised:
        await run(steer, "retry")
    assert raised.value.delay_ms == 30_000


async def test_an_exit_ends_the_run_and_not_the_tests() -> None:
    @task("in-place:exit")
    async def leave(ctx: Context) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        await run(leave)


async def test_a_cancelled_run_cancels_the_task() -> None:
    said: list[str] = []

    @task("in-place:cancelled")
    async def waits(ctx: Context) -> None:
        said.append("began")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            said.append("cancelled")
            raise

    running = asyncio.create_task(run(waits))
    while not said:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert said == ["began", "cancelled"]


async def test_a_plain_function_runs_in_a_thread_of_this_process_whatever_its_executor() -> None:
    with capture() as jobs:
        assert await run.given(attempt=2)(count, 3) == ["jobsd in-place:count", 2]
    assert jobs == [echo.job(3)]


async def test_progress_is_all_there_and_what_is_enqueued_too() -> None:
    with capture() as jobs:
        await enqueue(count, 3)
        assert await jobs[0].run() is not None
    assert jobs[0].progress == [(1, 3), (2, 3), (3, 3)]
    assert jobs.only(echo).arguments == {"value": 3}


async def test_a_bare_enqueue_of_the_task_needs_no_server_either() -> None:
    @task("in-place:chain")
    async def chain(ctx: Context) -> str:
        return (await enqueue(echo, 1)).id

    assert len(await run(chain)) == 26


async def test_options_of_the_call_hold() -> None:
    assert (await run(remind.opts(queue="other", id="mine"), "ann", AT))["facts"][1:] == [
        "other",
        "in-place:remind",
        "mine",
    ]
    assert (await run(remind.job("ann", AT, times=2)))["times"] == 2
    assert (await run.given(job_id="yours", attempt=3)(remind, "ann", AT))["facts"] == [
        3,
        "mails",
        "in-place:remind",
        "yours",
    ]


async def test_a_task_ends_at_its_timeout() -> None:
    @task("in-place:sleep", timeout="20ms")
    async def sleep(ctx: Context) -> None:
        await asyncio.sleep(60)

    @task("in-place:spin", timeout="20ms")
    def spin(ctx: Any) -> None:
        while True:
            time.sleep(0.001)

    for slow in (sleep, spin):
        with pytest.raises(TimeoutError, match=f"{slow.name} timed out after 0.02 s"):
            await run(slow)
    with pytest.raises(TimeoutError, match=r"timed out after 0\.01 s"):
        await run.given(timeout="10ms")(sleep)


async def test_a_task_that_ends_well_after_its_timeout_has_timed_out_all_the_same() -> None:
    @task("in-place:swallow", timeout="20ms")
    async def swallow(ctx: Context) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "done"

    with pytest.raises(TimeoutError, match=r"in-place:swallow timed out after 0\.02 s"):
        await run(swallow)


@task("in-place:due")
async def due(ctx: Context) -> str:
    return "none" if ctx.due_at is None else ctx.due_at.isoformat()


@pytest.mark.parametrize(
    ("due_at", "told"),
    [
        (None, "none"),
        (datetime(2026, 11, 30, 23, tzinfo=ZoneInfo("Asia/Jakarta")), "2026-11-30T23:00:00+07:00"),
        (datetime(2026, 11, 30, 16, tzinfo=UTC), "2026-11-30T16:00:00+00:00"),
    ],
    ids=str,
)
async def test_a_run_can_be_that_of_a_due_time(due_at: datetime | None, told: str) -> None:
    assert await run.given(due_at=due_at)(due) == told


async def test_shared_things_are_those_that_were_given() -> None:
    @task("in-place:db")
    async def db(ctx: Context) -> list[Any]:
        return [ctx.db, ctx["colour"], ctx.redis]

    assert await run.given(shared={"db": "pool", "colour": "blue", "redis": "client"})(db) == ["pool", "blue", "client"]
    with pytest.raises(NotConfiguredError, match="no address for Postgres"):
        await run(db)
    with pytest.raises(NotConfiguredError, match=r"no address for Redis: .*run.given"):
        await run.given(shared={"db": "pool", "colour": "blue"})(db)


@pytest.fixture
def loud() -> Iterator[list[str]]:
    """A hook around every run, for one test."""
    said: list[str] = []
    before = dict(run_hooks)

    @around_run
    async def hook(ctx: Context, call_next: Any) -> Any:
        said.append(f"before {ctx.task}")
        seen.set("by the hook")
        try:
            return ["hooked", await call_next()]
        finally:
            said.append("after")

    yield said
    run_hooks.clear()
    run_hooks.update(before)


async def test_hooks_run_around_and_their_context_variables_end_with_the_run(loud: list[str]) -> None:
    assert await run(echo, 1) == ["hooked", 1]
    assert loud == ["before in-place:echo", "after"]
    assert seen.get("nothing") == "nothing"


opened: list[str] = []


@dependency
async def price_list() -> AsyncIterator[dict[str, int]]:
    opened.append("opened")
    yield {"tea": 3}
    opened.append("closed")


@task("in-place:price")
async def price(ctx: Context, of: str) -> int:
    return ctx.use(price_list)[of]


async def test_dependencies_are_open_during_the_run() -> None:
    opened.clear()
    assert await run(price, "tea") == 3
    assert opened == ["opened", "closed"]


async def test_a_stand_in_takes_the_place_of_a_dependency_which_is_not_opened() -> None:
    opened.clear()
    assert await run.given(dependencies={price_list: {"tea": 5}})(price, "tea") == 5
    with overridden(price_list, {"tea": 7}):
        assert await run(price, "tea") == 7
    assert opened == []


async def test_a_dependency_that_does_not_open_fails_only_those_that_use_it() -> None:
    @dependency
    async def broken() -> AsyncIterator[int]:
        raise OSError("no such host")
        yield 1

    @task("in-place:broken")
    async def uses_broken(ctx: Context) -> int:
        return ctx.use(broken)

    from jobsd.hooks import dependencies  # noqa: PLC0415 - to take it away again

    try:
        assert await run(echo, 1) == 1
        with pytest.raises(DependencyError, match="no such host"):
            await run(uses_broken)
    finally:
        dependencies.popitem()


async def test_a_task_that_is_not_defined_here_is_said() -> None:
    with capture() as jobs:
        await enqueue("in-place:nobody", 1)
    with pytest.raises(LookupError, match="no task 'in-place:nobody' is defined here: import the module that has it"):
        await jobs.run()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"attempt": 0}, "attempt is 0; the first is 1"),
        ({"job_id": "no good!"}, "job_id is 'no good!'; allowed is 1 to 128 of"),
        ({"dependencies": {"prices": 1}}, "dependencies has 'prices', which @dependency did not make"),
        ({"timeout": "soon"}, "soon"),
        ({"due_at": datetime(2026, 11, 30)}, "due_at is datetime.*; allowed is a datetime with a zone"),  # noqa: DTZ001
    ],
)
def test_circumstances_that_cannot_be_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        run.given(**given)
