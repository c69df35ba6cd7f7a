"""The tasks that the acceptance tests run in real daemons. Each says what it does to a list in Redis, or to a file.

The files lie in the daemon's working directory, which is the test's own: ``told``, and the gates that the test opens.
They are there also while Redis is away, and for code that blocks.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from jobsd import Context, PlainContext, fixed, task

_begun: set[str] = set()
_all_begun = asyncio.Event()


async def say(ctx: Context, what: str) -> None:
    await ctx.redis.rpush("said", f"{ctx.job_id} {ctx.attempt} {what}")


def tell(ctx: Context, what: str) -> None:
    with Path("told").open("a") as told:
        told.write(f"{ctx.job_id} {ctx.attempt} {what} {time.time()}\n")


def is_open(gate: str) -> bool:
    return Path(gate).exists()


async def passed(gate: str, look_every_s: float = 0.02) -> None:
    while not is_open(gate):
        await asyncio.sleep(look_every_s)


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


@task("tell_due")
async def tell_due(ctx: Context) -> None:
    assert ctx.due_at is not None
    tell(ctx, ctx.due_at.isoformat())


@task("noop")
async def noop(ctx: Context, n: int) -> int:
    return n


@task("short")
async def short(ctx: Context, n: int) -> int:
    await asyncio.sleep(0.01)
    return n


@task("charges", resources="stripe")
async def charges(ctx: Context, n: int) -> int:
    return n


@task("tell_start")
async def tell_start(ctx: Context, n: int) -> int:
    """Say when it was claimed, by the server's clock: the mark of its lease has it."""
    await ctx.redis.rpush("starts", ctx.token.split(":")[3])
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


@task("endure", timeout="10m")
async def endure(ctx: Context, gate: str) -> str:
    """Run until a gate is open, be Redis there or not; a thousand of these must not busy the machine."""
    tell(ctx, "started")
    await passed(gate, look_every_s=0.25)
    tell(ctx, "ended")
    return "endured"


@task("stopped_in_its_tracks", timeout="5m", retries=0)
async def stopped_in_its_tracks(ctx: Context, of: int) -> int:
    """End, all ``of`` them, in the first moment after the stop, before the worker can learn what it has lost."""
    tell(ctx, "started")
    if ctx.attempt > 1:
        await passed("second")
        return ctx.attempt
    _begun.add(ctx.job_id)
    if len(_begun) == of:
        _all_begun.set()
    await _all_begun.wait()
    while not is_open("first"):
        time.sleep(0.01)  # noqa: ASYNC251 - nothing else of this process may run before it is over
    tell(ctx, "ended")
    return ctx.attempt


@task("sleeps_without_yielding", timeout="90s")
async def sleeps_without_yielding(ctx: Context, seconds: float) -> str:
    tell(ctx, "started")
    time.sleep(seconds)  # noqa: ASYNC251 - the mistake that the test is about
    tell(ctx, "ended")
    return "slept"


@task("ignores_its_cancellation", timeout="500ms", retries=1, backoff=fixed("0s"))
async def ignores_its_cancellation(ctx: Context) -> str:
    tell(ctx, "started")
    while ctx.attempt == 1 and not is_open("gate"):
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            tell(ctx, "cancelled")
    tell(ctx, "ended")
    return "done"


@task("blocks_in_a_thread", timeout="10m")
def blocks_in_a_thread(ctx: PlainContext) -> None:
    ctx.wait(ctx.redis.rpush("said", f"{ctx.job_id} {ctx.attempt} started"))
    time.sleep(600)


@task("innocent", timeout="5m")
async def innocent(ctx: Context, n: int) -> int:
    """Wait at first, so that all are there when their worker dies; then end at once."""
    tell(ctx, "started")
    if ctx.attempt == 1:
        await passed("never")
    tell(ctx, "ended")
    return n


@task("bomb", timeout="5m")
async def bomb(ctx: Context) -> None:
    """Take all the memory that there is, and wait for more."""
    tell(ctx, "started")
    held: list[bytearray] = []
    while True:
        held.append(bytearray(4_000_000))
        await asyncio.sleep(0)
