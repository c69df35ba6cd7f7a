"""Declarations that are wrong. ``# E: "thread"``: both type checkers report this line, at ``"thread"``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from jobsd import Context, JobRef, JobRequest, PlainContext, around_enqueue, around_run, dependency, task


@task("a:task", executor="thread")  # E: "thread"
async def in_a_thread(ctx: Context) -> None: ...


@task("a:task", tiemout="30s")  # E: tiemout="30s"
async def misspelt(ctx: Context) -> None: ...


@task("a:task", timeout=30)  # E: 30
async def timeout_without_unit(ctx: Context) -> None: ...


@task("a:task", retries="3")  # E: "3"
async def retries_in_words(ctx: Context) -> None: ...


@task("a:task", memory=512)  # E: 512
def memory_without_unit(ctx: PlainContext) -> None: ...


@task("a:task", backoff="2s")  # E: "2s"
async def backoff_without_curve(ctx: Context) -> None: ...


@task("a:task", retry_on=["OSError"])  # E: "OSError"
async def errors_in_words(ctx: Context) -> None: ...


@task("a:task", delay="5m")  # E: delay="5m"
async def option_of_a_call(ctx: Context) -> None: ...


@task  # E: task
async def without_parentheses(ctx: Context) -> None: ...


@task("no:context")  # E: task("no:context")
async def without_context() -> None: ...


@task("an:argument")  # E: task("an:argument")
async def an_argument_first(to: str) -> None: ...


@task("a:plain")  # E: task("a:plain")
def plain_with_a_context(ctx: Context, to: str) -> None: ...


@around_run  # E: around_run
async def runs_nothing(ctx: Context) -> Any: ...


@around_run  # E: around_run
async def hands_on_the_context(ctx: Context, call_next: Callable[[Context], Awaitable[Any]]) -> Any: ...


@around_run  # E: around_run
def runs_plainly(ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> int:
    return 1


@around_enqueue  # E: around_enqueue
async def returns_the_id(
    request: JobRequest[Any], call_next: Callable[[JobRequest[Any]], Awaitable[JobRef[Any]]]
) -> str:
    return (await call_next(request)).id


@dependency  # E: dependency
async def returned() -> int:
    return 1


@dependency  # E: dependency
async def with_a_context(ctx: Context) -> AsyncIterator[int]:
    yield 1
