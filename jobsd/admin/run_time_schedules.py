"""What callers say of a run-time schedule, made into its definition; and a definition as callers would say it."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from jobsd.clock import ms_from_datetime, utc_from_ms
from jobsd.definition import Task, registry
from jobsd.duration import ALLOWED as DURATION
from jobsd.duration import duration_ms
from jobsd.errors import InvalidOptionError, ScheduleDefinitionError
from jobsd.schedule.options import OPTIONS, schedule_of

if TYPE_CHECKING:
    from jobsd.schedule.definition import Schedule

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ODD = re.compile(r"[^A-Za-z0-9._:-]")
_LONGEST_HEAD = 71
_SECOND_MS = 1000
_SAME_AS_FIELD = ("zone", "seconds", "queue", "retries", "missed", "missed_limit", "overlap", "max_runs", "enabled")
_DURATIONS = {"timeout": "timeout_ms", "retry_delay": "retry_delay_ms", "missed_window": "missed_window_ms"}
CHANGES_ALLOWED = f"a change of what is not its name: {', '.join(name for name in OPTIONS if name != 'holidays')}"
_AT_ALLOWED = "a datetime with a zone, in the future"


def defined(name: str | None, options: dict[str, Any], *, zone: str) -> Schedule:
    """Return the schedule that ``options`` describe. Without a name it is given one, out of its task's.

    Raises ScheduleDefinitionError with everything that is wrong; InvalidArgumentsError where the task is at hand and
    does not take these arguments.
    """
    if options.get("holidays") is not None:
        problem = "a run-time schedule has none, since a store keeps no function; declare it in the settings or in code"
        raise ScheduleDefinitionError(schedule=name, problems=[("holidays", problem)])
    task: Any = options.get("task")
    at_hand = cast("Task[..., Any]", task) if isinstance(task, Task) else None
    if at_hand is not None and options.get("queue") is None:
        options = {**options, "queue": at_hand.queue}
    made = schedule_of(drawn_name(cast("object", task)) if name is None else name, options, source="runtime", zone=zone)
    known = at_hand or registry.get(made.task)
    if known is not None:
        known.job(*made.args, **made.kwargs)
    return made


def drawn_name(task: object) -> str:
    """Return a name that no other schedule has, such as ``backup:database-7k2m9q4c``."""
    head = _ODD.sub("-", str(getattr(task, "name", task)))[:_LONGEST_HEAD]
    return f"{head}-{random_text(8)}"


def random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def due_of(at: datetime | None, delay: str | timedelta | None, now: int) -> int:
    """Return the one due time, epoch ms, that ``at`` or ``delay`` names: the next whole second, always after ``now``.

    Raises InvalidOptionError.
    """
    if (at is None) == (delay is None):
        raise InvalidOptionError(option="at", given=at, allowed="one of at and delay, and not both")
    if delay is not None:
        try:
            due = now + duration_ms(delay)
        except ValueError:
            raise InvalidOptionError(option="delay", given=delay, allowed=DURATION) from None
        return max(_whole_second(due), _whole_second(now + 1))
    try:
        due = _whole_second(ms_from_datetime(at))  # pyright: ignore[reportArgumentType] - what is none has no zone either
    except (ValueError, AttributeError, OverflowError):
        raise InvalidOptionError(option="at", given=at, allowed=_AT_ALLOWED) from None
    if due <= now:
        given = at.isoformat() if isinstance(at, datetime) else at
        raise InvalidOptionError(option="at", given=given, allowed=_AT_ALLOWED)
    return due


def once_at(due_ms: int) -> str:
    """Return the expression that is due once."""
    return f"@once {utc_from_ms(due_ms).strftime('%Y-%m-%dT%H:%M:%SZ')}"


def as_written(schedule: Schedule) -> dict[str, Any]:
    """Return the options that make this schedule, to change some of them."""
    options: dict[str, Any] = {"task": schedule.task, "at": schedule.at}
    options |= {name: getattr(schedule, name) for name in _SAME_AS_FIELD}
    for name, field in _DURATIONS.items():
        ms = getattr(schedule, field)
        options[name] = None if ms is None else timedelta(milliseconds=ms)
    options["jitter"] = timedelta(milliseconds=schedule.jitter_ms)
    options["start"] = None if schedule.start_ms is None else utc_from_ms(schedule.start_ms)
    options["end"] = None if schedule.end_ms is None else utc_from_ms(schedule.end_ms)
    options["description"] = schedule.description
    options["args"] = list(schedule.args) or schedule.kwargs
    return options


def _whole_second(ms: int) -> int:
    return -(-ms // _SECOND_MS) * _SECOND_MS
