"""What has no place inside of a step's transaction, where it would wait for a second connection of the pool."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobsd.errors import JobFailedError
from tests.engine.hall import a_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from jobsd import PlainContext

INSIDE = "it is not for the inside of a function of ctx.step_transaction(), which may yet be rolled back: do it before"
INSIDE_STEP = "ctx.transaction() is not for the inside of a function of ctx.step_transaction()"


async def nothing(*_: object) -> None:
    pass


async def commits(ctx) -> None:
    async with ctx.transaction():
        pass


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda ctx: ctx.step("in", nothing), f"step 'in': {INSIDE}"),
        (lambda ctx: ctx.step_transaction("in", nothing), f"step 'in': {INSIDE}"),
        (lambda ctx: ctx.sleep("1h"), f"step 'sleep:1': {INSIDE}"),
        (commits, INSIDE_STEP),
        (lambda ctx: asyncio.wait_for(ctx.step("in", nothing), 5), f"step 'in': {INSIDE}"),
    ],
    ids=["step", "step_transaction", "sleep", "transaction", "in a task of its own"],
)
async def test_what_needs_a_second_connection_is_refused_inside_of_a_steps_transaction(hall, db, work, told):
    async def sell(ctx) -> None:
        await ctx.step_transaction("out", lambda _: work(ctx))

    hall.open(a_task(sell, retries=0), db=db)
    assert await failure(hall, "sell") == told


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda ctx: ctx.step("in", nothing), f"step 'in': {INSIDE}"),
        (lambda ctx: ctx.transaction().__enter__(), INSIDE_STEP),
    ],
    ids=["step", "transaction"],
)
async def test_in_a_thread_it_is_refused_as_well(hall, db, work: Callable[[PlainContext], Any], told):
    def sell(ctx: PlainContext) -> None:
        ctx.step_transaction("out", lambda _: work(ctx))

    hall.open(a_task(sell, retries=0), db=db)
    assert await failure(hall, "sell") == told


async def failure(hall, task: str) -> str:
    with pytest.raises(JobFailedError, match=r"^job ") as failed:
        await hall.result(await hall.client.enqueue(task))
    return failed.value.message


async def test_behind_it_and_beside_it_steps_are_steps_like_others(hall, db):
    met, inside = asyncio.Barrier(2), []

    async def reserve(conn, name: str) -> str:
        inside.append(name)
        await met.wait()  # both are in their transactions now
        return await conn.fetchval("SELECT upper($1)", name)

    async def sell(ctx) -> list[str]:
        found = await asyncio.gather(*(ctx.step_transaction(name, reserve, name) for name in "ab"))
        return [*found, await ctx.step("c", lambda: "C")]

    hall.open(sell, db=db)
    assert await hall.result(await hall.client.enqueue("sell")) == ["A", "B", "C"]
    assert sorted(inside) == ["a", "b"]
