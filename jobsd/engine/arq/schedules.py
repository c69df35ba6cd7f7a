"""arq's cron jobs as schedules, for a daemon whose scheduler is to fire them.

Not every one has the same meaning there. What has not stays with the worker, whose Ticker fires it (cron.py): entries
that are not unique, run at start-up, have a job id of their own or another microsecond than arq's, or whose worker is
in a zone without a name.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

from arq.typing import WEEKDAYS

from jobsd.errors import ScheduleDefinitionError
from jobsd.schedule.in_code import name_for
from jobsd.schedule.options import schedule_of

if TYPE_CHECKING:
    from arq.cron import CronJob

    from jobsd.engine.arq_worker import Worker
    from jobsd.schedule.definition import Schedule

_ARQS_MICROSECOND = 123_456
_ARQS_QUEUE = "arq:queue"


def take_schedules(worker: Worker) -> list[Schedule]:
    """Return the worker's cron jobs as schedules; it keeps those that are none.

    They are arq's: what was missed is not made up for, and runs may overlap. They are due at the full second.
    """
    zone = _zone_of(worker)
    entries = worker.cron_jobs
    if zone is None or worker.burst or not entries:
        return []
    several = {name for name, count in Counter(entry.name for entry in entries).items() if count > 1}
    taken: dict[str, Schedule] = {}
    left: list[CronJob] = []
    for entry in entries:
        schedule = _schedule(entry, worker.queue_name, zone, named_by_its_times=entry.name in several)
        if schedule is None:
            left.append(entry)
        else:
            taken[schedule.name] = schedule  # the same twice is one: to arq it is, too
    worker.cron_jobs = left
    return list(taken.values())


def _zone_of(worker: Worker) -> str | None:
    """Return the name of the worker's zone; None if it has none.

    Where none was given arq takes the machine's offset of the moment. If that is of whole hours it has a
    name, with its sign turned.
    """
    zone = worker.timezone
    if not isinstance(zone, timezone):
        return getattr(zone, "key", None)
    hours, rest = divmod(zone.utcoffset(None), timedelta(hours=1))
    if rest:
        return None
    return "UTC" if hours == 0 else f"Etc/GMT{-hours:+d}"


def _schedule(entry: CronJob, queue: str, zone: str, *, named_by_its_times: bool) -> Schedule | None:
    alike = entry.unique and not entry.run_at_startup and entry.job_id is None
    if not alike or entry.microsecond != _ARQS_MICROSECOND:
        return None
    try:
        at = _expression(entry)
        # To arq they are two jobs: one function in the workers of two queues, or at times of two kinds.
        mark = "" if queue == _ARQS_QUEUE else f":{queue}"
        mark += f":{hashlib.sha256(at.encode()).hexdigest()[:8]}" if named_by_its_times else ""
        written = {
            "task": entry.name,
            "at": at,
            "seconds": True,
            "queue": queue,
            "missed": "skip",
            "overlap": "allow",
        }
        return schedule_of(name_for(entry.name + mark), written, source="arq", zone=zone, both_days=True)
    except (ScheduleDefinitionError, ValueError):  # such as the 30th of February: the Ticker says so
        return None


def _expression(entry: CronJob) -> str:
    """Return the six fields. Raises ValueError for what arq would not understand either.

    arq's week begins with Monday, which is 0; cron's with Sunday.
    """
    weekday: Any = WEEKDAYS.index(entry.weekday.lower()) if isinstance(entry.weekday, str) else entry.weekday
    parts = [_values(value) for value in (entry.second, entry.minute, entry.hour, entry.day, entry.month)]
    days = _values(weekday)
    fields = [*parts, days if days is None else {(day + 1) % 7 for day in days}]
    wholes = 60, 60, 0, 0, 0, 0
    return " ".join(
        "*" if field is None else _field(sorted(field), whole) for field, whole in zip(fields, wholes, strict=True)
    )


def _field(values: list[int], whole: int) -> str:
    """Return the values, as a step where they fill the minute or the hour evenly: that can be read."""
    step = values[1] if len(values) > 1 else whole
    if len(values) > 1 and values == list(range(0, whole, step)) and whole % step == 0:
        return "*" if step == 1 else f"*/{step}"
    return ",".join(map(str, values))


def _values(given: Any) -> set[int] | None:
    if given is None:
        return None
    values = {given} if isinstance(given, int) else set(cast("list[Any]", given))
    if not values or not all(isinstance(value, int) for value in values):
        msg = f"{given!r} is not a number, or several"
        raise ValueError(msg)
    return values
