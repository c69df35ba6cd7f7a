"""What is kept of a run: its result, its record; and what it was handed, its context."""

from __future__ import annotations

import asyncio
import contextvars
from datetime import UTC, datetime
from typing import Any

import pytest

from jobsd import Drop, Snooze, fixed
from jobsd.engine.endings import RESULT_LIMIT
from tests.engine.hall import a_task, said

# --- results --------------------------------------------------------------------------------------


async def test_a_result_that_is_not_json_is_replaced_by_its_repr_with_one_warning(hall, caplog) -> None:
    class Odd:
        def __repr__(self) -> str:
            return "<odd>"

    async def returns(ctx) -> Odd:
        return Odd()

    hall.open(returns)
    for _ in range(3):
        found = await hall.result(await hall.client.enqueue("returns"))
        assert found["repr"] == "<odd>"
        assert found["replaced"].startswith("it is not JSON")
    assert len(said(caplog, "result.replaced")) == 1


async def test_a_result_that_contains_itself_or_has_no_repr_does_not_fail_the_job(hall) -> None:
    class Speechless:
        def __repr__(self) -> str:
            raise RuntimeError

    async def returns(ctx, what: str) -> Any:
        circle: list[Any] = []
        circle.append(circle)
        return {"circle": circle, "speechless": Speechless(), "surrogate": "caf\udce9"}[what]

    hall.open(returns)
    assert (await hall.result(await hall.client.enqueue("returns", "circle")))["repr"] == "[[...]]"
    assert "no repr" in (await hall.result(await hall.client.enqueue("returns", "speechless")))["repr"]
    assert "caf" in (await hall.result(await hall.client.enqueue("returns", "surrogate")))["repr"]


async def test_a_result_over_256_kib_is_replaced(hall) -> None:
    async def returns(ctx, size: int) -> str:
        return "x" * size

    hall.open(returns)
    found = await hall.result(await hall.client.enqueue("returns", RESULT_LIMIT + 1))
    assert "the limit is 262,144" in found["replaced"]
    assert len(await hall.result(await hall.client.enqueue("returns", 200_000))) == 200_000


# --- the context ----------------------------------------------------------------------------------


async def test_the_context_is_arqs_dictionary_with_attributes(hall) -> None:
    contexts = []

    async def looks(ctx) -> None:
        contexts.append(ctx)

    hall.open(looks)
    before = datetime.now(UTC)
    reference = await hall.client.enqueue("looks")
    await hall.result(reference)
    (ctx,) = contexts
    assert isinstance(ctx, dict)
    assert (ctx["job_id"], ctx["job_try"], ctx["colour"]) == (reference.id, 1, "blue")
    assert (ctx.job_id, ctx.attempt, ctx.queue, ctx.task) == (reference.id, 1, "default", "looks")
    assert abs((ctx["enqueue_time"] - before).total_seconds()) < 60
    assert abs(ctx["score"] - before.timestamp() * 1000) < 60_000
    assert ctx.token.endswith(f":1:{ctx['score']}")
    with pytest.raises(KeyError, match="nothing"):
        ctx["nothing"]


async def test_what_a_job_leaves_in_its_context_no_other_job_sees(hall) -> None:
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="nobody's")

    async def leaves(ctx) -> tuple[str, bool]:
        found = mine.get(), "left" in ctx
        mine.set("somebody's")
        ctx["left"] = True
        return found

    hall.open(leaves, concurrency=1)
    references = [await hall.client.enqueue("leaves") for _ in range(5)]
    assert [await hall.result(reference) for reference in references] == [["nobody's", False]] * 5


async def test_a_task_enqueues_another_job(hall) -> None:
    async def child(ctx, n: int) -> int:
        return n + 1

    async def parent(ctx) -> str:
        return (await ctx.enqueue("child", 1)).id

    hall.open(parent, child)
    child_id = await hall.result(await hall.client.enqueue("parent"))
    assert await hall.result(hall.client.job(child_id)) == 2


async def test_progress_can_be_read_while_the_job_runs(hall) -> None:
    told, go = asyncio.Event(), asyncio.Event()

    async def tells(ctx) -> None:
        await ctx.progress(3, 10)
        await ctx.progress(4, 10)  # too soon after the first to be written
        told.set()
        await go.wait()

    hall.open(tells)
    reference = await hall.client.enqueue("tells")
    await told.wait()
    assert await reference.progress() == (3, 10)
    go.set()
    await hall.result(reference)
    assert await reference.progress() is None


# --- records --------------------------------------------------------------------------------------


async def test_every_attempt_has_one_record_whatever_its_end(hall) -> None:
    async def ends(ctx, how: str) -> str:
        match how:
            case "succeeds":
                return "fine"
            case "snoozes" if ctx.attempt == 1:
                raise Snooze("0s")
            case "drops":
                raise Drop("enough")
            case "fails":
                raise ValueError("no")
            case _:
                return how

    hall.open(a_task(ends, retries=1, backoff=fixed("0s")), records=True)
    ways = ("succeeds", "snoozes", "drops", "fails")
    references = {how: await hall.client.enqueue("ends", how=how) for how in ways}
    await hall.client.enqueue("ends", how=5)
    runs = await hall.executions(7)
    found = {(run.args["kwargs"]["how"], run.attempt): (run.outcome, run.transition) for run in runs}
    assert found == {
        ("succeeds", 1): ("succeeded", "completed"),
        ("snoozes", 1): ("snoozed", "scheduled"),
        ("snoozes", 2): ("succeeded", "completed"),
        ("drops", 1): ("dropped", "removed"),
        ("fails", 1): ("failed", "retry"),
        ("fails", 2): ("failed", "archived"),
        (5, 1): ("failed", "archived"),
    }
    for run in runs:
        assert (run.task, run.queue) == ("ends", "default")
        assert run.enqueued_at <= run.started_at + 1000
        assert run.started_at <= run.finished_at
        assert run.incarnation
    (success,) = [run for run in runs if run.job_id == references["succeeds"].id]
    assert success.result_data == "fine"
    assert (success.error_type, success.message, success.error_trace) == (None, None, None)
