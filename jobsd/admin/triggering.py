"""A schedule's job that somebody asked for: stored at once, and waited for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from jobsd.admin.run_time_schedules import random_text
from jobsd.admin.schedule_views import Triggered
from jobsd.client import JobRef
from jobsd.duration import ALLOWED as DURATION
from jobsd.duration import parse_duration
from jobsd.errors import InvalidOptionError, JobFailedError, JobNotFoundError, UnreachableError
from jobsd.schedule.state import Change, Fired
from jobsd.schedule_jobs import job_of
from jobsd.store.outbox import incarnation_in

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from datetime import timedelta

    from jobsd.client import Client
    from jobsd.schedule.state import Entry, Store
    from jobsd.store.jobs import NewJob

_LATEST = 50  # lines of a history, among which a job is that was triggered not long ago


def fired_by_hand(entry: Entry, now: int, *, outbox: bool) -> Change:
    """Return what makes a job of the schedule at once. It is no run of a due time, but others may have to wait for it.

    Raises UnserializableError or PayloadTooLargeError.
    """
    job = job_of(entry.schedule, now, now, outbox=outbox, manual=random_text(6))
    state = entry.state._replace(last_job=f"{job.id} {incarnation_in(job)}", last_queue=job.queue, last_due=now)
    return Change(entry.schedule.name, entry.version, state, [Fired(now, job, manual=True)])


async def outcome_of(
    schedule: str, job: NewJob, client: Client, store: Store, *, wait_s: float, outbox: bool
) -> Triggered:
    """Wait for the end of the job, so long at the most, and tell what came of it.

    It is stored: where a server does not answer any more, it is accepted all the same, and nobody is to ask twice.
    """
    ref: JobRef[Any] = JobRef(client, job.id, job.queue, incarnation=incarnation_in(job) if outbox else None)
    try:
        return await _ended(schedule, job, ref, store, wait_s)
    except UnreachableError as error:
        return accepted(schedule, job, f"it is stored; what came of it is not known: {error}")


async def _ended(schedule: str, job: NewJob, ref: JobRef[Any], store: Store, wait_s: float) -> Triggered:
    try:
        result = await ref.result(wait_s)
    except JobFailedError as error:
        return _told(schedule, job, "failed", None, error.message)
    except TimeoutError as error:
        return accepted(schedule, job, str(error).partition(" (has the")[0])
    except JobNotFoundError:  # it left no result, or nobody has taken it out of the outbox yet
        return await _recorded(schedule, job, store)
    return _told(schedule, job, "succeeded", result, _message_in(result))


def accepted(schedule: str, job: NewJob, message: str) -> Triggered:
    return _told(schedule, job, "accepted", None, message)


def stranded(told: Triggered, served: AbstractSet[str] | None) -> Triggered:
    """Return it with the word that no daemon serves its queue, if that is so; ``served`` is None if it is not known."""
    if served is None or told.queue in served:
        return told
    return replace(told, message=f"{told.message}; no daemon serves queue {told.queue!r}")


def seconds_of(wait: float | str | timedelta | None) -> float:
    """Return how long to wait; 0 for None. Raises InvalidOptionError."""
    if wait is None:
        return 0.0
    if isinstance(wait, int | float) and not isinstance(wait, bool) and wait >= 0:
        return float(wait)
    try:
        return parse_duration(wait).total_seconds()
    except ValueError:
        allowed = f"a number of seconds, {DURATION}, or None"
        raise InvalidOptionError(option="wait", given=wait, allowed=allowed) from None


async def _recorded(schedule: str, job: NewJob, store: Store) -> Triggered:
    lines = [line for line in await store.history(schedule, _LATEST) if line.job_id == job.id]
    outcome, message = (lines[0].outcome, lines[0].message or "") if lines else (None, "")
    if outcome is None:
        return accepted(schedule, job, "no daemon has taken it up yet")
    return _told(schedule, job, "succeeded" if outcome == "succeeded" else "failed", None, message)


def _told(
    schedule: str, job: NewJob, state: Literal["succeeded", "failed", "accepted"], result: Any, message: str
) -> Triggered:
    return Triggered(schedule=schedule, job_id=job.id, queue=job.queue, state=state, result=result, message=message)


def _message_in(result: Any) -> str:
    """Return what a result of the form {success, message, data} says."""
    message: Any = result.get("message") if isinstance(result, dict) and "success" in result else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return message if isinstance(message, str) else ""
