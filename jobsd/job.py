"""A job as its caller describes it: the task's name, its arguments, and the options of this one call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from jobsd.clock import ms_from_datetime
from jobsd.delays import Backoff
from jobsd.duration import ALLOWED, duration_ms
from jobsd.enqueueable import Enqueueable, R_co
from jobsd.errors import InvalidOptionError
from jobsd.limit_options import check_limits, resource_names

if TYPE_CHECKING:
    from datetime import timedelta

    from jobsd.aggregation import Aggregate

_MAX_RETRIES = 1000
_QUEUE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_RAW_QUEUE = re.compile(r"[A-Za-z0-9._:{}-]{1,256}")
_OURS = ("jobsd:", "arq:job:", "arq:in-progress:", "arq:result:")  # keys that are something else already
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

QUEUE_ALLOWED = "1 to 128 of A-Z a-z 0-9 . _ - (or the raw key of an arq queue, with a colon)"
CONN_ALLOWED = "a connection in a transaction; leave it out to enqueue at once"
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


class CancelState(StrEnum):
    """What ``JobRef.cancel`` came to. After the first two the job does not run; after the others it still does."""

    CANCELLED = "cancelled"
    """It will not run, or not any more."""
    ENDED = "ended"
    """It had ended before, or came to its own end all the same."""
    REQUESTED = "requested"
    """Its worker was not heard in the time."""
    DELIVERED = "delivered"
    """Its worker has cancelled it; its function has not ended yet."""
    RESISTING = "resisting"
    """Its worker has cancelled it, and its function does not end."""


def _check_duration(name: str, value: object) -> None:
    try:
        duration_ms(value)
    except ValueError:
        raise InvalidOptionError(option=name, given=value, allowed=ALLOWED) from None


def _check_instant(name: str, value: object) -> None:
    if not isinstance(value, datetime) or value.tzinfo is None:
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
    limit_key: str | None = None
    resources: tuple[str, ...] = ()
    unique_for: str | timedelta | None = None
    debounce: str | timedelta | None = None
    throttle: str | timedelta | None = None
    aggregate: Aggregate | None = None
    unique_key: str | None = None
    conn: Any = field(default=None, repr=False, compare=False)
    """A connection to Postgres of the caller's: the job is enqueued in its transaction. See records/callers.py."""
    limited: bool = field(default=False, init=False, repr=False, compare=False)
    """Whether any of the seven before ``conn`` is given."""

    def __post_init__(self) -> None:
        if self.queue is not None and not is_queue_name(self.queue):
            raise InvalidOptionError(option="queue", given=self.queue, allowed=QUEUE_ALLOWED)
        if self.id is not None and not is_job_id(self.id):
            raise InvalidOptionError(option="id", given=self.id, allowed=ID_ALLOWED)
        self._check_times()
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
        if (
            self.limit_key is not None
            or self.resources != ()
            or self.unique_for is not None
            or self.debounce is not None
            or self.throttle is not None
            or self.aggregate is not None
            or self.unique_key is not None
        ):
            object.__setattr__(self, "resources", resource_names(self.resources))
            object.__setattr__(self, "limited", True)
            check_limits(self)
            if self.conn is not None:
                self._check_outbox()

    def _check_outbox(self) -> None:
        """Refuse what lets one job stand for several calls: the outbox has a row for each, which is one job."""
        for name in ("debounce", "throttle", "aggregate"):
            if getattr(self, name) is not None:
                allowed = "none of them together with conn: in a transaction each call is a job of its own"
                raise InvalidOptionError(option=name, given=getattr(self, name), allowed=allowed)

    def _check_times(self) -> None:
        if self.delay is not None:
            _check_duration("delay", self.delay)
        if self.timeout is not None:
            _check_duration("timeout", self.timeout)
        if self.at is not None:
            _check_instant("at", self.at)
        if self.deadline is not None:
            _check_instant("deadline", self.deadline)
        if self.start_by is not None:
            _check_instant("start_by", self.start_by)
        if self.at is not None and self.delay is not None:
            raise InvalidOptionError(option="at", given=self.at, allowed="either at or delay, not both")
        if self.timeout is not None and duration_ms(self.timeout) == 0:
            raise InvalidOptionError(option="timeout", given=self.timeout, allowed="more than 0")

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


OPTION_NAMES = tuple(field.name for field in fields(JobOptions) if field.init)
NO_OPTIONS = JobOptions()


@dataclass(frozen=True, slots=True)
class JobRequest(Enqueueable[[], R_co]):
    """One call of a task that is not enqueued yet: what ``task.job(…)`` returns."""

    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    queue: str
    options: JobOptions = NO_OPTIONS
    headers: dict[str, Any] | None = field(default=None, kw_only=True)
    """What is to travel beside the arguments, apart from what is carried (headers.py)."""

    def with_headers(self, headers: Mapping[str, Any]) -> Self:
        """Return the call with these headers too, JSON values by name; ``ctx.headers`` has them in the job.

        Raises InvalidOptionError.
        """
        if not isinstance(headers, Mapping) or not all(isinstance(name, str) for name in headers):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOptionError(option="headers", given=headers, allowed="a mapping of names to JSON values")
        return replace(self, headers={**(self.headers or {}), **headers})


@dataclass(frozen=True, slots=True)
class BoundRequest(JobRequest[R_co]):
    """A call whose arguments tell which calls are the same: ``bound`` has each by its name that can be given so."""

    bound: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
