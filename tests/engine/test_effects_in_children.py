"""ctx.transaction() and steps in child processes, which may die at any moment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.engine import effect_tasks
from tests.engine.hall import BASE, expire, side_of
from tests.engine.nursery import setup_of
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.engine.worker import Worker

TASKS = [found for found in vars(effect_tasks).values() if hasattr(found, "executor")]


@pytest.fixture
def open_parent(hall, redis_url, ledger_of_effects, db) -> Callable[..., Worker]:
    """Return a function that starts a worker with children, whose tasks write where ``db`` leads."""
    setup = setup_of(redis_url, database_url=ledger_of_effects, tasks=effect_tasks.__name__)
    return lambda **options: hall.open(*TASKS, child=setup, db=db, records=True, children=1, **options)


async def seats(db) -> list[int]:
    return [row["attempt"] for row in await db.fetch("SELECT attempt FROM seats ORDER BY attempt")]


@pytest.mark.parametrize(
    ("task", "result", "told"),
    [
        (effect_tasks.die, "12A", "LostError: lost: the process ended with SIGKILL"),
        (effect_tasks.spin, "12A", "TimeoutError: timed out after 3600 s"),
        (effect_tasks.fail, ["12A", 1], "LookupError: no paper"),
    ],
    ids=["killed", "timed out", "failed"],
)
async def test_what_a_child_has_committed_stands_whatever_becomes_of_it(hall, db, open_parent, task, result, told):
    worker = open_parent(max_losses=1)
    reference = await hall.client.enqueue(task)
    await until(lambda: seats(db))
    if task is effect_tasks.spin:
        expire(worker)
    assert await hall.result(reference) == result
    assert await seats(db) == [1]
    [execution] = await hall.executions(1)
    assert (execution.outcome, execution.attempt) == ("succeeded", 1)
    assert execution.message.startswith(f"its effect is committed; afterwards {told}")


async def test_a_child_that_is_killed_does_not_take_its_steps_again(hall, db, open_parent):
    open_parent()
    reference = await hall.client.enqueue(effect_tasks.steps)
    key, seat = await hall.result(reference)
    assert (key.startswith(reference.id), seat) == (True, "12A")
    assert await seats(db) == [1]


async def test_in_quarantine_a_job_that_may_be_done_is_asked_for_first_and_else_commits(hall, db, open_parent):
    reference = await hall.client.enqueue(effect_tasks.quarantined)
    await hall.redis.hset(f"{BASE}:side", reference.id, json.dumps({"n": 1, "l": 1}))
    open_parent()
    assert await hall.result(reference) == 2
    assert await seats(db) == [2]


async def test_in_quarantine_a_job_that_comes_to_its_block_while_postgres_is_away_is_in_doubt(hall, redis_url, wired):
    wire, pool = wired
    wire.shut = True
    reference = await hall.client.enqueue(effect_tasks.quarantined)
    await hall.redis.hset(f"{BASE}:side", reference.id, json.dumps({"n": 1, "l": 1}))
    setup = setup_of(redis_url, database_url=wire.url, tasks=effect_tasks.__name__)
    worker = hall.open(effect_tasks.quarantined, child=setup, db=pool, children=1, retries=0)
    await until(lambda: worker.ended["R"] and worker.finisher.accepted)
    side = await side_of(hall, reference.id)
    assert (side["d"], side["n"], side.get("f"), side["e"][0]) == (1, 2, None, "InDoubtError")
