"""Calls that are right. Both type checkers pass them, strictly, and see the types that are asserted here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import timedelta
from enum import StrEnum
from typing import Any, ParamSpec, TypeVar, assert_type

from jobsd import (
    BaseScheduledJob,
    Client,
    Context,
    Dependency,
    JobRef,
    JobRequest,
    Opened,
    PlainContext,
    Task,
    aggregate,
    around_enqueue,
    around_run,
    cron,
    db_context,
    dependency,
    enqueue,
    enqueue_many,
    exponential,
    task,
)
from jobsd.testing import capture, run

P = ParamSpec("P")
T = TypeVar("T")


WORDS = {"three": "3"}


class Settings:
    greeting = "Hello"


class Mailer:
    def __init__(self, greeting: str) -> None:
        self.greeting = greeting


class Names(StrEnum):
    SEND = "mail:send"


@dependency
async def settings() -> AsyncIterator[Settings]:
    yield Settings()


@dependency
async def mailer(opened: Opened) -> AsyncIterator[Mailer]:
    yield Mailer(opened.use(settings).greeting)


@task("mail:send", timeout="30s", retries=3, backoff=exponential("2s"))
async def send(ctx: Context, to: str, subject: str = "Hello", *, copies: int = 1) -> dict[str, int]:
    assert_type(ctx.use(mailer), Mailer)
    return {f"{to}: {subject}": copies}


@task(executor="process", memory="512MB", timeout=timedelta(minutes=1))
def count(ctx: PlainContext, text: str) -> int:
    assert_type(ctx.use(mailer), Mailer)
    return len(text)


@task(aggregate=aggregate("2s"))
async def index(ctx: Context, documents: list[int]) -> None:
    assert_type(ctx.job_id, str)


@task()
async def nothing(ctx: dict[str, Any]) -> None:
    """Take the context as what arq's functions take."""


@task()
def every(ctx: PlainContext, /, *numbers: int, **words: str) -> list[int]:
    return list(numbers)


@task()
async def relay(ctx: Context, body: dict[str, Any], to: list[Any] | None = None) -> Any:
    return body


