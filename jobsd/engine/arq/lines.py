"""What arq logs of a job, on arq's logger and in arq's words: people search for these lines."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import arq.worker
from arq.utils import args_to_string, truncate

from jobsd.outcome import Archive, Cancelled, Complete, Outcome, Requeue, RetryAt, Steer, Transition

if TYPE_CHECKING:
    from jobsd.engine.arq.calls import Run
    from jobsd.engine.attempt import Attempt

logger = logging.getLogger("arq.worker")

_LATE_MS = 1200


def started(attempt: Attempt, run: Run) -> None:
    payload, lease = attempt.payload, attempt.lease
    if payload is None or not logger.isEnabledFor(logging.INFO):
        return
    now = attempt.now
    extra = f" try={run.job_try}" if run.job_try > 1 else ""
    if now - lease.due > _LATE_MS:
        extra += f" delayed={(now - lease.due) / 1000:0.2f}s"
    shown = _safely(args_to_string, payload.args, payload.kwargs)
    logger.info("%6.2fs → %s(%s)%s", _waited_s(attempt), _name(attempt, run), shown, extra)


def tries_exceeded(attempt: Attempt, run: Run, most: int) -> None:
    logger.warning("%6.2fs ! %s max retries %d exceeded", _waited_s(attempt), _name(attempt, run), most)


def not_found(attempt: Attempt, name: str) -> None:
    logger.warning("job %s, function %r not found", attempt.lease.id, name)


def ended(attempt: Attempt, run: Run | None, outcome: Outcome, transition: Transition, *, results: bool) -> bool:
    """Say how a run ended; False if arq has no words for it."""
    if run is None:
        return _never_called(attempt, outcome, transition)
    if isinstance(transition, Complete) and not logger.isEnabledFor(logging.INFO):
        return True  # most jobs, where nobody listens
    name = _name(attempt, run)
    match transition:
        case Complete(value):
            shown = "" if value is None or not results else truncate(_safely(repr, value))
            logger.info("%6.2fs ← %s ● %s", run.took_s, name, shown)
        case RetryAt() if isinstance(run.error, arq.worker.Retry):
            logger.info("%6.2fs ↻ %s retrying job in %0.2fs", run.took_s, name, (run.error.defer_score or 0) / 1000)
        case RetryAt() if isinstance(run.error, Steer):
            return False
        case RetryAt() | Requeue():
            logger.info("%6.2fs ↻ %s cancelled, will be run again", run.took_s, name)
        case Archive(cause):
            _failed(attempt, run, outcome, cause)
        case _:
            return False
    return True


def _failed(attempt: Attempt, run: Run, outcome: Outcome, cause: str) -> None:
    if run.refused:
        return  # said where it was refused
    name, error = _name(attempt, run), run.error
    if not isinstance(outcome, Cancelled):
        kind = getattr(outcome, "error_type", "TimeoutError")
        extra = {"extra": _safely(_extra_of, error)}
        logger.error("%6.2fs ! %s failed, %s: %s", run.took_s, name, kind, cause, exc_info=error, extra=extra)
    elif run.called:
        logger.info("%6.2fs ⊘ %s aborted", run.took_s, name)
    else:
        logger.info("%6.2fs ⊘ %s aborted before start", _waited_s(attempt), name)


def _never_called(attempt: Attempt, outcome: Outcome, transition: Transition) -> bool:
    if isinstance(outcome, Cancelled):
        logger.info("%6.2fs ⊘ %s aborted before start", _waited_s(attempt), _name(attempt, None))
        return True
    if not isinstance(transition, Archive) or attempt.payload is not None:
        return False
    if attempt.lease.payload is None:
        logger.warning("job %s expired", attempt.lease.id)
    else:
        logger.error("deserializing job %s failed: %s", attempt.lease.id, transition.cause)
    return True


def _waited_s(attempt: Attempt) -> float:
    return 0.0 if attempt.payload is None else (attempt.now - attempt.payload.enqueued_at) / 1000


def _name(attempt: Attempt, run: Run | None) -> str:
    task = attempt.payload.task if attempt.payload else "<unknown>"
    return task if run is not None and run.is_cron else f"{attempt.lease.id}:{task}"


def _extra_of(error: BaseException | None) -> Any:
    extra = getattr(error, "extra", None)
    return extra() if callable(extra) else extra


def _safely(function: Any, *args: Any) -> Any:
    """Call what belongs to the user; a line of the log never fails a job."""
    try:
        return function(*args)
    except Exception as error:  # noqa: BLE001 - a __repr__ may raise anything
        return f"({type(error).__name__})"
