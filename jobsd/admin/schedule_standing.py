"""Why a schedule does not run now: the first of what may stand in its way, in one word and a sentence. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from jobsd.clock import utc_from_ms
from jobsd.schedule.decide import next_due
from jobsd.store.keys import NO_CHILD
from jobsd.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from jobsd.expressions import Expression
    from jobsd.schedule.definition import Schedule, Source
    from jobsd.schedule.state import Entry, State

Standing: TypeAlias = Literal["active", "paused", "disabled", "ended", "undeclared", "unreadable"]

DECLARED_IN: dict[Source, str] = {"config": "the settings", "code": "code", "arq": "an arq worker's cron_jobs"}

NO_DAEMON = "no daemon is alive"
"""Why nothing runs; what of it is declared still, nobody can say then."""

_OVERDUE_MS = 5000
"""What is later than this was taken up by nobody."""
_AHEAD_MS = 60_000
"""What is decided up to an instant so far ahead was decided by a clock that has been set back since."""


def standing_of(
    entry: Entry, expression: Expression, now: int, *, live: bool, parked: str, served: AbstractSet[str] | None
) -> tuple[Standing, str]:
    """Return the first of what stands in its way at ``now``, epoch ms, and say it in a sentence; "" for nothing.

    Its last job is ``live``, and ``parked`` for this reason, as parked_for says it. ``served`` are the queues from
    which a living daemon takes jobs, None where that is not known.
    """
    schedule, state = entry.schedule, entry.state
    if state.paused_at is not None:
        by = f" by {state.paused_by}" if state.paused_by else ""
        return "paused", f"it is paused{by} since {in_zone(state.paused_at, schedule.zone)}"
    if not schedule.enabled:
        return "disabled", f"it is disabled in {DECLARED_IN.get(schedule.source, 'its definition')}"
    due = next_due(schedule, expression, state, state.cursor)
    if due is None and not state.waiting:
        return "ended", _end_of(schedule, state, now)
    if served is not None and not served:
        return "active" if entry.declared else "undeclared", NO_DAEMON
    if not entry.declared:
        return "undeclared", f"no daemon is alive that declares it so in {DECLARED_IN[schedule.source]}"
    held = _held(state, served, parked) if live else ""
    return "active", _why(schedule, state, now, due, live=live, held=held) or _outlook(schedule, now, served)


def parked_for(reason: str) -> str:
    """Say why a job is parked; ``reason`` is that of the keys (store/keys.py)."""
    return "no child process is free" if reason == NO_CHILD else f"no daemon knows task {reason.partition(':')[2]!r}"


def is_stranded(state: State, served: AbstractSet[str] | None) -> bool:
    """Say whether the last job is in a queue from which nobody takes jobs."""
    return served is not None and state.last_queue not in served


def in_zone(ms: int, zone: str) -> str:
    """Return the instant as the clocks of its zone show it: ``2026-11-30 02:00:00+07:00``."""
    return utc_from_ms(ms).astimezone(zone_named(zone)).isoformat(sep=" ", timespec="seconds")


def _end_of(schedule: Schedule, state: State, now: int) -> str:
    if schedule.max_runs is not None and state.runs >= schedule.max_runs:
        return f"it has had its {schedule.max_runs:,} run{'s' if schedule.max_runs != 1 else ''}"
    if schedule.end_ms is None:
        return "nothing is due any more"
    end = in_zone(schedule.end_ms, schedule.zone)
    return f"its end was at {end}" if schedule.end_ms <= now else f"nothing is due any more before its end at {end}"


def _held(state: State, served: AbstractSet[str] | None, parked: str) -> str:
    """Say what keeps a live job from its end; "" where it may well run."""
    if parked:
        return f"is parked: {parked}"
    if is_stranded(state, served):
        return f"waits in queue {state.last_queue!r}, which no daemon serves"
    return ""


def _why(schedule: Schedule, state: State, now: int, due: int | None, *, live: bool, held: str) -> str:
    """Say why it does not fire, though it might; "" if it does."""
    if state.cursor > now + _AHEAD_MS:
        decided = f"due times are decided up to {in_zone(state.cursor, schedule.zone)} already"
        return f"{decided}: the server's clock was set back, and nothing fires before then"
    if state.waiting:
        return _waits(schedule, state, live=live, held=held)
    if due is not None and due < now - _OVERDUE_MS:
        return f"it is due since {in_zone(due, schedule.zone)}, and no daemon has taken that up"
    if held or (live and schedule.overlap != "allow"):
        then = {"queue": "; due times meanwhile wait for it", "skip": "; due times meanwhile are passed over"}
        return f"job {_last_job(state)} {held or 'has not ended'}{then.get(schedule.overlap, '')}"
    return ""


def _waits(schedule: Schedule, state: State, *, live: bool, held: str) -> str:
    many, first = len(state.waiting), in_zone(state.waiting[0], schedule.zone)
    what, it = (f"the due time {first} waits", "it") if many == 1 else (f"{many:,} due times wait", "them")
    if not live:
        return f"{what} for a daemon to take {it} up"
    return f"{what} for job {_last_job(state)} to end{f', which {held}' if held else ''}"


def _outlook(schedule: Schedule, now: int, served: AbstractSet[str] | None) -> str:
    """Say what will stand in its way."""
    if schedule.start_ms is not None and schedule.start_ms > now:
        return f"it begins at {in_zone(schedule.start_ms, schedule.zone)}"
    if served is not None and schedule.queue not in served:
        return f"no daemon serves queue {schedule.queue!r}, in which its jobs would wait"
    return ""


def _last_job(state: State) -> str:
    return state.last_job.partition(" ")[0]
