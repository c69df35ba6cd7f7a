"""Runs a task under its limits: whatever happens in there becomes an Outcome."""

from __future__ import annotations

import asyncio
import json
import traceback
from typing import TYPE_CHECKING, Any

from jobsd.context import Context
from jobsd.delays import DEFAULT, Backoff
from jobsd.duration import duration_ms
from jobsd.engine.attempt import Attempt, Stop
from jobsd.engine.decide import Policy
from jobsd.events import Event
from jobsd.logger import log
from jobsd.outcome import (
    Drop,
    Dropped,
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
    UnknownTask,
)
from jobsd.store.codec import UndecodableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsd.definition import Task
    from jobsd.engine.options import WorkerOptions
    from jobsd.store.codec import Codec
    from jobsd.store.jobs import Jobs

MESSAGE_LIMIT = 2048
TRACE_LIMIT = 16 * 1024


class Runner:
    """Looks a job's task up, checks its arguments, runs it with a timer."""

    def __init__(
        self,
        jobs: Jobs,
        tasks: Mapping[str, Task[..., Any]],
        options: WorkerOptions,
        shared: dict[str, Any],
        codec: Codec,
    ) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._shared = shared
        self._codec = codec
        self._timeout_ms = duration_ms(options.timeout)
        self._retries = options.retries
        self._cancel_grace_s = options.cancel_grace.total_seconds()
        self._loop = asyncio.get_running_loop()

    async def run(self, attempt: Attempt) -> Outcome:
        """Run the attempt to its end; nothing but its outcome comes out of here."""
        attempt.running = True
        if attempt.stop is not None:
            return LeaseLost() if attempt.stop is Stop.LEASE_LOST else Interrupted()
        lease = attempt.lease
        try:
            payload = attempt.payload = self._codec.decode(lease.payload)
        except UndecodableError as error:
            return Failed("UndecodableError", str(error), for_good=True)
        task = attempt.task = self._tasks.get(payload.task)
        if task is None:
            return UnknownTask(payload.task)
        options = payload.options
        attempt.timeout_ms = options.get("t") or task.timeout_ms or self._timeout_ms
        attempt.policy = self._policy(task, options, lease.side)
        try:
            args, kwargs = task.arguments.validate(payload.args, payload.kwargs)
        except Exception as error:  # noqa: BLE001 - a validator of the user's may raise anything
            return Failed("InvalidArgumentsError", _capped(str(error), MESSAGE_LIMIT), for_good=True)
        ctx = Context(self._shared, self._jobs, lease, payload.task, payload.enqueued_at)
        timer = self._loop.call_later(attempt.timeout_ms / 1000, self._expire, attempt)
        try:
            result = await task.function(ctx, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - not even SystemExit of a task may end the worker
            return _outcome_of(attempt, error)
        else:
            return _stopped(attempt, None) or Succeeded(result)
        finally:
            timer.cancel()

    def _policy(self, task: Task[..., Any], options: dict[str, Any], side: bytes | None) -> Policy:
        retries = options.get("r", task.retries)
        backoff = Backoff.from_wire(options["b"]) if "b" in options else task.backoff
        failures = json.loads(side).get("f", 0) if side else 0
        return Policy(failures, self._retries if retries is None else retries, backoff or DEFAULT)

    def _expire(self, attempt: Attempt) -> None:
        attempt.cancel(Stop.TIMEOUT)
        self.watch(attempt)

    def watch(self, attempt: Attempt) -> None:
        """Report a cancelled function that has not ended within the grace. It keeps its slot and its lease."""

        def report() -> None:
            if attempt.runs_in is not None and not attempt.runs_in.done():
                attempt.resisting = True
                payload = attempt.payload
                log.warning(
                    Event.JOB_RESISTED, job_id=attempt.lease.id, task=payload and payload.task, reason=str(attempt.stop)
                )

        self._loop.call_later(self._cancel_grace_s, report)


def _outcome_of(attempt: Attempt, error: BaseException) -> Outcome:
    stopped = _stopped(attempt, error)
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
            return Dropped(_capped(str(error), MESSAGE_LIMIT))
        case _:
            return _failed(error)


def _stopped(attempt: Attempt, error: BaseException | None) -> Outcome | None:
    """Return the outcome of a function that we cancelled, however it chose to end afterwards."""
    match attempt.stop:
        case Stop.TIMEOUT:
            return TimedOut(attempt.timeout_ms, _trace(error) if error else None)
        case Stop.LEASE_LOST:
            return LeaseLost()
        case Stop.SHUTDOWN:
            # One that came to its own end in the grace is not run again.
            return Interrupted() if isinstance(error, asyncio.CancelledError) else None
        case None:
            return None


def _failed(error: BaseException, *, delay_ms: int | None = None, for_good: bool = False) -> Failed:
    kind = type(error).__name__
    return Failed(kind, _capped(str(error) or kind, MESSAGE_LIMIT), _trace(error), delay_ms, for_good)


def _trace(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as broken:  # noqa: BLE001 - an exception whose __str__ raises
        text = f"(no trace: {broken!r})"
    return text if len(text) <= TRACE_LIMIT else "… (cut)\n" + text[-TRACE_LIMIT:]


def _capped(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "… (cut)"
