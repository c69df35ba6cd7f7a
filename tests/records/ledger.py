"""Executions as examples, and a ledger to put them in."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobsd.execution import Execution
from jobsd.records.migrate import migrate
from jobsd.records.pool import Pool, open_pool
from jobsd.records.writing import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)

USUAL = Execution(
    job_id="job-1",
    incarnation="a",
    task="email:send",
    queue="default",
    attempt=1,
    outcome="succeeded",
    transition="completed",
    enqueued_at=NOON_MS - 2000,
    scheduled_for=NOON_MS - 1000,
    started_at=NOON_MS,
    finished_at=NOON_MS + 1234,
    worker="host-1",
    args={"args": ["a@example.com"], "kwargs": {"subject": "Hi"}},
    result_data={"sent": True},
)


def an_execution(**facts: Any) -> Execution:
    return USUAL._replace(**facts)


def a_record(**facts: Any) -> Record:
    execution = an_execution(**facts)
    return Record(execution, json.dumps(execution).encode())


@asynccontextmanager
async def a_ledger(url: str) -> AsyncIterator[Pool]:
    """Return a pool on a database whose schema is up to date."""
    pool = await open_pool(url)
    try:
        await migrate(pool)
        yield pool
    finally:
        await pool.close()


async def rows(pool: Pool) -> list[dict[str, Any]]:
    return [
        dict(row) for row in await pool.fetch("SELECT * FROM jobsd.executions ORDER BY job_id, attempt, started_at")
    ]
