"""What the log says of an attempt's end. Most attempts succeed, and say so only at DEBUG."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from jobsd.events import Event
from jobsd.logger import log
from jobsd.outcome import (
    Archive,
    Cancelled,
    Complete,
    Died,
    LetGo,
    NoRoom,
    Outcome,
    Park,
    Postpone,
    Remove,
    Requeue,
    RetryAt,
    ScheduleAt,
    Tag,
    Transition,
)

if TYPE_CHECKING:
    from jobsd.engine.attempt import Attempt

_logger = logging.getLogger("jobsd")


def report(attempt: Attempt, outcome: Outcome, transition: Transition) -> None:  # noqa: C901, PLR0912 - one case for each transition
    match transition:
        case Complete():
            if _logger.isEnabledFor(logging.DEBUG):
                log.debug(Event.JOB_COMPLETED, **_facts(attempt))
        case RetryAt(at_ms):
            delay_s = round((at_ms - attempt.now) / 1000, 3)
            log.info(Event.JOB_RETRIED, delay_s=delay_s, cause=_cause(outcome), **_facts(attempt))
        case Archive(cause) if isinstance(outcome, Cancelled):
            log.info(Event.JOB_ARCHIVED, cause=cause, **_facts(attempt))
        case Archive(cause):
            log.error(Event.JOB_ARCHIVED, cause=cause, **_facts(attempt))
        case ScheduleAt():
            log.debug(Event.JOB_SNOOZED, **_facts(attempt))
        case Remove():
            log.info(Event.JOB_DROPPED, cause=_cause(outcome), **_facts(attempt))
        case Park(reason) if isinstance(outcome, NoRoom):
            log.debug(Event.JOB_PARKED, reason=reason, **_facts(attempt))
        case Park(reason):
            log.warning(Event.JOB_PARKED, reason=reason, **_facts(attempt))
        case Requeue() if isinstance(outcome, Died):
            log.warning(Event.JOB_LOST, cause=outcome.message, **_facts(attempt))
        case Requeue():
            log.info(Event.JOB_REQUEUED, **_facts(attempt))
        case Postpone(at_ms):
            log.debug(Event.JOB_POSTPONED, delay_s=round((at_ms - attempt.now) / 1000, 3), **_facts(attempt))
        case Tag(limits):
            log.debug(Event.JOB_REQUEUED, limits=limits, **_facts(attempt))
        case LetGo():
            pass


def _facts(attempt: Attempt) -> dict[str, Any]:
    return {
        "job_id": attempt.lease.id,
        "task": attempt.payload.task if attempt.payload else None,
        "queue": attempt.lease.queue,
        "attempt": attempt.lease.attempt,
        "duration_ms": attempt.now - attempt.lease.started_at,
    }


def _cause(outcome: Outcome) -> str | None:
    return getattr(outcome, "message", None) or type(outcome).__name__
