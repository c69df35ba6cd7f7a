"""Runs a task in place: the way of a job from ``enqueue`` to its result, with nothing stored on it.

The call is made by a client, so that arguments, options and hooks are as they would be, and captured instead of stored.
What would have travelled is then read as a worker reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from jobsd.clock import ms_from_datetime
from jobsd.definition import Task, registry
from jobsd.duration import duration_ms
from jobsd.errors import InvalidArgumentsError, NotConfiguredError
from jobsd.hooks import Dependency
from jobsd.job import ID_ALLOWED, JobState, is_job_id
from jobsd.testing.captured import CapturedJob, CapturedJobs
from jobsd.testing.capturing import captured_by, is_captured, nowhere

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from jobsd.enqueueable import Enqueueable, P, R
    from jobsd.store.codec import Payload
    from jobsd.store.jobs import Jobs, Lease


class _Given(NamedTuple):
    """What is other than by default."""

    attempt: int = 1
    timeout_ms: int | None = None
    job_id: str | None = None
    shared: Mapping[str, Any] | None = None
    dependencies: Mapping[Dependency[Any], Any] | None = None
    due_at: datetime | None = None


class Run:
    """``await run(task, …)`` runs a task in place and returns what it returned; see there."""

    def __init__(self, given: _Given) -> None:
        self._given = given

    def given(
        self,
        *,
        attempt: int = 1,
        timeout: str | timedelta | None = None,
        job_id: str | None = None,
        shared: Mapping[str, Any] | None = None,
        dependencies: Mapping[Dependency[Any], Any] | None = None,
        due_at: datetime | None = None,
    ) -> Run:
        """Return a ``run`` for these circumstances.

        ``attempt`` is the number of the run, ``timeout`` goes before the task's own, ``shared`` is what a worker's
        contexts begin with (``ctx["db"]``), and ``dependencies`` are values that stand in for dependencies. ``due_at``
        makes it the run of a schedule's due time: ``ctx.due_at``. Raises ValueError for what cannot be.
        """
        if not isinstance(attempt, int) or attempt < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"attempt is {attempt!r}; the first is 1"
            raise ValueError(msg)
        if job_id is not None and not is_job_id(job_id):
            msg = f"job_id is {job_id!r}; allowed is {ID_ALLOWED}"
            raise ValueError(msg)
        for one in dependencies or {}:
            if not isinstance(one, Dependency):  # pyright: ignore[reportUnnecessaryIsInstance]
                msg = f"dependencies has {one!r}, which @dependency did not make"
                raise ValueError(msg)  # noqa: TRY004 - as for the others
        if due_at is not None and (not isinstance(due_at, datetime) or due_at.tzinfo is None):  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"due_at is {due_at!r}; allowed is a datetime with a zone"
            raise ValueError(msg)
        timeout_ms = None if timeout is None else duration_ms(timeout)
        return Run(_Given(attempt, timeout_ms, job_id, shared, dependencies, due_at))

    async def __call__(self, task: Enqueueable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``task`` here and now, as a worker would run it, and return what it returned.

        The arguments go through JSON and are checked as on their way to a worker. Hooks run, dependencies are open.
        What the task enqueues is captured, and lost unless a ``capture`` is open. A plain function runs in a thread,
        whatever its ``executor``.

        Raises what ``enqueue`` raises, and what the task raises, ``Retry`` and its like too; TimeoutError at the end of
        its timeout, and AssertionError for a result that has no JSON form. Retries, limits and hours are a worker's.
        For ``ctx.transaction`` and steps ``shared`` has to have a pool as ``"db"``. What a task raises after its commit
        is raised here, too, although a worker's job has succeeded by then.
        """
        made = CapturedJobs()
        with captured_by(made):
            await nowhere().enqueue(cast("Any", task), *args, **kwargs)
        if not made:
            raise AssertionError(f"nothing of {task!r} came through the hooks around enqueue: there is nothing to run")
        return await self.captured(made[0], task if isinstance(task, Task) else None)

    async def captured(self, job: CapturedJob[R], task: Task[..., R] | None = None) -> R:
        """Run a job that was captured, of ``task``, or of the task that has its name."""
        task = task or registry.get(job.task)
        if task is None:
            raise LookupError(f"no task {job.task!r} is defined here: import the module that has it")
        # In a task of its own: what the run sets of context variables ends with it, as in a worker.
        result, job.error = await asyncio.create_task(self._ended(job, task))
        job.state = JobState.COMPLETED if job.error is None else JobState.ARCHIVED
        if job.error is not None:
            raise job.error
        job.result = cast("R", result)
        return job.result

    async def _ended(self, job: CapturedJob[R], task: Task[..., R]) -> tuple[R | None, BaseException | None]:
        """Return the error as a value: not even SystemExit may end the loop of the tests, as it would from here."""
        try:
            return await self._in_place(job, task), None
        except BaseException as error:  # noqa: BLE001 - it is raised by whoever waits
            return None, error

    async def _in_place(self, job: CapturedJob[R], task: Task[..., R]) -> R:
        from jobsd.engine.calling import Caller  # noqa: PLC0415 - a capture alone needs no engine
        from jobsd.engine.dependencies import Dependencies  # noqa: PLC0415 - as above
        from jobsd.hooks import overridden  # noqa: PLC0415 - as above
        from jobsd.outcome import AlreadyDone  # noqa: PLC0415 - as above
        from jobsd.store.codec import decode_payload  # noqa: PLC0415 - as above

        payload = decode_payload(job.payload)
        if self._given.due_at is not None:
            payload.options.update(_options_of(self._given.due_at))
        try:
            args, kwargs = task.arguments.validate(payload.args, payload.kwargs)
        except ValueError as error:
            raise InvalidArgumentsError(task=task.name, problem=str(error)) from None
        async with contextlib.AsyncExitStack() as stack:
            if not is_captured():
                stack.enter_context(captured_by(CapturedJobs()))
            for dependency, value in (self._given.dependencies or {}).items():
                stack.enter_context(overridden(dependency, value))
            dependencies = Dependencies()
            stack.push_async_callback(dependencies.close)
            await dependencies.open()
            shared = {"client": nowhere()} | dict(self._given.shared or {})
            caller = Caller(cast("Jobs", _Desk(job, shared)), shared, dependencies=dependencies)
            lease = self._lease(job, payload)
            result = cast("R", None)
            try:
                with contextlib.suppress(AlreadyDone):
                    result = await self._within_timeout(caller.call(task, lease, payload, args, kwargs), task, payload)
            finally:
                lease.over = True
            if lease.effect is not None and lease.effect.given:
                result = lease.effect.result
        _check_result(task, result)
        return result

    async def _within_timeout(self, call: Any, task: Task[..., Any], payload: Payload) -> Any:
        from jobsd.engine.decide import timed_out_message  # noqa: PLC0415 - as in _in_place
        from jobsd.engine.options import WorkerOptions  # noqa: PLC0415 - as in _in_place

        default_ms = task.timeout_ms or duration_ms(WorkerOptions().timeout)
        limit_ms = self._given.timeout_ms or int(payload.options.get("t") or default_ms)
        limit = asyncio.timeout(limit_ms / 1000)
        try:
            async with limit:
                result = await call
        except BaseException as error:
            if limit.expired():
                raise TimeoutError(f"{task.name} {timed_out_message(limit_ms)}") from error
            raise
        if limit.expired():  # it ended well all the same, and too late
            raise TimeoutError(f"{task.name} {timed_out_message(limit_ms)}")
        return result

    def _lease(self, job: CapturedJob[Any], payload: Payload) -> Lease:
        from jobsd.clock import now_ms  # noqa: PLC0415 - as in _in_place
        from jobsd.store.jobs import Lease  # noqa: PLC0415 - as in _in_place

        now, attempt, job_id = now_ms(), self._given.attempt, self._given.job_id or job.id
        mark = f"jobsd.testing:1:1:{now}:{attempt}:{payload.enqueued_at}"
        return Lease(job.queue, job_id, mark, payload.enqueued_at, now, attempt, job.payload, None, now)


