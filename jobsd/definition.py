"""@task, and the registry of the tasks that were defined."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Literal, Protocol, TypeAlias, TypeVar, overload

from jobsd.declaration import check_executor, check_function, check_hours, check_record, errors_of, redacted_fields
from jobsd.delays import Backoff, CustomBackoff
from jobsd.duration import duration_ms
from jobsd.enqueueable import Enqueueable, P, R_co
from jobsd.errors import InvalidArgumentsError, InvalidOptionError, TaskDefinitionError
from jobsd.job import CONN_ALLOWED, NO_OPTIONS, OPTION_NAMES, BoundRequest, JobOptions, JobRequest
from jobsd.limit_options import resource_names

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime, timedelta

    from jobsd.aggregation import Aggregate
    from jobsd.arguments import Arguments
    from jobsd.context import Context, PlainContext
    from jobsd.declaration import Errors
    from jobsd.delays import Delay
    from jobsd.redaction import RecordLevel
    from jobsd.schedule.in_code import Crons

R = TypeVar("R")
C = TypeVar("C", bound="PlainContext")

Executor: TypeAlias = Literal["process"]

registry: dict[str, Task[..., Any]] = {}
"""Every task of this process, by name."""


class Task(Enqueueable[P, R_co]):
    """A named function and its options. Calling it calls the function."""

    __slots__ = (
        "_arguments",
        "_options",
        "aggregate",
        "backoff",
        "executor",
        "function",
        "hours",
        "is_failure",
        "memory_bytes",
        "name",
        "no_retry_on",
        "plain",
        "queue",
        "record",
        "redact",
        "resources",
        "retries",
        "retry_on",
        "timeout_ms",
    )

    checked = True
    """Its arguments are seen to fit before it runs."""
    answers = False
    """What it returns is {success, message, data}: the message is that of its execution."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        *,
        queue: str = "default",
        timeout_ms: int | None = None,
        retries: int | None = None,
        backoff: Delay | None = None,
        retry_on: tuple[type[BaseException], ...] | None = None,
        no_retry_on: tuple[type[BaseException], ...] = (),
        is_failure: Callable[[BaseException], bool] | None = None,
        resources: tuple[str, ...] = (),
        aggregate: Aggregate | None = None,
        hours: str | None = None,
        executor: Executor | None = None,
        memory_bytes: int | None = None,
        record: RecordLevel = "all",
        redact: tuple[str, ...] = (),
    ) -> None:
        self.function = function
        self.plain = not inspect.iscoroutinefunction(function)
        """Not async: it runs in a thread, or in a child process."""
        self.executor: Executor | None = executor
        self.memory_bytes = memory_bytes
        self.name = name
        self.queue = queue
        self.timeout_ms = timeout_ms
        self.retries = retries
        self.backoff = backoff
        self.retry_on = retry_on
        self.no_retry_on = no_retry_on
        self.is_failure = is_failure
        self.resources = resources
        self.aggregate = aggregate
        self.hours = hours
        """The hours in which its jobs start, as they were written; a worker has the zone for those that name none."""
        self.record: RecordLevel = record
        """Which of its runs the ledger is told of."""
        self.redact = redact
        """Names of fields that the ledger does not show, beside those that the worker's settings name."""
        self._options = JobOptions(resources=resources, aggregate=aggregate) if resources or aggregate else NO_OPTIONS
        self._arguments: Arguments | None = None

    @property
    def arguments(self) -> Arguments:
        """The function's signature, ready to validate. Built at first use: it resolves annotations."""
        if self._arguments is None:
            from jobsd.arguments import Arguments  # noqa: PLC0415 - pydantic is not needed to define a task

            try:
                self._arguments = Arguments(self.function, self.redact)
            except Exception as error:
                raise TaskDefinitionError(
                    task=self.name, problem=f"its annotations cannot be resolved: {error}"
                ) from error
        return self._arguments

    def __call__(self, ctx: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.function(ctx, *args, **kwargs)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> JobRequest[R_co]:
        """Return the call as a value, for ``enqueue_many``. Raises InvalidArgumentsError."""
        return self._request(self._options, args, kwargs)

    def opts(
        self,
        *,
        queue: str | None = None,
        delay: str | timedelta | None = None,
        at: datetime | None = None,
        timeout: str | timedelta | None = None,
        retries: int | None = None,
        backoff: Backoff | None = None,
        deadline: datetime | None = None,
        start_by: datetime | None = None,
        id: str | None = None,  # noqa: A002 - the word that callers know
        limit_key: str | None = None,
        resources: str | Sequence[str] = (),
        unique_for: str | timedelta | None = None,
        debounce: str | timedelta | None = None,
        throttle: str | timedelta | None = None,
        aggregate: Aggregate | None = None,
        unique_key: str | None = None,
        conn: Any = ...,
    ) -> TaskCall[P, R_co]:
        """Return the task with options for one call; the call's options go before the task's.

        ``delay`` is a duration from now by the server's clock, ``at`` an aware datetime, ``timeout`` the
        longest run of one attempt, ``retries`` the runs after the first that failures may cost, ``deadline``
        the instant at which the job must have ended (no attempt runs past it, none begins after it),
        ``start_by`` the instant by which its first attempt must have begun, ``id`` an id of your own (at most
        one live job has it).

        ``limit_key`` names whose job it is (a tenant) where the queue has limits per key; ``resources`` what else it
        uses up. At most one of the next four: ``unique_for``, no second job of the same arguments until this one has
        ended, and so long at the most; ``debounce``, the last call of the task wins when none has come for so long;
        ``throttle``, the first call of the task wins for so long; ``aggregate``, the lists of the calls become one
        job's. With ``unique_key`` calls are the same that have the same key.

        With ``conn``, a connection to Postgres that is in a transaction (asyncpg, psycopg, SQLAlchemy; not a pool), the
        job exists if and only if that transaction commits. Raises InvalidOptionError.
        """
        if conn is None:  # a session that was forgotten must not end in a job that is no part of its transaction
            raise InvalidOptionError(option="conn", given=None, allowed=CONN_ALLOWED)
        options = JobOptions(
            queue=queue,
            delay=delay,
            at=at,
            timeout=timeout,
            retries=retries,
            backoff=backoff,
            deadline=deadline,
            start_by=start_by,
            id=id,
            limit_key=limit_key,
            resources=(*self.resources, *resource_names(resources)),
            unique_for=unique_for,
            debounce=debounce,
            throttle=throttle,
            aggregate=aggregate or self.aggregate,
            unique_key=unique_key,
            conn=None if conn is ... else conn,
        )
        return TaskCall(self, options)

    def _request(self, options: JobOptions, args: tuple[Any, ...], kwargs: dict[str, Any]) -> JobRequest[R_co]:
        for name, value in kwargs.items():
            if name.startswith("_") and name[1:] in OPTION_NAMES:
                allowed = f"task.opts({name[1:]}=…); names with an underscore are for tasks by name"
                raise InvalidOptionError(option=name, given=value, allowed=allowed)
        for value in (*args, *kwargs.values()):
            if isinstance(value, Iterator):
                problem = f"{value!r} can be read only once, and not by a worker; pass a list"
                raise InvalidArgumentsError(task=self.name, problem=problem)
        try:
            self.arguments.validate(args, kwargs)
        except ValueError as error:
            meant = [name for name in kwargs if name in OPTION_NAMES]
            hint = f"; an option of the call goes in task.opts({meant[0]}=…)" if meant else ""
            raise InvalidArgumentsError(task=self.name, problem=f"{error}{hint}") from None
        queue = options.queue or self.queue
        if options.limited:
            if options.unique_for is not None and options.unique_key is None:
                return BoundRequest(self.name, args, kwargs, queue, options, self.arguments.bound(args, kwargs))
            if options.aggregate is not None:
                args, kwargs = self.arguments.by_position(args, kwargs)
        return JobRequest(self.name, args, kwargs, queue, options)

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"


class AsyncTask(Task[P, R_co]):
    """What ``@task()`` makes of an async function."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __call__(self, ctx: Any, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]: ...


class PlainTask(Task[P, R_co]):
    """What ``@task()`` makes of a function that is not async."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __call__(self, ctx: Any, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class TaskCall(Enqueueable[P, R_co]):
    """A task with the options of one call: what ``task.opts(…)`` returns and ``enqueue`` takes."""

    __slots__ = ("_options", "_task")

    def __init__(self, task: Task[P, R_co], options: JobOptions) -> None:
        self._task = task
        self._options = options

    def job(self, *args: P.args, **kwargs: P.kwargs) -> JobRequest[R_co]:
        return self._task._request(self._options, args, kwargs)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - two halves of one thing


class Definer(Protocol):
    """Makes a task of a function."""

    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[C, P], R], /) -> PlainTask[P, R]: ...


