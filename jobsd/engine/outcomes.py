"""What an attempt's end means, before anybody decides about the job: an error or a stop as an Outcome."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING, cast

from jobsd.engine.attempt import Stop
from jobsd.engine.texts import message_of, trace_of
from jobsd.errors import InDoubtError, NotConfiguredError, StepError, TransactionError, UnsuccessfulError
from jobsd.outcome import (
    Asleep,
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
    TimedOut,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.engine.attempt import Attempt


def outcome_of(attempt: Attempt, error: BaseException) -> Outcome:
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
        case Asleep():
            return Snoozed(error.delay_ms)
        case BaseExceptionGroup() if sleeps := _sleeps(error):
            return Snoozed(min(sleeps))
        case InDoubtError():  # the next attempt finds out, and so there is one, whatever the task says of errors
            return in_doubt(error)
        case _:
            for_good = _is_hopeless(error) or _not_retried(attempt, type(error))
            return _failed(error, for_good=for_good, counts=_counts(attempt, error))


def in_doubt(error: InDoubtError, delay_ms: int | None = None) -> Failed:
    """Return the outcome of a job that may be done; without ``delay_ms`` it is asked for after the task's backoff."""
    return _failed(error, delay_ms=delay_ms, counts=False)._replace(in_doubt=True)


def expired(attempt: Attempt, started_at: int) -> Expired | None:
    """Return the outcome of a job that would begin too late then; only a first attempt can miss its start."""
    options = attempt.payload.options if attempt.payload else {}
    if "sb" in options and attempt.lease.attempt == 1 and started_at > int(options["sb"]):
        late_s = (started_at - int(options["sb"])) / 1000
        return Expired(f"expired: it could start only {late_s:,.1f} s after start_by")
    if "dl" in options and started_at >= int(options["dl"]):
        return Expired("expired: its deadline had passed before it could start")
    return None


def _sleeps(error: BaseException) -> list[int]:
    """Return the ms of the sleeps in an asyncio.TaskGroup's group; none where there is anything else in it."""
    if isinstance(error, BaseExceptionGroup):
        inside = cast("Sequence[BaseException]", error.exceptions)
        found = [_sleeps(one) for one in inside]
        return list(chain.from_iterable(found)) if all(found) else []
    return [error.delay_ms] if isinstance(error, Asleep) else []


def _is_hopeless(error: BaseException) -> bool:
    """Say whether the next attempt would end like this one, and do again what it did before."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_hopeless, cast("Sequence[BaseException]", error.exceptions)))
    return isinstance(error, NotConfiguredError) or (isinstance(error, StepError | TransactionError) and error.for_good)


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
    trace = None if isinstance(error, UnsuccessfulError) else trace_of(error)  # nothing was raised but by us
    return Failed(type(error).__name__, message_of(error), trace, delay_ms, for_good, counts)
