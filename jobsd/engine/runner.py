"""Runs a task under its limits: whatever happens in there becomes an Outcome."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jobsd.context import Context
from jobsd.delays import DEFAULT, Backoff
from jobsd.duration import duration_ms
from jobsd.engine.attempt import Attempt, Stop
from jobsd.engine.decide import Policy
from jobsd.engine.gates import Opening
from jobsd.engine.texts import MESSAGE_LIMIT, capped, message_of, trace_of
from jobsd.events import Event
from jobsd.hours import Hours
from jobsd.logger import log
from jobsd.outcome import (
    Cancelled,
    Drop,
    Dropped,
    Expired,
    Failed,
    Interrupted,
    LeaseLost,
    Outcome,
    Retry,
    SkipRetry,
    Snooze,
    Snoozed,
    Succeeded,
    TimedOut,
    TooEarly,
    UnknownTask,
    Untagged,
)
from jobsd.store.codec import PAYLOAD_START, UndecodableError
from jobsd.store.looks import noted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobsd.definition import Task
    from jobsd.engine.options import WorkerOptions
    from jobsd.store.codec import Codec
    from jobsd.store.jobs import Jobs


_CANCEL_AGAIN_S = 1.0


class Runner:
    """Looks a job's task up, checks its arguments, runs it with a timer."""

    def __init__(
        self,
        jobs: Jobs,
        tasks: Mapping[str, Task[..., Any]],
        options: WorkerOptions,
        shared: dict[str, Any],
        codec: Codec,
        *,
        timezone: str = "UTC",
    ) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._shared = shared
        self._codec = codec
        self._timeout_ms = duration_ms(options.timeout)
        self._retries = options.retries
        self._cancel_grace_s = options.cancel_grace.total_seconds()
        self._loop = asyncio.get_running_loop()
        self._openings = {
            task.name: Opening(Hours.parse(task.hours, timezone)) for task in tasks.values() if task.hours is not None
        }

    async def run(self, attempt: Attempt) -> Outcome:
        """Run the attempt to its end; nothing but its outcome comes out of here."""
        attempt.running = True
        try:
            prepared = self._prepare(attempt)
            expired = _expired(attempt)
        except UndecodableError as error:
            return Failed("UndecodableError", capped(str(error), MESSAGE_LIMIT), for_good=True)
        except Exception as error:  # noqa: BLE001 - options may be wrong, and a validator of the user's may raise anything
            return Failed("InvalidArgumentsError", message_of(error), for_good=True)
        if attempt.stop is not None:
            return stopped_outcome(attempt, asyncio.CancelledError()) or Interrupted()
        if prepared is None:
            assert attempt.payload is not None  # noqa: S101 - it was read, or an error was raised
            return UnknownTask(attempt.payload.task)
        if expired is not None:
            return expired
        task, ctx, args, kwargs = prepared
        if (task.hours is not None or task.resources) and (not_yet := self._not_yet(attempt, task)):
            return not_yet
        timer = self._loop.call_later(attempt.timeout_ms / 1000, self._expire, attempt)
        attempt.called = True
        try:
            result = await task.function(ctx, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - not even SystemExit of a task may end the worker
            return _outcome_of(attempt, error)
        else:
            return stopped_outcome(attempt, None) or Succeeded(result)
        finally:
            timer.cancel()

    def _prepare(self, attempt: Attempt) -> tuple[Task[..., Any], Context, tuple[Any, ...], dict[str, Any]] | None:
        """Read the job and look its task up; None if nobody here knows the task."""
        lease = attempt.lease
        payload = attempt.payload = self._codec.decode(lease.payload)
        task = attempt.task = self._tasks.get(payload.task)
        if task is None:
            return None
        options = payload.options
        attempt.timeout_ms = int(options.get("t") or task.timeout_ms or self._timeout_ms)
        if "dl" in options:
            attempt.timeout_ms = max(1, min(attempt.timeout_ms, int(options["dl"]) - lease.started_at))
        attempt.policy = self._policy(task, options, lease.side)
        args, kwargs = task.arguments.validate(payload.args, payload.kwargs)
        ctx = Context(self._shared, self._jobs, lease, payload.task, payload.enqueued_at)
        return task, ctx, args, kwargs

    def _not_yet(self, attempt: Attempt, task: Task[..., Any]) -> TooEarly | Untagged | None:
        """Return why the job has to wait for what its task asks for, if it does."""
        if task.name in self._openings:
            now = attempt.now
            opens, _ = self._openings[task.name].at(now)
            if opens > now:
                return TooEarly(opens)
        if task.resources and (attempt.lease.payload or b"").startswith(PAYLOAD_START):
            assert attempt.payload is not None  # noqa: S101 - it was read
            limits = with_resources(attempt.payload.limits, task.resources)
            if limits != attempt.payload.limits:
                return Untagged(limits)
        return None

    def _policy(self, task: Task[..., Any], options: dict[str, Any], side: bytes | None) -> Policy:
        retries = int(options["r"]) if "r" in options else task.retries
        backoff = Backoff.from_wire(options["b"]) if "b" in options else task.backoff
        failures = int(noted(side).get("f", 0)) if side else 0
        deadline = int(options["dl"]) if "dl" in options else None
        return Policy(failures, self._retries if retries is None else retries, backoff or DEFAULT, deadline)

    def _expire(self, attempt: Attempt) -> None:
        attempt.cancel(Stop.TIMEOUT)
        self.watch(attempt)

    def watch(self, attempt: Attempt) -> None:
        """Report a cancelled function that has not ended within the grace, and cancel it again, until it ends.

        It keeps its slot and its lease. Not every such function resists: on Python 3.11 ``asyncio.wait_for``
        can lose a cancellation.
        """

        def again() -> None:
            if attempt.runs_in is None or attempt.runs_in.done():
                return
            if not attempt.resisting:
                attempt.resisting = True
                task = attempt.payload.task if attempt.payload else None
                log.warning(
                    Event.JOB_RESISTED,
                    job_id=attempt.lease.id,
                    task=task,
                    reason=attempt.reason,
                )
            attempt.runs_in.cancel()
            self._loop.call_later(max(self._cancel_grace_s, _CANCEL_AGAIN_S), again)

        self._loop.call_later(self._cancel_grace_s, again)


def with_resources(limits: str, resources: Sequence[str]) -> str:
    """Return the limits text of a job with those resources in it that its caller did not name.

    >>> with_resources("k=acme,r=stripe,u=00/60000", ["maps"])
    'k=acme,r=maps,r=stripe,u=00/60000'
    """
    parts = limits.split(",") if limits else []
    missing = [f"r={name}" for name in resources if f"r={name}" not in parts]
    if not missing:
        return limits
    lanes = [part for part in parts if part.startswith(("k=", "r="))]
    return ",".join([*sorted([*lanes, *missing]), *parts[len(lanes) :]])


def _outcome_of(attempt: Attempt, error: BaseException) -> Outcome:
    stopped = stopped_outcome(attempt, error)
    if stopped is not None:
        return stopped
    match error:
        case Retry():
            return _failed(error, delay_ms=error.delay_ms)
        case Snooze():
            return Snoozed(error.delay_ms)
        case SkipRetry():
            return _failed(error, for_good=True)
        case Drop():
            return Dropped(message_of(error))
        case _:
            return _failed(error, for_good=_not_retried(attempt, type(error)), counts=_counts(attempt, error))


def _expired(attempt: Attempt) -> Expired | None:
    """Return the outcome of a job that comes too late; only a first attempt can miss its start."""
    options = attempt.payload.options if attempt.payload else {}
    started_at = attempt.lease.started_at
    if "sb" in options and attempt.lease.attempt == 1 and started_at > int(options["sb"]):
        late_s = (started_at - int(options["sb"])) / 1000
        return Expired(f"expired: it could start only {late_s:,.1f} s after start_by")
    if "dl" in options and started_at >= int(options["dl"]):
        return Expired("expired: its deadline had passed before it could start")
    return None


def _not_retried(attempt: Attempt, kind: type[BaseException]) -> bool:
    task = attempt.task
    if task is None:
        return False
    return issubclass(kind, task.no_retry_on) or (task.retry_on is not None and not issubclass(kind, task.retry_on))


def _counts(attempt: Attempt, error: BaseException) -> bool:
    if attempt.task is None or attempt.task.is_failure is None:
        return True
    try:
        return bool(attempt.task.is_failure(error))
    except Exception:  # noqa: BLE001 - what cannot be told apart is a failure
        return True


def stopped_outcome(attempt: Attempt, error: BaseException | None) -> Outcome | None:
    """Return the outcome of a function that we cancelled, however it chose to end afterwards."""
    match attempt.stop:
        case Stop.TIMEOUT:
            for_good = _not_retried(attempt, TimeoutError)
            return TimedOut(attempt.timeout_ms, trace_of(error) if error else None, for_good)
        case Stop.LEASE_LOST:
            return LeaseLost()
        case Stop.SHUTDOWN:
            # One that came to its own end is not run again; an error on the way out is of our making.
            return None if error is None else Interrupted()
        case Stop.CANCELLED:
            return None if error is None else Cancelled("cancelled")
        case Stop.ABORTED:
            return Cancelled("cancelled") if isinstance(error, asyncio.CancelledError) else None
        case None:
            return None


def _failed(
    error: BaseException, *, delay_ms: int | None = None, for_good: bool = False, counts: bool = True
) -> Failed:
    return Failed(type(error).__name__, message_of(error), trace_of(error), delay_ms, for_good, counts)
