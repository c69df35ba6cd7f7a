"""What a person is shown of a schedule: how it is set, how it stands, when it is due. Pure.

view_of() is the door; the frozen classes above it are what the questions of schedules.py answer with. Why a schedule
does not run now is judged in schedule_standing.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from jobsd.admin.schedule_standing import is_stranded, parked_for, standing_of
from jobsd.clock import utc_from_ms
from jobsd.expressions import ExpressionError
from jobsd.schedule.decide import FULL, HOLIDAY, MISSED, OVERLAP, PAUSED, next_due
from jobsd.schedule.names import job_id_of

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from jobsd.admin.schedule_standing import Standing
    from jobsd.expressions import Expression
    from jobsd.schedule.definition import Missed, Overlap, Schedule, Source
    from jobsd.schedule.state import Ended, Entry, State

REASONS = {
    MISSED: "missed: no daemon was there to fire it",
    PAUSED: "the schedule was paused",
    OVERLAP: "the run before had not ended",
    HOLIDAY: "a holiday",
    FULL: "too many due times waited already",
    "removed": "the schedule was removed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """``due_at`` is when somebody asked for it, where it was triggered. ``outcome``: None while none is known."""

    due_at: datetime | None
    job_id: str
    queue: str
    live: bool
    """Whether the job has not ended."""
    parked: str
    """Why it is parked, "no daemon knows task 'stock:report'" for example; "" if it is not."""
    stranded: bool
    """Whether it is live and no daemon serves its queue, as far as is known."""
    outcome: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """How a schedule is set, and how it stands. Instants are UTC; None is what was not said: as the task has it."""

    name: str
    task: str
    args: list[Any] | dict[str, Any]
    """What the task is called with: by place, or by name."""
    queue: str
    at: str
    """The expression, as it was written."""
    seconds: bool
    """The first of its six fields is seconds."""
    words: str
    zone: str
    description: str
    source: Source
    enabled: bool
    state: Standing
    why: str
    """Why it does not run now, in a sentence; "" where it only waits for its next due time."""
    next_at: datetime | None
    """None while it is paused, disabled or undeclared, and where nothing is due any more."""
    previous_at: datetime | None
    """The last due time that it had, whatever came of it: by its expression, and since that is known.

    None where it was not due since it was first declared, or since its time was changed. Of one that has had its
    ``max_runs`` it is the last of those.
    """
    paused_at: datetime | None
    paused_by: str
    last: LastRun | None
    runs: int
    """Due times that became a job; what was triggered is not counted."""
    max_runs: int | None
    waiting: int
    """Due times that wait for the run before to end."""
    missed: Missed
    missed_limit: int
    missed_window: timedelta
    overlap: Overlap
    jitter: timedelta
    start_at: datetime | None
    end_at: datetime | None
    """Due times lie from ``start_at`` on, and before ``end_at``."""
    timeout: timedelta | None
    retries: int | None
    retry_delay: timedelta | None
    holidays: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDue:
    """A due time and what came of it. Instants are UTC.

    ``state`` is ``fired``, ``passed`` or ``waiting``; of what was passed over, one stands for ``due_times`` in a row
    from ``due_at`` to ``last_due_at``, and ``reason`` says why. ``lateness`` is from the due time to the start of the
    run (None: it was tried more than once, or has not begun as far as is known); started, finished, outcome and message
    are those of the latest attempt that is known to have ended. Where the job is ``live`` it has not ended: that
    attempt was not its last. ``zone`` is the schedule's; UTC of one that was removed.
    """

    schedule: str
    zone: str
    due_at: datetime
    last_due_at: datetime
    state: str
    reason: str
    due_times: int
    manual: bool
    job_id: str
    live: bool
    decided_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    lateness: timedelta | None
    outcome: str | None
    attempts: int
    message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggered:
    """What came of a trigger. ``accepted``: the job is stored, and has not ended in the time that was waited.

    ``message`` is what the task says in a result of the form {success, message, data}, why it failed, or how far it is.
    """

    schedule: str
    job_id: str
    queue: str
    state: Literal["succeeded", "failed", "accepted"]
    result: Any
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTimes:
    """What an expression says: in words, and the next due times, UTC."""

    words: str
    next_at: tuple[datetime, ...]


def view_of(
    entry: Entry,
    now: int,
    *,
    live: bool,
    parked: str = "",
    ended: Ended | None = None,
    served: AbstractSet[str] | None = None,
) -> ScheduleView:
    """Return how it stands at ``now``, epoch ms. Its last job is ``live``, ``parked`` for this reason, or ``ended``.

    ``served`` are the queues from which a living daemon takes jobs; None: that is not known.
    """
    schedule, state = entry.schedule, entry.state
    parked = parked_for(parked) if live and parked else ""
    try:
        expression = schedule.expression(state.anchor)
    except ExpressionError as error:
        words, upcoming, before, standing, why = "", None, None, "unreadable", str(error)
    else:
        words, before = expression.words, previous_due(schedule, expression, state, now)
        upcoming = next_due(schedule, expression, state, max(now, state.cursor))
        standing, why = standing_of(entry, expression, now, live=live, parked=parked, served=served)
    last = LastRun(
        due_at=instant_of(state.last_due),
        job_id=state.last_job.partition(" ")[0],
        queue=state.last_queue,
        live=live,
        parked=parked,
        stranded=live and is_stranded(state, served),
        outcome=None if ended is None else ended.outcome,
        ended_at=None if ended is None else instant_of(ended.at),
    )
    return ScheduleView(
        name=schedule.name,
        task=schedule.task,
        args=list(schedule.args) or schedule.kwargs,
        queue=schedule.queue,
        at=schedule.at,
        seconds=schedule.seconds,
        words=words,
        zone=schedule.zone,
        description=schedule.description,
        source=schedule.source,
        enabled=schedule.enabled,
        state=standing,
        why=why,
        next_at=instant_of(None if standing == "undeclared" else upcoming),
        previous_at=instant_of(before),
        paused_at=instant_of(state.paused_at),
        paused_by=state.paused_by,
        last=last if state.last_job else None,
        runs=state.runs,
        max_runs=schedule.max_runs,
        waiting=len(state.waiting),
        missed=schedule.missed,
        missed_limit=schedule.missed_limit,
        missed_window=timedelta(milliseconds=schedule.missed_window_ms),
        overlap=schedule.overlap,
        jitter=timedelta(milliseconds=schedule.jitter_ms),
        start_at=instant_of(schedule.start_ms),
        end_at=instant_of(schedule.end_ms),
        timeout=_duration_of(schedule.timeout_ms),
        retries=schedule.retries,
        retry_delay=_duration_of(schedule.retry_delay_ms),
        holidays=schedule.holidays,
    )


def upcoming_of(schedule: Schedule, state: State, now: int, count: int) -> list[int]:
    """Return the next due times that may become jobs, as if it were neither paused nor disabled."""
    schedule, state = replace(schedule, enabled=True), state._replace(paused_at=None)
    expression = schedule.expression(state.anchor)
    found: list[int] = []
    after = max(now, state.cursor)
    while len(found) < count:
        due = next_due(schedule, expression, state, after)
        if due is None:
            break
        found.append(due)
        state, after = state._replace(runs=state.runs + 1), due
    return found


def previous_due(schedule: Schedule, expression: Expression, state: State, now: int) -> int | None:
    """Return its last due time before ``now``; see ScheduleView.previous_at."""
    if schedule.max_runs is not None and state.runs >= schedule.max_runs:
        if _is_of_due_time(schedule, state):
            return state.last_due
        now = min(now, state.cursor + 1)  # it was triggered since; what came behind the cursor counts no more
    found = expression.previous(now if schedule.end_ms is None else min(now, schedule.end_ms))
    known_from = state.anchor if schedule.start_ms is None else max(state.anchor, schedule.start_ms)
    return None if found is None or found < known_from else found


def instant_of(ms: int | None) -> datetime | None:
    return None if ms is None else utc_from_ms(ms)


def _duration_of(ms: int | None) -> timedelta | None:
    return None if ms is None else timedelta(milliseconds=ms)


def _is_of_due_time(schedule: Schedule, state: State) -> bool:
    """Say whether the last job is that of a due time: what is triggered has another id."""
    due = state.last_due
    return due is not None and state.last_job.partition(" ")[0] == job_id_of(schedule.name, due)
