"""What a person is shown of a schedule: how it stands, when it is due, why it does not run now. Pure.

view_of() is the door; the frozen classes below it are what the questions of schedules.py answer with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from jobsd.clock import utc_from_ms
from jobsd.expressions import ExpressionError
from jobsd.schedule.decide import FULL, HOLIDAY, MISSED, OVERLAP, PAUSED, next_due
from jobsd.store.keys import NO_CHILD
from jobsd.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from jobsd.expressions import Expression
    from jobsd.schedule.definition import Schedule, Source
    from jobsd.schedule.state import Ended, Entry, State

Standing: TypeAlias = Literal["active", "paused", "disabled", "ended", "undeclared", "unreadable"]

_OVERDUE_MS = 5000
"""What is later than this was taken up by nobody."""
DECLARED_IN: dict[Source, str] = {"config": "the settings", "code": "code", "arq": "an arq worker's cron_jobs"}
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
    outcome: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """How a schedule stands. Instants are UTC."""

    name: str
    task: str
    args: list[Any] | dict[str, Any]
    """What the task is called with: by place, or by name."""
    queue: str
    at: str
    """The expression, as it was written."""
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
    """The last due time that it had by its expression, whatever came of it."""
    paused_at: datetime | None
    paused_by: str
    last: LastRun | None
    runs: int
    """Due times that became a job; what was triggered is not counted."""
    max_runs: int | None
    waiting: int
    """Due times that wait for the run before to end."""
    missed: str
    overlap: str
    holidays: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDue:
    """A due time and what came of it. Instants are UTC.

    ``state`` is ``fired``, ``passed`` or ``waiting``; of what was passed over, one stands for ``due_times`` in a row
    from ``due_at`` on, and ``reason`` says why. ``lateness`` is from the due time to the start of the run (None: it
    was tried more than once, or has not begun as far as is known); started, finished, outcome and message are those of
    the latest attempt that is known. ``zone`` is the schedule's; UTC of one that was removed.
    """

    schedule: str
    zone: str
    due_at: datetime
    state: str
    reason: str
    due_times: int
    manual: bool
    job_id: str
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


def view_of(entry: Entry, now: int, *, live: bool, parked: str = "", ended: Ended | None = None) -> ScheduleView:
    """Return how it stands at ``now``, epoch ms. Its last job is ``live``, ``parked`` for this reason, or ``ended``."""
    schedule, state = entry.schedule, entry.state
    parked = _parked(parked) if live and parked else ""
    try:
        expression = schedule.expression(state.anchor)
    except ExpressionError as error:
        words, upcoming, before, standing, why = "", None, None, "unreadable", str(error)
    else:
        words, before = expression.words, previous_due(schedule, expression, now)
        upcoming = next_due(schedule, expression, state, max(now, state.cursor))
        standing, why = _standing(entry, expression, now, live=live, parked=parked)
    last = LastRun(
        due_at=instant_of(state.last_due),
        job_id=state.last_job.partition(" ")[0],
        queue=state.last_queue,
        live=live,
        parked=parked,
        outcome=None if ended is None else ended.outcome,
        ended_at=None if ended is None else instant_of(ended.at),
    )
    return ScheduleView(
        name=schedule.name,
        task=schedule.task,
        args=list(schedule.args) or schedule.kwargs,
        queue=schedule.queue,
        at=schedule.at,
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
        overlap=schedule.overlap,
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


def previous_due(schedule: Schedule, expression: Expression, now: int) -> int | None:
    found = expression.previous(now if schedule.end_ms is None else min(now, schedule.end_ms))
    return None if found is None or (schedule.start_ms is not None and found < schedule.start_ms) else found


def instant_of(ms: int | None) -> datetime | None:
    return None if ms is None else utc_from_ms(ms)


def in_zone(ms: int, zone: str) -> str:
    """Return the instant as the clocks of its zone show it: ``2026-11-30 02:00:00+07:00``."""
    return utc_from_ms(ms).astimezone(zone_named(zone)).isoformat(sep=" ", timespec="seconds")


def _standing(entry: Entry, expression: Expression, now: int, *, live: bool, parked: str) -> tuple[Standing, str]:
    """Return the first of what may stand in its way, and say it in a sentence."""
    schedule, state = entry.schedule, entry.state

    def at(ms: int) -> str:
        return in_zone(ms, schedule.zone)

    if state.paused_at is not None:
        by = f" by {state.paused_by}" if state.paused_by else ""
        return "paused", f"it is paused{by} since {at(state.paused_at)}"
    if not schedule.enabled:
        return "disabled", f"it is disabled in {DECLARED_IN.get(schedule.source, 'its definition')}"
    due = next_due(schedule, expression, state, state.cursor)
    if due is None and not state.waiting:
        return "ended", _end_of(schedule, state, now, at)
    if not entry.declared:
        return "undeclared", f"no daemon is alive that declares it so in {DECLARED_IN[schedule.source]}"
    if state.waiting:
        return "active", _waits(state, at, live=live, parked=parked)
    if due is not None and due < now - _OVERDUE_MS:
        return "active", f"it is due since {at(due)}, and no daemon has taken that up"
    if live and (parked or schedule.overlap != "allow"):
        held = f"is parked: {parked}" if parked else "has not ended"
        then = {"queue": "; due times meanwhile wait for it", "skip": "; due times meanwhile are passed over"}
        return "active", f"job {_id_of(state.last_job)} {held}{then.get(schedule.overlap, '')}"
    if schedule.start_ms is not None and schedule.start_ms > now:
        return "active", f"it begins at {at(schedule.start_ms)}"
    return "active", ""


def _end_of(schedule: Schedule, state: State, now: int, at: Callable[[int], str]) -> str:
    if schedule.max_runs is not None and state.runs >= schedule.max_runs:
        return f"it has had its {schedule.max_runs:,} run{'s' if schedule.max_runs != 1 else ''}"
    if schedule.end_ms is not None and schedule.end_ms <= now:
        return f"its end was at {at(schedule.end_ms)}"
    if schedule.end_ms is not None:
        return f"nothing is due any more before its end at {at(schedule.end_ms)}"
    return "nothing is due any more"


def _waits(state: State, at: Callable[[int], str], *, live: bool, parked: str) -> str:
    many = len(state.waiting)
    what, it = (
        (f"the due time {at(state.waiting[0])} waits", "it") if many == 1 else (f"{many:,} due times wait", "them")
    )
    job = f"job {_id_of(state.last_job)} to end{f', which is parked: {parked}' if parked else ''}"
    return f"{what} for {job if live else f'a daemon to take {it} up'}"


def _parked(reason: str) -> str:
    return "no child process is free" if reason == NO_CHILD else f"no daemon knows task {reason.partition(':')[2]!r}"


def _id_of(job: str) -> str:
    return job.partition(" ")[0]
