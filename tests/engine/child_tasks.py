"""Tasks that a child process can import: it finds them by this module's name."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import datetime  # noqa: TC003 - a worker reads the annotation

from pydantic import SecretStr

from jobsd import Context, PlainContext, Retry, task

MB = 1_000_000


@task("child:square", executor="process")
def square(ctx: PlainContext, n: int) -> dict[str, int]:
    return {"square": n * n, "pid": os.getpid(), "attempt": ctx.attempt}


@task("child:async", executor="process")
async def in_its_loop(ctx: Context, at: datetime) -> str:
    await ctx.redis.set("seen:in_its_loop", at.isoformat())
    return f"{type(at).__name__} in {os.getpid()}"


@task("child:spin", executor="process", timeout="300ms", retries=0)
def spin(ctx: PlainContext) -> None:
    ctx.wait(ctx.redis.set("seen:spin", os.getpid()))
    while True:
        pass


@task("child:spin_in_its_loop", executor="process", timeout="300ms", retries=0)
async def spin_in_its_loop(ctx: Context) -> None:
    await ctx.redis.set("seen:spin", os.getpid())
    while True:
        pass


@task("child:sleep", executor="process")
def sleep(ctx: PlainContext, seconds: float) -> int:
    ctx.wait(ctx.redis.incr("seen:sleep"))
    time.sleep(seconds)
    return os.getpid()


@task("child:wait_for_go", executor="process")
async def wait_for_go(ctx: Context) -> None:
    await ctx.redis.incr("seen:wait_for_go")
    while not await ctx.redis.exists("go"):
        await asyncio.sleep(0.01)


@task("child:fail", executor="process", retries=1)
def fail(ctx: PlainContext) -> None:
    if ctx.attempt == 1:
        raise Retry("0s")
    raise LookupError("no such row")


@task("child:secrets", executor="process")
def secrets(ctx: PlainContext, key: SecretStr):
    return {"key": key, "again": [SecretStr(key.get_secret_value() * 2)], "n": 1}


@task("child:odd", executor="process")
def odd(ctx: PlainContext) -> object:
    return object()


@task("child:die", executor="process")
def die(ctx: PlainContext) -> None:
    ctx.wait(ctx.redis.incr("seen:die"))
    os.kill(os.getpid(), signal.SIGSEGV)


@task("child:fork_and_die", executor="process")
def fork_and_die(ctx: PlainContext) -> None:
    """Leave a process behind that holds everything open."""
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    os.abort()


@task("child:nest", executor="process")
def nest(ctx: PlainContext, depth: int) -> object:
    nested: object = 1
    for _ in range(depth):
        nested = [nested]
    return nested


@task("child:big_number", executor="process")
def big_number(ctx: PlainContext) -> int:
    return 10**5000


@task("child:die_soon", executor="process")
def die_soon(ctx: PlainContext) -> None:
    ctx.wait(ctx.redis.incr("seen:die_soon"))
    time.sleep(0.1)
    os.abort()


@task("child:allocate", executor="process", memory="64MB", retries=0)
def allocate(ctx: PlainContext, megabytes: int) -> int:
    return len(bytearray(megabytes * MB))


@task("child:tell", executor="process")
def tell(ctx: PlainContext) -> str:
    ctx.progress(3, 4)
    ctx.log.info("told.by_child", colour="green")
    other = ctx.enqueue(square, 5)
    return other.id


@task("suspect:bomb")
async def bomb(ctx: Context) -> None:
    await ctx.redis.incr("seen:bomb")
    held = []
    while True:
        held.append(bytearray(MB))


@task("suspect:innocent")
async def innocent(ctx: Context) -> int:
    await ctx.redis.rpush("seen:innocent", ctx.job_id)
    return os.getpid()


@task("suspect:meets")
async def meets(ctx: Context, of: int) -> int:
    """End when so many are there."""
    await ctx.redis.incr("seen:meets")
    while int(await ctx.redis.get("seen:meets")) < of:
        await asyncio.sleep(0.01)
    return os.getpid()


@task("suspect:lingers")
async def lingers(ctx: Context) -> None:
    """End only where it has been once before."""
    await ctx.redis.incr("seen:lingers")
    if ctx.attempt == 2:
        await asyncio.sleep(3600)


@task("suspect:waits_for_go")
async def waits_for_go(ctx: Context) -> int:
    await ctx.redis.incr("seen:waits")
    while not await ctx.redis.exists("go"):
        await asyncio.sleep(0.01)
    return os.getpid()


@task("suspect:resists")
async def resists(ctx: Context) -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


@task("suspect:fails_once")
async def fails_once(ctx: Context) -> int:
    if not await ctx.redis.incr("seen:fails_once") > 1:
        raise Retry("0s")
    return os.getpid()
