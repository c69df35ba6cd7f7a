"""What a running task is handed: arq's ``ctx`` dictionary, with attributes.

An async function is handed a Context, a plain one a PlainContext: the same facts, with calls that block. What a
job does once in Postgres is in records/effects.py and steps.py, which are imported when a task asks for them.
"""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from jobsd.clock import monotonic, utc_from_ms
from jobsd.duration import duration_ms
from jobsd.errors import DependencyError, NotConfiguredError
from jobsd.events import Event
from jobsd.hooks import Dependency, overrides

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Mapping
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime, timedelta

    import structlog

    from jobsd.client import Client, JobRef
    from jobsd.enqueueable import Enqueueable, P, R, TaskName
    from jobsd.hooks import Opened
    from jobsd.records.steps import Steps
    from jobsd.store.jobs import Jobs, Lease

T = TypeVar("T")
Q = ParamSpec("Q")

_NONE_GIVEN: Mapping[str, Any] = MappingProxyType({})
_MISSING: Any = None
"""The function of a step that was given no name: steps.py says what is missing."""


class Facts(dict[str, Any]):
    """The worker's dictionary (what its tasks share) and the facts of this attempt.

    As in arq: ``ctx["job_id"]``, ``ctx["job_try"]``, ``ctx["enqueue_time"]``, ``ctx["score"]``.
    """

    __slots__ = ("_dependencies", "_headers", "_incarnation", "_lease", "_options", "task")

    _lease: Lease
    _incarnation: str
    _headers: dict[str, Any] | None
    _dependencies: Opened | None
    _options: Mapping[str, Any]
    task: str

    @property
    def job_id(self) -> str:
        return self._lease.id

    @property
    def attempt(self) -> int:
        """The number of this run; the first is 1."""
        return self._lease.attempt

    @property
    def queue(self) -> str:
        return self._lease.queue

    @property
    def token(self) -> str:
        """What proves this attempt's right to run; new on each attempt."""
        return self._lease.mark

    @property
    def idempotency_key(self) -> str:
        """For services outside: the same on each attempt of the job, and of no other job, even if that has its id."""
        return f"{self._lease.id}-{self._incarnation}"

    def set_result(self, value: Any) -> None:
        """Keep the job's result with ``transaction``, inside of which this is said: it is the job's, whatever follows.

        Raises TransactionError, also for what has no JSON form, or more than 256 KiB of it.
        """
        from jobsd.records.effects import set_result  # noqa: PLC0415 - see above

        set_result(self._lease, value)

    @property
    def schedule(self) -> str | None:
        """The name of the schedule that made this job; None of any other job."""
        from jobsd.schedule.names import SCHEDULE  # noqa: PLC0415 - most tasks do not ask

        name = self._options.get(SCHEDULE)
        return name if isinstance(name, str) else None

    @property
    def due_at(self) -> datetime | None:
        """The due time of ``schedule`` that this job is of, in its zone: the same on each attempt, however late.

        Of a job that was triggered by hand it is when that was.
        """
        from jobsd.schedule.names import DUE, ZONE  # noqa: PLC0415 - as above
        from jobsd.zones import zone_named  # noqa: PLC0415

        due, zone = self._options.get(DUE), self._options.get(ZONE, "UTC")
        return utc_from_ms(due).astimezone(zone_named(zone)) if isinstance(due, int) else None

    @property
    def headers(self) -> Mapping[str, Any]:
        """What travelled beside the arguments: trace context, request id, what was carried or put there by hooks."""
        return MappingProxyType(self._headers or {})

    def use(self, dependency: Dependency[T]) -> T:
        """Return the value of a dependency, which was opened when this process started.

        Raises DependencyError if it could not be, with the cause: the job fails and is retried, while the worker goes
        on trying.
        """
        if not isinstance(dependency, Dependency):  # pyright: ignore[reportUnnecessaryIsInstance] - not all are typed
            msg = f"ctx.use takes what @dependency made, not {dependency!r}"
            raise TypeError(msg)
        if self._dependencies is not None:
            return self._dependencies.use(dependency)
        if dependency in overrides:
            return overrides[dependency]
        raise DependencyError(dependency=dependency.name, cause="this context is not of a worker")

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """The logger, bound to this job."""
        from jobsd.logger import log  # noqa: PLC0415 - a service that only shares the tasks' module has no structlog

        return log.bind(job_id=self.job_id, task=self.task, queue=self.queue, attempt=self.attempt)


