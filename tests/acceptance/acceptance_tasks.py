"""The tasks that the acceptance tests run in real daemons. Each says what it does to a list in Redis."""

from __future__ import annotations

import asyncio

from jobsd import Context, fixed, task


async def say(ctx: Context, what: str) -> None:
    await ctx.redis.rpush("said", f"{ctx.job_id} {ctx.attempt} {what}")


@task("add")
async def add(ctx: Context, a: int, b: int) -> int:
    return a + b


@task("wait_for_go", timeout="5m")
async def wait_for_go(ctx: Context, key: str = "go") -> str:
    """Run until the test says go: an event, however slow the machine."""
    await say(ctx, "started")
    while not await ctx.redis.exists(key):
        await asyncio.sleep(0.02)
    await say(ctx, "ended")
    return "done"


@task("noop")
async def noop(ctx: Context, n: int) -> int:
    return n


@task("short")
async def short(ctx: Context, n: int) -> int:
    await asyncio.sleep(0.01)
    return n


@task("fails_twice", backoff=fixed("100ms"))
async def fails_twice(ctx: Context) -> int:
    if ctx.attempt < 3:
        msg = "not yet"
        raise ValueError(msg)
    return ctx.attempt


@task("always_fails", retries=2, backoff=fixed("50ms"))
async def always_fails(ctx: Context) -> None:
    msg = "no luck"
    raise RuntimeError(msg)