run = Run(_Given())


def _options_of(due_at: datetime) -> dict[str, Any]:
    """Return what a schedule's job has of its due time."""
    from jobsd.schedule.names import DUE, ZONE  # noqa: PLC0415 - most tests have no schedule

    zone = getattr(due_at.tzinfo, "key", "UTC")
    return {DUE: ms_from_datetime(due_at), ZONE: zone}


class _Desk:
    """Where a task tells its progress, and finds Redis, if it was given any."""

    progress_every_s = 0.0

    def __init__(self, job: CapturedJob[Any], shared: Mapping[str, Any]) -> None:
        self._job = job
        self._shared = shared

    @property
    def redis(self) -> Any:
        if "redis" not in self._shared:
            ways = 'a task that is run in place is given one: run.given(shared={"redis": client})'
            raise NotConfiguredError(what="Redis", ways=ways)
        return self._shared["redis"]

    async def progress(self, _lease: Lease, done: int, total: int) -> bool:
        self._job.progress.append((done, total))
        return True


def _check_result(task: Task[..., Any], result: Any) -> None:
    """Raise AssertionError for a result of which a worker would keep no more than its ``repr``."""
    from pydantic_core import PydanticSerializationError, to_json  # noqa: PLC0415 - as in _in_place

    from jobsd.execution import RESULT_LIMIT  # noqa: PLC0415 - as in _in_place

    try:
        size = len(to_json(result))
    except (PydanticSerializationError, ValueError, RecursionError, TypeError) as error:
        problem = f"has no JSON form: {error}"
    else:
        if size <= RESULT_LIMIT:
            return
        problem = f"is {size:,} bytes of JSON; the limit is {RESULT_LIMIT:,}"
    raise AssertionError(f"the result of {task.name} {problem}. A worker would keep its repr in the place of it")