class Context(Facts):
    """What an async function is handed."""

    __slots__ = ("_jobs", "_made_steps", "_progress_at", "_whole")

    _made_steps: Steps

    def __init__(
        self,
        shared: dict[str, Any],
        jobs: Jobs,
        lease: Lease,
        task: str,
        enqueued_at: int,
        headers: dict[str, Any] | None = None,
        dependencies: Opened | None = None,
        incarnation: str = "",
        options: Mapping[str, Any] = _NONE_GIVEN,
    ) -> None:
        super().__init__(
            shared, job_id=lease.id, job_try=lease.attempt, enqueue_time=utc_from_ms(enqueued_at), score=lease.due
        )
        self._lease = lease
        self._headers = headers
        self._dependencies = dependencies
        self._incarnation = incarnation
        self._options = options
        self.task = task
        self._jobs = jobs
        self._progress_at = 0.0
        self._whole = False

    @property
    def redis(self) -> Any:
        """The worker's Redis client."""
        return self._jobs.redis

    @property
    def db(self) -> Any:
        """The Postgres pool (asyncpg). Raises NotConfiguredError when no database is configured."""
        if "db" not in self:
            raise NotConfiguredError(what="Postgres", ways="set JOBSD_DATABASE_URL for the daemon")
        return self["db"]

    async def enqueue(self, task: Enqueueable[P, R] | TaskName[P], /, *args: P.args, **kwargs: P.kwargs) -> JobRef[R]:
        """Enqueue another job; see Client.enqueue."""
        client: Client = self["client"]
        return await client.enqueue(task, *args, **kwargs)

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """Return the transaction that does the job: ``async with ctx.transaction() as conn``, an asyncpg connection.

        What is written with ``conn`` and the fact that the job is done commit together, once, however often the job is
        delivered. From the commit on the job has succeeded, whatever the function does next. Its result is what
        ``set_result`` was given inside of the block, else what the function returns. Where another run of the job has
        committed, this one ends at the block, with that one's result.

        Raises TransactionError for a second one in a job (several are what ``step_transaction`` is for), InDoubtError
        where Postgres does not say what became of a COMMIT, NotConfiguredError, SchemaError, and asyncpg's errors. A
        block that is left by an error is rolled back. Between two statements it may take a minute.
        """
        from jobsd.records.effects import transaction  # noqa: PLC0415 - a service that shares the tasks has no asyncpg

        return transaction(self.db, self._lease, self._incarnation, self.task)

    async def step(self, key: str, function: Callable[Q, Any] = _MISSING, /, *args: Q.args, **kwargs: Q.kwargs) -> Any:
        """Return what ``function(*args, **kwargs)`` returned, async or plain; it runs once, on all attempts of the job.

        ``key`` names the step in the job. What it returned is kept as JSON, and comes back as that, also now. It is
        noted after the function has ended: a process that is killed in between runs it again, and a service outside
        knows that by ``idempotency_key``. Raises StepError, and what the function raises: then it has not run.
        """
        from jobsd.records.stepping import run_step  # noqa: PLC0415 - see transaction

        return await run_step(self.steps_of_attempt(), key, function, args, kwargs)

    async def step_transaction(
        self, key: str, function: Callable[Concatenate[Any, Q], Any] = _MISSING, /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Any:
        """Return what ``function(conn, *args, **kwargs)`` returned; its writes commit with the step, exactly once.

        ``conn`` is an asyncpg connection in a transaction. Otherwise as ``step`` is, and raises what ``transaction``
        does.
        """
        from jobsd.records.stepping import run_step_transaction  # noqa: PLC0415 - see transaction

        return await run_step_transaction(self.steps_of_attempt(), key, function, args, kwargs)

    async def sleep(self, duration: str | timedelta) -> None:
        """Go on after ``duration``, in another attempt: the function ends here, and its slot is free until then.

        It begins anew, and what it has done in steps is remembered; so is that this sleep is over.
        """
        await self.steps_of_attempt().sleep(duration_ms(duration))

    def steps_of_attempt(self) -> Steps:
        """Return what this attempt remembers, for jobsd itself."""
        from jobsd.records.steps import Steps  # noqa: PLC0415 - see transaction

        try:
            return self._made_steps
        except AttributeError:  # most jobs have none
            self._made_steps = Steps(self.db, self._lease, self._incarnation)
            return self._made_steps

    def progress_is_due(self, done: int, total: int) -> bool:
        """Say whether ``progress`` would write this."""
        return monotonic() - self._progress_at >= self._jobs.progress_every_s or (done == total and not self._whole)

    async def progress(self, done: int, total: int) -> None:
        """Publish how far the job is. Written at most five times a second, and at the end.

        It is information: when Redis does not take it, the job goes on.
        """
        if not self.progress_is_due(done, total):
            return
        self._progress_at, self._whole = monotonic(), done == total
        try:
            await self._jobs.progress(self._lease, done, total)
        except Exception as error:  # noqa: BLE001 - see above
            self.log.debug(Event.PROGRESS_UNSAID, cause=repr(error))


class PlainContext(Facts):
    """What a plain function is handed, in its thread or child process."""

    __slots__ = ("_context", "_stopping", "_wait")

    def __init__(
        self,
        context: Context,
        *,
        wait: Callable[[Coroutine[Any, Any, Any]], Any],
        stopping: Callable[[], bool],
    ) -> None:
        self.update(context)
        self._lease = context._lease  # noqa: SLF001 - two halves of one thing
        self._headers = context._headers  # noqa: SLF001
        self._dependencies = context._dependencies  # noqa: SLF001
        self._incarnation = context._incarnation  # noqa: SLF001
        self._options = context._options  # noqa: SLF001
        self.task = context.task
        self._context = context
        self._wait = wait
        self._stopping = stopping

    @property
    def redis(self) -> Any:
        """The worker's Redis client; its calls go through ``wait``."""
        return self._context.redis

    @property
    def db(self) -> Any:
        """The Postgres pool, as in Context; its calls go through ``wait``. Raises NotConfiguredError."""
        return self._context.db

    @property
    def stopping(self) -> bool:
        """Whether the function is to end: its time is over, or somebody cancelled the job, or the worker shuts down.

        It is also interrupted, at its next line of Python.
        """
        return self._stopping()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the process's event loop, and return its result when it is there."""
        return self._wait(coroutine)

    def enqueue(self, task: Enqueueable[P, R] | TaskName[P], /, *args: P.args, **kwargs: P.kwargs) -> JobRef[R]:
        """Enqueue another job; see Client.enqueue. What its reference answers is waited for with ``wait``."""
        return self._wait(self._context.enqueue(task, *args, **kwargs))

    @contextmanager
    def transaction(self) -> Generator[Any]:
        """Return the transaction that does the job, as Context.transaction; the calls of its connection block."""
        from jobsd.records.blocking import BlockingConnection  # noqa: PLC0415 - see Context.transaction

        transaction = self._context.transaction()
        connection = self._wait(transaction.__aenter__())
        try:
            yield BlockingConnection(connection, self._wait)
        except BaseException as error:
            self._wait(transaction.__aexit__(type(error), error, error.__traceback__))
            raise
        self._wait(transaction.__aexit__(None, None, None))

    def step(self, key: str, function: Callable[Q, Any] = _MISSING, /, *args: Q.args, **kwargs: Q.kwargs) -> Any:
        """Return what ``function(*args, **kwargs)`` returned, which runs once, as Context.step does."""
        from jobsd.records.stepping import run_step_in_thread  # noqa: PLC0415 - see Context.transaction

        steps = self._context.steps_of_attempt()
        return run_step_in_thread(self._wait, steps, key, function, args, kwargs)

    def step_transaction(
        self, key: str, function: Callable[Concatenate[Any, Q], Any] = _MISSING, /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Any:
        """Return what ``function(conn, *args, **kwargs)`` returned, as Context.step_transaction does."""
        from jobsd.records.stepping import run_step_transaction_in_thread  # noqa: PLC0415 - see Context.transaction

        steps = self._context.steps_of_attempt()
        return run_step_transaction_in_thread(self._wait, steps, key, function, args, kwargs)

    def sleep(self, duration: str | timedelta) -> None:
        """Go on after ``duration``, in another attempt, as Context.sleep does."""
        self._wait(self._context.sleep(duration))

    def progress(self, done: int, total: int) -> None:
        """Publish how far the job is, as Context.progress does."""
        if self._context.progress_is_due(done, total):
            self._wait(self._context.progress(done, total))
