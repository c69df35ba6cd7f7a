"""The job of a schedule's due time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobsd.delays import fixed
from jobsd.schedule.names import DUE, SCHEDULE, ZONE, incarnation_of, job_id_of, number_of
from jobsd.store.codec import encode_payload
from jobsd.store.jobs import NewJob

if TYPE_CHECKING:
    from jobsd.schedule.definition import Schedule


def job_of(schedule: Schedule, due_ms: int, now_ms: int, *, outbox: bool, manual: str = "") -> NewJob:
    """Return the job. ``outbox``: it goes through it, and its incarnation says so; ``manual``: see job_id_of.

    Raises UnserializableError or PayloadTooLargeError.
    """
    job_id = job_id_of(schedule.name, due_ms, manual)
    options: dict[str, Any] = {SCHEDULE: schedule.name, DUE: due_ms}
    if schedule.zone != "UTC":
        options[ZONE] = schedule.zone
    if schedule.timeout_ms is not None:
        options["t"] = schedule.timeout_ms
    if schedule.retries is not None:
        options["r"] = schedule.retries
    if schedule.retry_delay_ms is not None:
        options["b"] = fixed(timedelta(milliseconds=schedule.retry_delay_ms)).to_wire()
    payload = encode_payload(
        incarnation=incarnation_of(job_id, outbox=outbox),
        task=schedule.task,
        args=schedule.args,
        kwargs=schedule.kwargs,
        enqueued_at=now_ms,
        options=options,
    )
    run_at = due_ms if manual else due_ms + jitter_of(schedule, due_ms)
    return NewJob(schedule.queue, job_id, str(run_at) if run_at > now_ms else "", payload)


def jitter_of(schedule: Schedule, due_ms: int) -> int:
    """Return by how many ms its run is put off, 0 to ``jitter_ms``: the same on every daemon, another for each time."""
    if not schedule.jitter_ms:
        return 0
    return number_of(f"{schedule.name} {due_ms} jitter") % (schedule.jitter_ms + 1)
