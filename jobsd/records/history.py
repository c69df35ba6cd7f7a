"""What happened, read back: pages of executions, newest first, and a summary for each task."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json

from jobsd.records.queries import query

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.records.pool import Pool

_MOST_DIGITS = 4_300  # Python makes no integer of more


@dataclass(frozen=True, slots=True, kw_only=True)
class PastExecution:
    """A row of ``executions``."""

    id: int
    job_id: str
    incarnation: str | None
    task: str
    queue: str
    attempt: int
    outcome: str
    transition: str
    success: bool
    enqueued_at: datetime | None
    scheduled_for: datetime | None
    started_at: datetime
    finished_at: datetime
    duration_s: float
    message: str | None
    error_type: str | None
    error_trace: str | None
    args: Any
    result_data: Any
    worker: str
    schedule_id: str | None
    batch_id: str | None
    trace_id: str | None
    created_at: datetime
    updated_at: datetime


class Place(NamedTuple):
    """Where in the history a page ended."""

    started_at: datetime
    id: int


class Page(NamedTuple):
    """``more`` is what to ask for next; None: this was the oldest page."""

    executions: list[PastExecution]
    more: Place | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary:
    """``runs`` are attempts; ``retries`` those that led to another try, ``failures`` those that failed or timed out.

    The middle and the 95th of 100 durations are None where no attempt has ended by itself.
    """

    task: str
    runs: int
    succeeded: int
    retries: int
    failures: int
    p50_s: float | None
    p95_s: float | None


async def page(
    pool: Pool,
    *,
    job_id: str | None = None,
    task: str | None = None,
    outcome: str | None = None,
    after: Place | None = None,
    limit: int = 50,
) -> Page:
    """Return the newest executions that fit, or those that follow on ``after``. ``limit`` is at least 1."""
    place = after or (None, None)
    # One row more than asked for tells whether there is a page after this one.
    rows = await pool.fetch(query("executions_page"), job_id, task, outcome, *place, limit + 1)
    executions = [_execution(row) for row in rows[:limit]]
    return Page(executions, Place(executions[-1].started_at, executions[-1].id) if len(rows) > limit else None)


async def summary(pool: Pool, since: datetime) -> list[TaskSummary]:
    """Return what became of the attempts that started at ``since`` or later, for each task by name."""
    return [TaskSummary(**row) for row in await pool.fetch(query("summary"), since)]


def _execution(row: Any) -> PastExecution:
    fields = dict(row)
    for name in ("args", "result_data"):
        fields[name] = None if fields[name] is None else _loads(fields[name])
    return PastExecution(**fields)


def _loads(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError:
        # Postgres keeps numbers of any size and writes them out in full.
        return json.loads(text, parse_int=_number)


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)
