"""The tasks of the run ``schedules``. Each tells when it began and was done, by a clock that no skew reaches."""

from __future__ import annotations

import asyncio
import os
from time import monotonic

from jobsd import Context, fixed, task
from jobsd.clock import ms_from_datetime

# One short write at the end of a file is whole, whoever else writes, and survives the death of its process.
_told = os.open(os.environ["CHAOS_BEGUN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
_BEGUN = "INSERT INTO witness.begun (schedule, due, key) VALUES ($1, $2, $3)"
_EFFECT = "INSERT INTO witness.effects (schedule, due, key) VALUES ($1, $2, $3)"
_RETRIES, _BACKOFF = 1000, fixed("300ms")


def _facts(ctx: Context) -> tuple[str, int, str]:
    assert ctx.schedule is not None
    assert ctx.due_at is not None
    return ctx.schedule, ms_from_datetime(ctx.due_at), ctx.idempotency_key


def _tell(ctx: Context, what: str) -> None:
    schedule, due, key = _facts(ctx)
    os.write(_told, f"{what} {schedule} {due} {key} {monotonic():.4f}\n".encode())


async def _work(ctx: Context, slow_every_ms: int, slow_s: float) -> None:
    """Take long at some due times, always at the same ones."""
    if slow_every_ms and _facts(ctx)[1] % slow_every_ms == 0:
        await asyncio.sleep(slow_s)


@task("book", retries=_RETRIES, backoff=_BACKOFF)
async def book(ctx: Context, slow_every_ms: int = 0, slow_s: float = 0.0) -> None:
    """Write a row on each run, and one that commits with the job."""
    _tell(ctx, "begun")
    await ctx.db.execute(_BEGUN, *_facts(ctx))
    await _work(ctx, slow_every_ms, slow_s)
    async with ctx.transaction() as conn:
        await conn.execute(_EFFECT, *_facts(ctx))
        _tell(ctx, "done")


@task("only_tell", retries=_RETRIES, backoff=_BACKOFF)
async def only_tell(ctx: Context, slow_every_ms: int = 0, slow_s: float = 0.0) -> None:
    """Where there is no Postgres."""
    _tell(ctx, "begun")
    await _work(ctx, slow_every_ms, slow_s)
    _tell(ctx, "done")
