"""One run of a job as the ledger knows it, from the worker that writes it to the row that keeps it.

In the record stream an execution is the JSON array of its fields, in this order; what is null at its end may be left
out. The record of a run that was *lost*, or *cancelled* before it began, is made by a Lua script, which cannot read
every payload: it is the JSON array of UntoldRun's fields, a newline, and the job's payload as it was stored. Of a job
of the outbox that is not recorded the end is told: the JSON array of JobEnd's fields, and a newline.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

OutcomeName: TypeAlias = Literal[
    "succeeded", "failed", "timed_out", "snoozed", "dropped", "cancelled", "interrupted", "lost", "expired"
]
"""How a run ended, as the ledger says it."""

LEDGER_LIMIT = 64 * 1024
"""Bytes of JSON of arguments, or of a result, that the ledger keeps whole."""
RESULT_LIMIT = 256 * 1024
"""Bytes of JSON of a result, of a job or of one of its steps, that are kept for those who ask for it."""

LOST_MARK, CANCELLED_MARK = "lost", "cancelled"
UNTOLD_MARKS = LOST_MARK, CANCELLED_MARK
"""The first element of such an array: the outcome. No job id is followed by fewer fields."""


ENDED_MARK = "ended"
ENDS: frozenset[str] = frozenset({"completed", "archived", "removed"})
"""Transitions after which a job does not run again by itself."""


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
    fingerprint: str | None = None
    """Of a failure: the same for failures of the same error at the same place."""
    altered: bool = False
    """Postgres would not take some of its text as it was, and has it in another form. Never so in the stream."""


class UntoldRun(NamedTuple):
    """What a script knows of a run that no worker tells of; ``worker`` is empty where it never began."""

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


class JobEnd(NamedTuple):
    """That a job of the outbox has ended."""

    mark: str
    job_id: str
    incarnation: str
