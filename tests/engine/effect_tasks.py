"""Tasks that commit in a child process, which finds them by this module's name."""

from __future__ import annotations

import os
import signal

from jobsd import Context, PlainContext, task


async def take_seat(conn, attempt: int) -> str:
    await conn.execute("INSERT INTO seats VALUES ('12A', $1)", attempt)
    return "12A"


@task("effect:die", executor="process")
async def die(ctx: Context) -> None:
    async with ctx.transaction() as conn:
        ctx.set_result(await take_seat(conn, ctx.attempt))
    os.kill(os.getpid(), signal.SIGKILL)


@task("effect:spin", executor="process", timeout="1h", retries=0)
def spin(ctx: PlainContext) -> None:
    with ctx.transaction() as conn:
        ctx.set_result(ctx.wait(take_seat(conn.connection, ctx.attempt)))
    while True:
        pass


@task("effect:fail", executor="process")
def fail(ctx: PlainContext) -> None:
    with ctx.transaction() as conn:
        ctx.wait(take_seat(conn.connection, ctx.attempt))
        ctx.set_result(["12A", ctx.attempt])
    raise LookupError("no paper")


@task("effect:steps", executor="process")
def steps(ctx: PlainContext) -> list[str]:
    key = ctx.step("key", lambda: ctx.idempotency_key)
    seat = ctx.step_transaction("reserve", take_seat, ctx.attempt)
    if ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return [key, seat]


@task("effect:quarantined")
async def quarantined(ctx: Context) -> int:
    async with ctx.transaction() as conn:
        await take_seat(conn, ctx.attempt)
        ctx.set_result(ctx.attempt)
    raise LookupError("no paper")
