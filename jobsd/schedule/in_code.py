"""cron(): schedules in code, beside their task (``@task("x", cron=…)``) or on their own."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Never, TypeAlias

from jobsd.errors import ScheduleDefinitionError
from jobsd.expressions import helpers
from jobsd.schedule.declared import Declaration, declare, place_of_caller

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from jobsd.definition import Task
    from jobsd.schedule.definition import Missed, Overlap

    Crons: TypeAlias = "str | cron | Sequence[str | cron]"

_LONGEST_NAME = 80
_DIGEST = 8


class cron:  # noqa: N801 - it reads as a function, one that has the usual expressions beside it
    """When a task is run, and what is done about due times that come at a bad moment.

        @task("reports:daily", cron=cron("0 2 * * *", zone="Asia/Jakarta", missed="all"))
        nightly = cron("0 3 * * *", task="reports:nightly", name="nightly")
        @task("caches:warm", cron=cron.daily_at(10, 30))

    With ``task``, a task or its name, it is declared where it stands; without, it is for ``@task``. ``at`` is an
    expression, or an aware datetime for once; instead of it ``every`` is a duration. ``name`` is the task's where it
    is not given, ``zone`` and ``queue`` are the daemon's default zone and the task's queue. ``args`` are arguments by
    name, or a list of them. ``missed`` says what becomes of due times more than a minute old, ``overlap`` what of those
    that come while the last job has not ended. ``holidays`` is called with a due time and says whether nothing runs.

    Raises ScheduleDefinitionError with everything that is wrong: here, if ``task`` is given, else by ``@task``.
    """

    __slots__ = ("name", "written")

    every_minute = staticmethod(helpers.every_minute)
    every_five_minutes = staticmethod(helpers.every_five_minutes)
    every_ten_minutes = staticmethod(helpers.every_ten_minutes)
    every_fifteen_minutes = staticmethod(helpers.every_fifteen_minutes)
    every_thirty_minutes = staticmethod(helpers.every_thirty_minutes)
    hourly = staticmethod(helpers.hourly)
    daily = staticmethod(helpers.daily)
    weekly = staticmethod(helpers.weekly)
    monthly = staticmethod(helpers.monthly)
    yearly = staticmethod(helpers.yearly)
    daily_at = staticmethod(helpers.daily_at)
    weekly_on = staticmethod(helpers.weekly_on)
    monthly_on = staticmethod(helpers.monthly_on)

    def __init__(
        self,
        at: str | datetime | None = None,
        *,
        every: str | timedelta | None = None,
        task: str | Task[..., Any] | None = None,
        name: str | None = None,
        zone: str | None = None,
        seconds: bool = False,
        args: Mapping[str, Any] | Sequence[Any] | None = None,
        queue: str | None = None,
        timeout: str | timedelta | None = None,
        retries: int | None = None,
        retry_delay: str | timedelta | None = None,
        missed: Missed | None = None,
        missed_limit: int | None = None,
        missed_window: str | timedelta | None = None,
        overlap: Overlap | None = None,
        jitter: str | timedelta | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        max_runs: int | None = None,
        enabled: bool = True,
        description: str | None = None,
        holidays: str | Callable[[datetime], bool] | None = None,
        **unknown: Never,  # told with what else is wrong, and with what was meant
    ) -> None:
        self.name = name
        """None: the task's."""
        self.written: dict[str, Any] = {
            "at": at,
            "every": every,
            "task": task,
            "zone": zone,
            "seconds": seconds,
            "args": args,
            "queue": queue,
            "timeout": timeout,
            "retries": retries,
            "retry_delay": retry_delay,
            "missed": missed,
            "missed_limit": missed_limit,
            "missed_window": missed_window,
            "overlap": overlap,
            "jitter": jitter,
            "start": start,
            "end": end,
            "max_runs": max_runs,
            "enabled": enabled,
            "description": description,
            "holidays": holidays,
            **unknown,
        }
        if task is not None:
            self.name = name = name or name_for(str(getattr(task, "name", task)))
            declare(Declaration(name, self.written, place_of_caller(1)))

    def __repr__(self) -> str:
        when = self.written["at"] or f"@every {self.written['every']}"
        return f"<cron {f'{self.name} ' if self.name else ''}{when!r}>"


def schedule_task(task: Task[..., Any], crons: Crons) -> None:
    """Declare the schedules of a task that is being defined. Raises ScheduleDefinitionError."""
    place = f"{task.function.__module__}.{task.function.__qualname__}"
    unnamed = name_for(task.name)
    several: Sequence[Any] = crons if isinstance(crons, list | tuple) else [crons]
    nameless = 0
    if not several:
        problem = f"cron takes an expression, cron(…), or a list of them, and {crons!r} holds none"
        raise ScheduleDefinitionError(schedule=unnamed, problems=[("", problem)], place=place)
    for one in several:
        given = cron(one) if isinstance(one, str) else one
        problem = ""
        if not isinstance(given, cron):
            problem = f"cron takes an expression, cron(…), or a list of them, not {given!r}"
        elif given.written["task"] is not None:
            problem = "cron(…) of a task's declaration needs no task"
        elif given.name is None:
            nameless += 1
            problem = "of several schedules of a task only one can go without a name: cron(…, name=…)"
            problem = problem if nameless > 1 else ""
        if problem:
            raise ScheduleDefinitionError(schedule=unnamed, problems=[("", problem)], place=place)
        declare(Declaration(given.name or unnamed, given.written | {"task": task.name}, place))


def name_for(task: str) -> str:
    """Return the name of a task's schedule; what is no name for a schedule is made one.

    >>> name_for("reports:daily"), name_for("shop.<locals>.f")
    ('reports:daily', 'shop.-locals-.f')
    """
    name = re.sub(r"[^A-Za-z0-9._:-]", "-", task)
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(task.encode()).hexdigest()[:_DIGEST]
    return f"{name[: _LONGEST_NAME - _DIGEST - 1]}-{digest}"
