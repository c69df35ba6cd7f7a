"""The tasks of the run ``effects``: each has one effect, a row in a table without any key, and tells that it began.

The table is the witness. It is not jobsd's, and takes the same row as often as it comes.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Any

from jobsd import Context, PlainContext, fixed, task
from tests.chaos.halting import halt
from tests.chaos.ways import WAYS

# One short write at the end of a file is whole, whoever else writes, and survives the death of its process.
_begun = os.open(os.environ["CHAOS_BEGUN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
_EFFECT = "INSERT INTO witness.effects (n, way, key, token) VALUES ($1, $2, $3, $4)"
_INSIDE_S = 0.02
_AFTER_S = 0.3
_OVER_A_LEASE_S = 4.0
_RETRIES, _BACKOFF = 1000, fixed("300ms")


class WeatherError(Exception):
    """What jobs fail with that are meant to."""


def _tell(ctx: Context | PlainContext, n: int) -> None:
    os.write(_begun, f"{n} {ctx.idempotency_key} {ctx.attempt}\n".encode())


def _effect(ctx: Context | PlainContext, n: int, way: str) -> tuple[Any, ...]:
    return _EFFECT, n, way, ctx.idempotency_key, ctx.token


@task("book", retries=_RETRIES, backoff=_BACKOFF)
async def book(ctx: Context, n: int, way: str) -> dict[str, int]:
    _tell(ctx, n)
    async with ctx.transaction() as conn:
        await conn.execute(*_effect(ctx, n, way))
        await asyncio.sleep(_OVER_A_LEASE_S if way == "slow" else random.uniform(0, _INSIDE_S))
        if way == "failing" and ctx.attempt == 1:
            raise WeatherError
        if way in WAYS and WAYS[way].keeps:
            ctx.set_result({"n": n})
        if way in WAYS and WAYS[way].leads:
            await ctx.enqueue(book.opts(conn=conn), -n, "following")
        halt("inside", ctx.idempotency_key)
    halt("committed", ctx.idempotency_key)
    if way == "lingering":
        await asyncio.sleep(_AFTER_S)
    if way in {"kept", "raised"}:
        raise WeatherError
    return {"n": n}


@task("book_in_a_thread", retries=_RETRIES, backoff=_BACKOFF)
def book_in_a_thread(ctx: PlainContext, n: int, way: str) -> None:
    _tell(ctx, n)
    with ctx.transaction() as conn:
        conn.execute(*_effect(ctx, n, way))
        time.sleep(random.uniform(0, _INSIDE_S))


@task("book_in_a_child", retries=_RETRIES, backoff=_BACKOFF, executor="process")
async def book_in_a_child(ctx: Context, n: int, way: str) -> None:
    _tell(ctx, n)
    async with ctx.transaction() as conn:
        await conn.execute(*_effect(ctx, n, way))
        await asyncio.sleep(random.uniform(0, _INSIDE_S))


@task("book_by_steps", retries=_RETRIES, backoff=_BACKOFF)
async def book_by_steps(ctx: Context, n: int, way: str) -> None:
    _tell(ctx, n)
    doubled = await ctx.step("double", lambda: n * 2)
    await ctx.step_transaction("book", _book_in_a_step, ctx, doubled // 2, way)
    await ctx.sleep("300ms")
    if ctx.attempt == 1:
        raise WeatherError


async def _book_in_a_step(conn: Any, ctx: Context, n: int, way: str) -> None:
    await conn.execute(*_effect(ctx, n, way))
    await asyncio.sleep(random.uniform(0, _INSIDE_S))
    halt("inside", ctx.idempotency_key)


@task("book_bare", retries=_RETRIES, backoff=_BACKOFF)
async def book_bare(ctx: Context, n: int, way: str) -> None:
    _tell(ctx, n)
    await ctx.db.execute(*_effect(ctx, n, way))