def task(
    name: str | None = None,
    *,
    queue: str = "default",
    timeout: str | timedelta | None = None,
    retries: int | None = None,
    backoff: Backoff | Callable[[int], str | timedelta] | None = None,
    retry_on: Errors | None = None,
    no_retry_on: Errors | None = None,
    is_failure: Callable[[BaseException], bool] | None = None,
    resources: str | Sequence[str] = (),
    aggregate: Aggregate | None = None,
    hours: str | None = None,
    executor: Executor | None = None,
    memory: str | None = None,
    record: RecordLevel = "all",
    redact: str | Sequence[str] = (),
    cron: Crons | None = None,
) -> Definer:
    """Declare a function as a task. Its first parameter is the context.

    An async function runs in the worker's event loop and is handed a Context; a plain one runs in a thread and is
    handed a PlainContext. With ``executor="process"`` either runs in a child process of the worker, which is killed
    at the timeout; there ``memory`` ("512MB") is the most that one run may allocate (on Linux).

    ``name`` is what travels in the job (default: module and function name); ``timeout`` the longest run
    of one attempt; ``retries`` how many runs after the first failures may cost; ``backoff`` the wait in
    between, a curve or a function from the failures so far to a duration. What is not given is the worker's
    setting. With ``retry_on`` only those errors are retried; those of ``no_retry_on`` never are. An error for
    which ``is_failure`` is false is retried and uses up no retry. (A timeout is a TimeoutError.)

    ``resources`` and ``aggregate`` hold for every call that has the task at hand; see ``opts``. In other hours than
    ``hours`` ("22:00-06:00", "22:00-06:00 Asia/Jakarta") no attempt starts.

    ``record`` says which runs are recorded in the ledger: "all", "failures" (every one that did not succeed) or "none";
    ``redact`` names parameters and fields, at any depth of arguments and results, whose values it does not show.

    ``cron`` says when it is run by itself: an expression ("0 2 * * *", "@every 1h30m"), ``cron(…)``, or several in a
    list. Raises TaskDefinitionError, and ScheduleDefinitionError.
    """
    delay = CustomBackoff(backoff) if callable(backoff) else backoff

    def define(function: Callable[..., Any]) -> Any:
        named = name or f"{function.__module__}.{getattr(function, '__qualname__', '?')}"
        check_function(named, function)
        try:
            curve = None if isinstance(delay, CustomBackoff) else delay
            options = JobOptions(
                queue=queue,
                timeout=timeout,
                retries=retries,
                backoff=curve,
                resources=resource_names(resources),
                aggregate=aggregate,
            )
            check_hours(hours)
            memory_bytes = check_executor(named, function, executor, memory)
            check_record(named, record)
        except (InvalidOptionError, ValueError) as error:
            raise TaskDefinitionError(task=named, problem=str(error)) from None
        kind: Any = AsyncTask if inspect.iscoroutinefunction(function) else PlainTask
        defined: Task[..., Any] = kind(
            function,
            named,
            queue=queue,
            timeout_ms=None if options.timeout is None else duration_ms(options.timeout),
            retries=retries,
            backoff=delay,
            retry_on=None if retry_on is None else errors_of(named, "retry_on", retry_on),
            no_retry_on=() if no_retry_on is None else errors_of(named, "no_retry_on", no_retry_on),
            is_failure=is_failure,
            resources=options.resources,
            aggregate=aggregate,
            hours=hours,
            executor=executor,
            memory_bytes=memory_bytes,
            record=record,
            redact=redacted_fields(named, redact),
        )
        register(defined)
        if cron is not None:
            from jobsd.schedule.in_code import schedule_task  # noqa: PLC0415 - most tasks have no schedule

            schedule_task(defined, cron)
        return defined

    if callable(name):  # @task without parentheses
        raise TaskDefinitionError(task=getattr(name, "__name__", "?"), problem="write @task() with parentheses")
    return define


def register(defined: Task[..., Any]) -> None:
    """Make a task known in this process. Raises TaskDefinitionError for a second of its name."""
    known = registry.get(defined.name)
    if known is not None and _place(known) != _place(defined):
        raise TaskDefinitionError(task=defined.name, problem=f"defined twice: {_place(known)} and {_place(defined)}")
    registry[defined.name] = defined


def _place(defined: Task[..., Any]) -> str:
    return f"{defined.function.__module__}.{defined.function.__qualname__}"
