"""What `jobsd cron ls` and `history` show, and how much of it in a narrow terminal.

In narrow forms of `history` the job's id stands for the schedule, whose name it has in it; where that has no room
either, the schedule does, and the id is left out.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.admin.schedule_standing import NO_DAEMON
from jobsd.cli.cron_runs import note_of, outcome_of
from jobsd.cli.cron_words import ago, at_in_zone, lateness, short_in_zone, upcoming, with_seconds
from jobsd.cli.fitting import Form, fitting
from jobsd.clock import now_ms, utc_from_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.admin.schedule_views import PastDue, ScheduleView


class _Shown(NamedTuple):
    """How the due times of a table are shown."""

    now: datetime
    seconds: bool
    short: bool

    def at(self, at: datetime, zone: str) -> str:
        short = self.short and abs(at - self.now) < timedelta(days=300)
        return (short_in_zone if short else at_in_zone)(at, zone, seconds=self.seconds)


def schedules_table(views: Sequence[ScheduleView]) -> Form:
    now = utc_from_ms(now_ms())
    seconds = with_seconds(view.next_at for view in views if view.next_at is not None)
    full, short = ([_row(view, _Shown(now, seconds, short)) for view in views] for short in (False, True))
    return fitting(
        Form(("schedule", "when", "next", "in", "last", "state"), full),
        Form(("schedule", "when", "next", "in", "last", "state"), short),
        Form(("schedule", "next", "in", "last", "state"), full),
        Form(("schedule", "next", "in", "last", "state"), short),
        Form(("schedule", "next", "in", "state"), [row | {"state": row["state, last"]} for row in short]),
    )


def history_table(lines: Sequence[PastDue], *, of_one: bool) -> Form:
    """Return it; ``of_one``: all lines are of one schedule."""
    now = utc_from_ms(now_ms())
    seconds = with_seconds(line.due_at for line in lines)
    full, short = ([_past(line, _Shown(now, seconds, short)) for line in lines] for short in (False, True))
    schedule = () if of_one else ("schedule",)
    return fitting(
        Form(("due", *schedule, "what", "late", "outcome", "note", "job_id"), full),
        Form(("due", *schedule, "what", "late", "outcome", "note", "job_id"), short),
        Form(("due", "what", "late", "outcome", "note", "job"), short),
        Form(("due", *schedule, "what", "late", "outcome", "note"), short),
        Form(("due", *schedule, "outcome", "note"), [row | {"outcome": row["came"]} for row in short]),
    )


def last_of(view: ScheduleView, now: datetime) -> str:
    """Return how its last run has ended, and how long ago; or that it has not."""
    last = view.last
    if last is None:
        return ""
    if last.live:
        return "parked" if last.parked else "not served" if last.stranded else "not ended"
    when = f" {ago(last.ended_at, now)}" if last.ended_at is not None else ""
    return f"{last.outcome or 'unknown'}{when}"


def _row(view: ScheduleView, times: _Shown) -> dict[str, Any]:
    now, state = times.now, view.state
    if view.state == "paused" and view.paused_at is not None:
        state = f"paused {ago(view.paused_at, now)}{f' by {view.paused_by}' if view.paused_by else ''}"
    elif view.why == NO_DAEMON:
        state = f"{view.state}: {view.why}"
    elif view.state == "active" and view.why and not (view.waiting or (view.last and view.last.live)):
        state = f"active: {view.why}"
    return {
        "schedule": view.name,
        "when": view.words or view.at,
        "next": "" if view.next_at is None else times.at(view.next_at, view.zone),
        "in": "" if view.next_at is None else upcoming(view.next_at, now).removeprefix("in "),
        "last": last_of(view, now),
        "state": state,
        "state, last": f"{state}{_stuck(view)}",
    }


def _stuck(view: ScheduleView) -> str:
    last = view.last
    if last is None or view.why == NO_DAEMON or not (last.parked or last.stranded):
        return ""
    return f": its last job is {'parked' if last.parked else 'in a queue that no daemon serves'}"


def _past(line: PastDue, times: _Shown) -> dict[str, Any]:
    what = "by hand" if line.manual else line.state
    if line.state == "passed":
        what = "passed over" if line.due_times == 1 else f"{line.due_times:,} passed over"
    return {
        "due": times.at(line.due_at, line.zone),
        "schedule": line.schedule,
        "what": what,
        "late": "" if line.lateness is None else lateness(line.lateness),
        "outcome": outcome_of(line),
        "came": outcome_of(line) or what,
        "note": note_of(line),
        "job_id": line.job_id,
        "job": line.job_id or line.schedule,
    }