@around_run
async def timed(ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
    return await call_next()


@around_enqueue
async def signed(
    request: JobRequest[Any], call_next: Callable[[JobRequest[Any]], Awaitable[JobRef[Any]]]
) -> JobRef[Any]:
    return await call_next(request.with_headers({"by": "me"}))


async def tasks_are_enqueued(client: Client) -> None:
    ref = await enqueue(send, "ann@example.com", subject="Hi", copies=2)
    assert_type(ref, JobRef[dict[str, int]])
    assert_type(await ref.result(timeout="5s"), dict[str, int])
    assert_type(await enqueue(send, to="ann@example.com"), JobRef[dict[str, int]])
    assert_type(await enqueue(count, "text"), JobRef[int])
    assert_type(await (await enqueue(count, "text")).result(), int)
    assert_type(await enqueue(index, [1, 2]), JobRef[None])
    assert_type(await enqueue(nothing), JobRef[None])
    assert_type(await enqueue(every, 1, 2, three="3"), JobRef[list[int]])
    assert_type(await enqueue(every, *[1, 2], **WORDS), JobRef[list[int]])
    assert_type(await enqueue(relay, {"a": 1}, ["b", 2]), JobRef[Any])
    assert_type(await client.enqueue(send, "ann@example.com"), JobRef[dict[str, int]])
    assert_type(await client.enqueue(count, text="text"), JobRef[int])


async def options_keep_the_types(client: Client) -> None:
    assert_type(await enqueue(send.opts(delay="5m", queue="low"), "ann@example.com"), JobRef[dict[str, int]])
    assert_type(await enqueue(count.opts(unique_for=timedelta(hours=1)), "text"), JobRef[int])
    assert_type(await client.enqueue(count.opts(retries=0), "text"), JobRef[int])
    assert_type(count.opts(retries=0).job("text"), JobRequest[int])


async def jobs_keep_the_types(client: Client) -> None:
    job = send.job("ann@example.com", copies=2)
    assert_type(job, JobRequest[dict[str, int]])
    assert_type(await enqueue(job), JobRef[dict[str, int]])
    assert_type(await client.enqueue(count.job("text")), JobRef[int])


async def many_keep_the_types(client: Client, texts: list[str]) -> None:
    async def later() -> AsyncIterator[JobRequest[int]]:
        yield count.job("text")

    assert_type(await enqueue_many([count.job("a"), count.job("b")]), list[JobRef[int]])
    assert_type(await enqueue_many(count.job(text) for text in texts), list[JobRef[int]])
    assert_type(await enqueue_many(later()), list[JobRef[int]])
    assert_type(await client.enqueue_many([count.opts(delay="5m").job(text) for text in texts]), list[JobRef[int]])
    assert_type(await client.enqueue_many(later()), list[JobRef[int]])
    for ref in await enqueue_many([send.job("ann@example.com"), count.job("text")]):
        assert_type(ref.id, str)


async def a_job_enqueues_others(ctx: Context, plain: PlainContext) -> None:
    assert_type(await ctx.enqueue(send, "ann@example.com"), JobRef[dict[str, int]])
    assert_type(await ctx.enqueue(count.job("text")), JobRef[int])
    ref = plain.enqueue(count.opts(delay="5m"), "text")
    assert_type(ref, JobRef[int])
    assert_type(plain.wait(ref.result()), int)


async def by_name_anything_goes(client: Client, ctx: Context, plain: PlainContext, name: str) -> None:
    anything: dict[str, Any] = {"to": "ann@example.com", "_queue": "low"}
    assert_type(await enqueue("mail:send", "ann@example.com", copies=2, _delay="5m"), JobRef[Any])
    assert_type(await enqueue(name), JobRef[Any])
    assert_type(await enqueue(f"mail:{name}", **anything), JobRef[Any])
    assert_type(await enqueue(Names.SEND, None), JobRef[Any])
    assert_type(await client.enqueue(name, *["ann@example.com"]), JobRef[Any])
    assert_type(await ctx.enqueue(name, 7), JobRef[Any])
    assert_type(plain.enqueue(name, 7), JobRef[Any])
    assert_type(client.job("welcome-42"), JobRef[Any])


async def tasks_are_called_directly(ctx: Context, plain: PlainContext) -> None:
    assert_type(await send(ctx, "ann@example.com", copies=2), dict[str, int])
    assert_type(count(plain, "text"), int)


async def later(client: Client, given: Task[P, T], *args: P.args, **kwargs: P.kwargs) -> JobRef[T]:
    await enqueue(given.job(*args, **kwargs))
    await client.enqueue(given, *args, **kwargs)
    return await enqueue(given.opts(delay="5m"), *args, **kwargs)


async def tasks_are_passed_on(client: Client) -> None:
    assert_type(await later(client, send, "ann@example.com", copies=2), JobRef[dict[str, int]])
    assert_type(await later(client, count, text="text"), JobRef[int])
    for each in (send, relay):
        assert_type(each.name, str)


async def twice(call: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> tuple[T, T]:
    return await call(*args, **kwargs), await call(*args, **kwargs)


async def references_are_passed_on(ref: JobRef[int]) -> None:
    async def shown(ref: JobRef[object]) -> str:
        return str(await ref.result())

    assert_type(await twice(shown, ref), tuple[str, str])


def dependencies_are_typed() -> None:
    assert_type(settings, Dependency[Settings])
    assert_type(mailer, Dependency[Mailer])


async def tests_are_typed(ctx: Context) -> None:
    assert_type(await run(send, "ann@example.com", copies=2), dict[str, int])
    assert_type(await run.given(attempt=2)(count, "text"), int)
    with capture() as jobs:
        await service(ctx)
        assert_type(await jobs.only(count).run(), int)
        assert jobs == [count.job("text")]
        assert jobs[0] == count.job("text")


async def service(ctx: Context) -> None:
    await ctx.enqueue(count, "text")


@task(
    "cache:warm", cron=[cron.daily_at(10, 30), cron(every="1h30m", name="often", overlap="queue", args={"full": True})]
)
async def warm(ctx: Context, *, full: bool = False) -> str | None:
    return ctx.schedule if full and ctx.due_at else None


nightly = cron("0 3 * * *", task=warm, name="nightly", holidays=lambda at: at.day == 25)
assert_type(nightly, cron)


class Attendance(BaseScheduledJob):
    job_id = "attendance"
    interval_seconds = 3600
    max_retries = 3
    missed = "all"

    async def execute(self) -> dict[str, Any]:
        async with db_context() as db:
            await db.execute("SELECT 1")
        return {"success": True}
