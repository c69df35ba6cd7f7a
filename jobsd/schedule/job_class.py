"""Scheduled work as a class: BaseScheduledJob; and db_context, the way of its ``execute`` to the database."""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, cast

from jobsd.definition import AsyncTask, register
from jobsd.delays import fixed
from jobsd.errors import OutsideJobError, ScheduleDefinitionError, UnsuccessfulError
from jobsd.schedule.declared import Declaration, declare
from jobsd.schedule.options import schedule_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator

    from jobsd.context import Context
    from jobsd.schedule.definition import Missed, Overlap, Schedule

# How the class calls what is called otherwise elsewhere.
_SPELLED = {
    "name": "job_id",
    "task": "job_id",
    "at": "cron",
    "every": "interval_seconds",
    "retries": "max_retries",
    "retry_delay": "retry_delay_seconds",
}
_WHEN = {"cron", "interval_seconds"}
_WHOLE_SECONDS = "is not a number of whole seconds, 1 or more"


class BaseScheduledJob:
    """Work that is due by ``cron``, or every ``interval_seconds``; a subclass with a ``job_id`` is declared by being.

    Its task and its schedule are both called ``job_id``, and a subclass without one is a base for others. In each
    process there is one instance, made without arguments when it first runs. What is None is as the daemon has it.

    ``max_retries`` are the runs after the first that failures may cost, ``retry_delay_seconds`` the wait before each.
    Raises ScheduleDefinitionError when the subclass is defined, TaskDefinitionError for a second job of one id.
    """

    job_id: ClassVar[str | None] = None
    description: ClassVar[str] = ""
    cron: ClassVar[str | None] = None
    interval_seconds: ClassVar[int | None] = None
    enabled: ClassVar[bool] = True
    max_retries: ClassVar[int | None] = None
    retry_delay_seconds: ClassVar[float | None] = None
    zone: ClassVar[str | None] = None
    seconds: ClassVar[bool] = False
    queue: ClassVar[str | None] = None
    timeout: ClassVar[str | timedelta | None] = None
    missed: ClassVar[Missed | None] = None
    missed_limit: ClassVar[int | None] = None
    missed_window: ClassVar[str | timedelta | None] = None
    overlap: ClassVar[Overlap | None] = None
    jitter: ClassVar[str | timedelta | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.job_id is not None:
            _declare(cls)

    @property
    def ctx(self) -> Context:
        """The context of the job that runs: ``self.ctx.due_at``, ``self.ctx.log`` … Raises OutsideJobError."""
        return _context("self.ctx")

    async def execute(self) -> Any:
        """Do the work. ``{"success": bool, "message": str, "data": …}`` is what is expected of it.

        The dictionary is the execution's result, and its message the execution's. With ``success`` false the attempt
        has failed with that message. Whatever else is returned is the result as it is.
        """
        raise NotImplementedError


class JobTask(AsyncTask[[], Any]):
    """The task of such a class."""

    __slots__ = ()

    answers = True


def _declare(cls: type[BaseScheduledJob]) -> None:
    place = f"{cls.__module__}.{cls.__qualname__}"
    schedule = _checked(cls, place)
    register(
        JobTask(
            _runner(cls),
            schedule.name,
            queue=schedule.queue,
            timeout_ms=schedule.timeout_ms,
            retries=schedule.retries,
            backoff=None if cls.retry_delay_seconds is None else fixed(timedelta(seconds=cls.retry_delay_seconds)),
        )
    )
    # What is said of the task holds for its schedule too.
    ours = {option: value for option, value in _written(cls).items() if option not in _OF_THE_TASK}
    declare(Declaration(schedule.name, ours, place))


_OF_THE_TASK = {"queue", "timeout", "retries", "retry_delay"}


def _checked(cls: type[BaseScheduledJob], place: str) -> Schedule:
    """Return all that the class says as a schedule. Raises ScheduleDefinitionError, in the words of the class."""
    problems = list(_problems(cls))
    try:
        schedule = schedule_of(cls.job_id, _written(cls), source="code")
    except ScheduleDefinitionError as error:
        known = {field for field, _ in problems}
        if known & _WHEN:  # one of them is wrong, so that the other is missing besides, or is one too many
            known |= _WHEN
        for option, problem in error.problems:
            if (field := _SPELLED.get(option, option)) not in known:
                known.add(field)
                problems.append((field, problem))
    else:
        if not problems:
            return schedule
    raise ScheduleDefinitionError(schedule=cls.job_id, problems=problems, place=place)


def _problems(cls: type[BaseScheduledJob]) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    if (cls.cron is None) == (cls.interval_seconds is None):
        problem = "a job has one of cron and interval_seconds, " + (
            "and this has none" if cls.cron is None else "not both"
        )
        problems.append(("cron", problem))
    elif cls.interval_seconds is not None and not _is_number(cls.interval_seconds, whole=True):
        problems.append(("interval_seconds", f"{cls.interval_seconds!r} {_WHOLE_SECONDS}"))
    if cls.retry_delay_seconds is not None and not _is_number(cls.retry_delay_seconds):
        problems.append(("retry_delay_seconds", f"{cls.retry_delay_seconds!r} is not a number of seconds"))
    problems += _strange(cls)
    if cls.execute is BaseScheduledJob.execute:
        problems.append(("execute", "what it does is missing: async def execute(self)"))
    elif not inspect.iscoroutinefunction(cls.execute):
        problems.append(("execute", "it is not async; write async def execute(self)"))
    elif needed := _needed(cls.execute)[1:]:
        problems.append(("execute", f"it is called without arguments, and needs {', '.join(needed)}"))
    if cls.__init__ is not object.__init__ and (needed := _needed(cls.__init__)[1:]):
        problems.append(("__init__", f"the job is made without arguments, and needs {', '.join(needed)}"))
    return problems


# What it is called elsewhere, and would be passed over in silence.
_ELSEWHERE = {
    "timezone": "zone",
    "tz": "zone",
    "interval": "interval_seconds",
    "timeout_seconds": "timeout",
    "misfire_grace_time": "missed_window",
    "coalesce": "missed",
    "max_instances": "overlap",
}


def _strange(cls: type[BaseScheduledJob]) -> list[tuple[str, str]]:
    """Return what was probably meant by attributes that mean nothing here; others are the job's own affair."""
    known = list(BaseScheduledJob.__annotations__)
    own = [name for name, value in vars(cls).items() if not name.startswith("_") and not callable(value)]
    found: list[tuple[str, str]] = []
    for name in own:
        meant = _ELSEWHERE.get(name) or next(iter(get_close_matches(name, known, 1, cutoff=0.8)), None)
        if name not in known and meant is not None:
            found.append((name, f"it means nothing here; did you mean {meant}?"))
    return found


def unnamed() -> list[tuple[str, str]]:
    """Return (class, why) of those that have all of a job but its id, and are no base of others: no one meant that."""
    found: list[tuple[str, str]] = []
    for cls in _classes(BaseScheduledJob):
        timed = cls.cron is not None or cls.interval_seconds is not None
        does = cls.execute is not BaseScheduledJob.execute
        if cls.job_id is None and timed and does and not cls.__subclasses__():
            why = ["it has no job_id", *(f"{name}: {problem}" for name, problem in _strange(cls))]
            found.append((f"{cls.__module__}.{cls.__qualname__}", "; ".join(why)))
    return found


def _classes(base: type[BaseScheduledJob]) -> Iterator[type[BaseScheduledJob]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _classes(cls)


def _is_number(value: object, *, whole: bool = False) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (value >= 1 and value == int(value)) if whole else 0 <= value <= timedelta(days=366).total_seconds()


def _needed(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters without which it cannot be called."""
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]


def _written(cls: type[BaseScheduledJob]) -> dict[str, Any]:
    interval: Any = cls.interval_seconds
    delay: Any = cls.retry_delay_seconds
    return {
        "task": cls.job_id,
        "at": cls.cron,
        "every": timedelta(seconds=interval) if _is_number(interval, whole=True) else None,
        "description": cls.description,
        "enabled": cls.enabled,
        "retries": cls.max_retries,
        "retry_delay": timedelta(seconds=delay) if _is_number(delay) else None,
        **{
            option: getattr(cls, option)
            for option in (
                "zone",
                "seconds",
                "queue",
                "timeout",
                "missed",
                "missed_limit",
                "missed_window",
                "overlap",
                "jitter",
            )
        },
    }


def _runner(cls: type[BaseScheduledJob]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return the function of its task."""
    made: list[BaseScheduledJob] = []

    async def run(_ctx: Any) -> Any:
        if not made:
            made.append(cls())
        returned: Any = await made[0].execute()
        if isinstance(returned, dict):
            answer = cast("dict[Any, Any]", returned)
            if answer.get("success") is False:
                raise UnsuccessfulError(str(answer.get("message") or "it returned success = False, and no message"))
        return cast("Any", returned)

    run.__module__, run.__qualname__ = cls.__module__, f"{cls.__qualname__}.execute"
    return run


@asynccontextmanager
async def db_context() -> AsyncGenerator[Any]:
    """Return a connection of the daemon's pool for tasks, in a transaction: it commits at the end of the block.

    An error that leaves the block rolls it back. For the inside of a job, whose ``ctx.db`` it is: raises
    OutsideJobError elsewhere, NotConfiguredError where the daemon has no database. Its statements have no other time
    limit than the job.
    """
    async with _context("db_context()").db.acquire() as connection, connection.transaction():
        yield connection


def _context(what: str) -> Any:
    from jobsd.logger import running_job  # noqa: PLC0415 - a service that only shares the module has no structlog

    ctx = running_job.get()
    if ctx is None:
        raise OutsideJobError(what=what)
    return ctx
