"""A job as its caller describes it: the task's name, its arguments, and the options of this one call."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from jobsd.clock import ms_from_datetime
from jobsd.delays import Backoff
from jobsd.duration import ALLOWED, duration_ms
from jobsd.errors import InvalidOptionError

if TYPE_CHECKING:
    from datetime import timedelta

R = TypeVar("R")

_MAX_RETRIES = 1000
_QUEUE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_RAW_QUEUE = re.compile(r"[A-Za-z0-9._:{}-]{1,256}")
_OURS = ("jobsd:", "arq:job:", "arq:in-progress:", "arq:result:")  # keys that are something else already
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

QUEUE_ALLOWED = "1 to 128 of A-Z a-z 0-9 . _ - (or the raw key of an arq queue, with a colon)"
ID_ALLOWED = "1 to 128 of A-Z a-z 0-9 . _ : -"


def is_queue_name(name: object) -> bool:
    if not isinstance(name, str):
        return False
    return bool(_QUEUE.fullmatch(name) or (":" in name and _RAW_QUEUE.fullmatch(name) and not name.startswith(_OURS)))


def is_job_id(job_id: object) -> bool:
    return isinstance(job_id, str) and bool(_ID.fullmatch(job_id))


class JobState(StrEnum):
    SCHEDULED = "scheduled"
    PENDING = "pending"
    ACTIVE = "active"
    RETRY = "retry"
    PARKED = "parked"
    COMPLETED = "completed"
    ARCHIVED = "archived"
    UNKNOWN = "unknown"


def _check_duration(name: str, value: object) -> None:
    if value is None:
        return
    try:
        duration_ms(value)
    except ValueError:
        raise InvalidOptionError(option=name, given=value, allowed=ALLOWED) from None


def _check_instant(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise InvalidOptionError(option=name, given=value, allowed="a datetime with a time zone")


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Options of one call. What is None is looked up by the worker, at each attempt, in the task."""

    queue: str | None = None
    delay: str | timedelta | None = None
    at: datetime | None = None
    timeout: str | timedelta | None = None
    retries: int | None = None
    backoff: Backoff | None = None
    deadline: datetime | None = None
    start_by: datetime | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        if self.queue is not None and not is_queue_name(self.queue):
            raise InvalidOptionError(option="queue", given=self.queue, allowed=QUEUE_ALLOWED)
        if self.id is not None and not is_job_id(self.id):
            raise InvalidOptionError(option="id", given=self.id, allowed=ID_ALLOWED)
        for name in ("delay", "timeout"):
            _check_duration(name, getattr(self, name))
        for name in ("at", "deadline", "start_by"):
            _check_instant(name, getattr(self, name))
        if self.at is not None and self.delay is not None:
            raise InvalidOptionError(option="at", given=self.at, allowed="either at or delay, not both")
        if self.timeout is not None and duration_ms(self.timeout) == 0:
            raise InvalidOptionError(option="timeout", given=self.timeout, allowed="more than 0")
        if self.retries is not None and (
            not isinstance(self.retries, int)  # pyright: ignore[reportUnnecessaryIsInstance]
            or isinstance(self.retries, bool)
            or not 0 <= self.retries <= _MAX_RETRIES
        ):
            raise InvalidOptionError(
                option="retries", given=self.retries, allowed=f"a whole number, 0 to {_MAX_RETRIES}"
            )
        if self.backoff is not None and not isinstance(self.backoff, Backoff):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOptionError(option="backoff", given=self.backoff, allowed="exponential(), fixed() or linear()")

    def when(self) -> str:
        """Return the due time as enqueue.lua reads it: '' now, '+ms' relative, 'ms' absolute."""
        if self.delay is not None:
            return f"+{duration_ms(self.delay)}"
        return "" if self.at is None else str(ms_from_datetime(self.at))

    def to_wire(self) -> dict[str, Any]:
        """Return what travels with the payload: only what was given."""
        wire: dict[str, Any] = {}
        if self.timeout is not None:
            wire["t"] = duration_ms(self.timeout)
        if self.retries is not None:
            wire["r"] = self.retries
        if self.backoff is not None:
            wire["b"] = self.backoff.to_wire()
        if self.deadline is not None:
            wire["dl"] = ms_from_datetime(self.deadline)
        if self.start_by is not None:
            wire["sb"] = ms_from_datetime(self.start_by)
        return wire


OPTION_NAMES = tuple(field.name for field in fields(JobOptions))
NO_OPTIONS = JobOptions()


@dataclass(frozen=True, slots=True)
class JobRequest(Generic[R]):
    """One call of a task that is not enqueued yet: what ``task.job(…)`` returns."""

    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    queue: str
    options: JobOptions = NO_OPTIONS
