"""What an outcome means for the job. Pure."""

from __future__ import annotations

from typing import NamedTuple

from jobsd.delays import Delay  # noqa: TC001 - a NamedTuple's field
from jobsd.outcome import (
    Archive,
    Cancelled,
    Complete,
    Died,
    Dropped,
    Expired,
    Failed,
    Interrupted,
    LeaseLost,
    LetGo,
    NoRoom,
    Outcome,
    Park,
    Postpone,
    Remove,
    Requeue,
    RetryAt,
    ScheduleAt,
    Snoozed,
    Succeeded,
    Tag,
    TimedOut,
    TooEarly,
    Transition,
    UnknownTask,
    Untagged,
)
from jobsd.store.keys import NO_CHILD


class Policy(NamedTuple):
    """How a job is retried: ``failures`` and ``losses`` are those before this attempt, ``deadline`` is epoch ms."""

    failures: int
    retries: int
    backoff: Delay
    deadline: int | None = None
    losses: int = 0
    max_losses: int = 3


def decide(policy: Policy, outcome: Outcome, *, now: int) -> Transition:  # noqa: C901, PLR0912 - one case for each outcome
    """Choose the one transition this outcome leads to. ``now`` is epoch ms by the server's clock."""
    match outcome:
        case Succeeded(result):
            return Complete(result)
        case Failed(delay_ms=delay_ms, in_doubt=True):  # whatever else is over: first it is asked
            return RetryAt(now + (policy.backoff.delay_ms(policy.failures + 1) if delay_ms is None else delay_ms))
        case Failed(message=message, for_good=True):
            return Archive(message)
        case Failed(message=message, delay_ms=delay_ms, counts=counts):
            return _retry_or_archive(policy, message, delay_ms, now, counts=counts)
        case TimedOut(limit_ms=limit_ms, for_good=True):
            return Archive(timed_out_message(limit_ms))
        case TimedOut(limit_ms=limit_ms):
            return _retry_or_archive(policy, timed_out_message(limit_ms), None, now)
        case Expired(message) | Cancelled(message):
            return Archive(message)
        case Snoozed(delay_ms):
            return ScheduleAt(now + delay_ms)
        case Dropped():
            return Remove()
        case Interrupted():
            return Requeue()
        case UnknownTask(name):
            return Park(f"task:{name}")
        case NoRoom():
            return Park(NO_CHILD)
        case Died(message, alone=True) if policy.losses + 1 >= policy.max_losses:
            losses = policy.losses + 1
            return Archive(f"{message}; this job lost its process {losses} time{'s' * (losses > 1)}")
        case Died():
            return Requeue()
        case TooEarly(opens_ms):
            return Postpone(opens_ms)
        case Untagged(limits):
            return Tag(limits)
        case LeaseLost():
            return LetGo()


def timed_out_message(limit_ms: int) -> str:
    return f"timed out after {limit_ms / 1000:g} s"


def _retry_or_archive(policy: Policy, cause: str, delay_ms: int | None, now: int, *, counts: bool = True) -> Transition:
    failures = policy.failures + 1
    if counts and failures > policy.retries:
        return Archive(cause)
    at = now + (policy.backoff.delay_ms(failures) if delay_ms is None else delay_ms)
    if policy.deadline is not None and at >= policy.deadline:
        return Archive(f"{cause}; its deadline leaves no time for a retry")
    return RetryAt(at)
