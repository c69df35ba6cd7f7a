"""The schedules that this process declares: in code, noted here by name, and in settings, which come at the start."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import to_json

from jobsd.errors import ScheduleDefinitionError, SettingsError
from jobsd.schedule.holidays import find
from jobsd.schedule.options import schedule_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobsd.definition import Task
    from jobsd.schedule.definition import Schedule, Source


class Declaration(NamedTuple):
    """What was written, and ``place``, where. A zone that is not given is the daemon's, which only the daemon knows."""

    name: str
    written: Mapping[str, Any]
    place: str
    source: Source = "code"
    both_days: bool = False


registry: dict[str, Declaration] = {}
"""Every schedule that the code of this process declares, by name."""


def declare(declaration: Declaration) -> Schedule:
    """Note a schedule of the code. Raises ScheduleDefinitionError for one that is wrong, and for a second of a name."""
    schedule = _made(declaration, "UTC")
    known = registry.get(declaration.name)
    # A module that is imported again says the same at the same place.
    if known is not None and (known.place != declaration.place or _made(known, "UTC") != schedule):
        raise _twice(known, declaration)
    registry[declaration.name] = declaration
    return schedule


def place_of_caller(depth: int) -> str:
    """Return module and line of the code ``depth`` calls above this one's caller."""
    frame = sys._getframe(depth + 1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - inspect's way reads files
    return f"{frame.f_globals.get('__name__', '?')}, line {frame.f_lineno}"


def schedules_of(
    config: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[str, Task[..., Any]],
    *,
    zone: str,
    others: Iterable[Declaration] = (),
) -> list[Schedule]:
    """Return all schedules of a daemon: of its settings, of its code, and ``others`` (such as arq's), ready to fire.

    ``config`` has options by the schedule's name; ``zone`` is that of those that name none; ``tasks`` are what the
    daemon can run. Raises SettingsError with everything that is wrong.
    """
    written = [Declaration(name, options, f"[cron.{name}]", "config") for name, options in config.items()]
    problems: list[str] = []
    known: dict[str, Declaration] = {}
    schedules: list[Schedule] = []
    for declaration in (*written, *registry.values(), *others):
        try:
            if declaration.name in known:
                raise _twice(known[declaration.name], declaration)
            known[declaration.name] = declaration
            schedules.append(_ready(declaration, zone, tasks))
        except ScheduleDefinitionError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError(problems)
    return schedules


def fingerprint_of(schedules: Iterable[Schedule]) -> str:
    """Return what tells this set of definitions from every other."""
    wires = sorted((one.name, one.to_wire()) for one in schedules)
    return hashlib.sha256(to_json([[name, wire] for name, wire in wires])).hexdigest()[:16]


def _made(declaration: Declaration, zone: str) -> Schedule:
    name, written, place, source, both_days = declaration
    try:
        return schedule_of(name, written, source=source, zone=zone, both_days=both_days)
    except ScheduleDefinitionError as error:
        raise ScheduleDefinitionError(schedule=name, problems=error.problems, place=place) from None


def _ready(declaration: Declaration, zone: str, tasks: Mapping[str, Task[..., Any]]) -> Schedule:
    """Return the schedule with what only a daemon knows: its task, and its callable. Raises ScheduleDefinitionError."""
    schedule = _made(declaration, zone)
    problems: list[tuple[str, str]] = []
    if schedule.task not in tasks:
        near = get_close_matches(schedule.task, tasks, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(tasks)) or 'none'}"
        problems.append(("task", f"this daemon knows no task {schedule.task!r}; {hint}"))
    else:
        task = tasks[schedule.task]
        if declaration.written.get("queue") is None:
            schedule = replace(schedule, queue=task.queue)
        try:
            task.arguments.validate(schedule.args, schedule.kwargs)
        except ValueError as error:
            problems.append(("args", f"they do not fit the signature of {schedule.task!r}: {error}"))
    if schedule.holidays and schedule.is_holiday is None:
        try:
            schedule = replace(schedule, is_holiday=find(schedule.holidays))
        except ValueError as error:
            problems.append(("holidays", str(error)))
    if problems:
        raise ScheduleDefinitionError(schedule=schedule.name, problems=problems, place=declaration.place)
    return schedule


def _twice(known: Declaration, again: Declaration) -> ScheduleDefinitionError:
    problem = f"declared twice: {known.place} and {again.place}"
    return ScheduleDefinitionError(schedule=again.name, problems=[("", problem)])
