"""What the ledger's rows are in Python."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from jobsd.records.cleaning import loads

_MOST_ROWS = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class PastExecution:
    """A row of ``executions``. Instants are UTC; ``args`` is {"args": [...], "kwargs": {...}}, or how it was cut."""

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
    fingerprint: str | None
    altered: bool
    """Postgres refused some text as it was (a zero character, half of a surrogate pair, a NaN); this is another."""
    created_at: datetime
    updated_at: datetime


class Place(NamedTuple):
    """Where in the history a page ended."""

    started_at: datetime
    id: int

    def __str__(self) -> str:
        return f"{self.started_at.isoformat()},{self.id}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Return the place that was printed so. Raises ValueError."""
        started_at, _, number = text.partition(",")
        try:
            place = cls(datetime.fromisoformat(started_at), int(number))
        except ValueError:
            place = None
        if place is None or place.started_at.tzinfo is None or not 0 <= place.id < _MOST_ROWS:
            msg = f"{text!r} is no place in the history: give what the page before has printed"
            raise ValueError(msg)
        return place


class Page(NamedTuple):
    """``more`` is what to ask for next; None: this was the oldest page."""

    executions: list[PastExecution]
    more: Place | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Attempts of a task that started in an hour, a day, or all the time asked for, from ``at`` on.

    ``runs`` are all of them, ``failures`` those that failed or timed out; ``retries`` led to another try and
    ``archived`` put the job away, those that were lost not among them. Lengths in seconds are at most 5 % off, being
    counted in buckets (DDSketch: Masson, Rim, Lee, VLDB 2019); those of attempts come from the ones that ended by
    themselves, and are None where there are none. ``wait`` is from when an attempt was due until it started.
    """

    task: str
    at: datetime
    runs: int
    succeeded: int
    failures: int
    timed_out: int
    snoozed: int
    dropped: int
    cancelled: int
    interrupted: int
    lost: int
    expired: int
    retries: int
    archived: int
    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    wait_p50_s: float | None
    wait_p95_s: float | None
    wait_p99_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """Failures of a task with the same error type at the same place; ``job_id`` and ``message`` are of the latest."""

    task: str
    fingerprint: str
    error_type: str
    failures: int
    first_seen_at: datetime
    last_seen_at: datetime
    job_id: str
    message: str | None


def execution_of(row: Any) -> PastExecution:
    fields = dict(row)
    for name in ("args", "result_data"):
        fields[name] = None if fields[name] is None else loads(fields[name])
    return PastExecution(**fields)
