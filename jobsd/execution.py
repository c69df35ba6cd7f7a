"""One run of a job as the ledger knows it, from the worker that writes it to the row that keeps it.

In the record stream an execution is the JSON array of its fields, in this order. The record of a *lost*
run is made by a Lua script, which cannot read every payload: it is the JSON array of LostRun's fields,
a newline, and the job's payload as it was stored.
"""

from __future__ import annotations

from typing import Any, NamedTuple

LOST_MARK = "lost"  # the first element of a lost run's array; no job id is followed by fewer fields


class Execution(NamedTuple):
    """Instants are epoch ms of the Redis server's clock; ``args`` is {"args": [...], "kwargs": {...}}."""

    job_id: str
    incarnation: str | None
    task: str
    queue: str
    attempt: int
    outcome: str
    transition: str
    enqueued_at: int | None
    scheduled_for: int | None
    started_at: int
    finished_at: int
    worker: str
    message: str | None = None
    error_type: str | None = None
    error_trace: str | None = None
    args: Any = None
    result_data: Any = None
    schedule_id: str | None = None
    batch_id: str | None = None
    trace_id: str | None = None


class LostRun(NamedTuple):
    """What recover.lua knows of a run whose worker fell silent."""

    mark: str
    job_id: str
    queue: str
    attempt: int
    scheduled_for: int
    started_at: int
    finished_at: int
    worker: str
    transition: str
    message: str
