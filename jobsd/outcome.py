"""How an attempt ended (Outcome), what the job becomes of it (Transition), and what a task raises to steer.

Every way a run can end is one of these small classes, so that a type checker names the case that
``engine/decide.py`` forgot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from jobsd.duration import duration_ms

if TYPE_CHECKING:
    from datetime import timedelta

# --- what a task raises to steer ------------------------------------------------------------------


class Steer(Exception):  # noqa: N818 - it is no error
    """Root of what a task raises to say what shall become of its job."""


class Retry(Steer):
    """Run again after ``delay`` (default: the task's backoff). It uses up a retry."""

    def __init__(self, delay: str | timedelta | None = None) -> None:
        self.delay_ms = None if delay is None else duration_ms(delay)
        super().__init__("the task asked for a retry" if delay is None else f"the task asked for a retry in {delay}")


class Snooze(Steer):
    """Run again after ``delay``, at no cost: nothing failed."""

    def __init__(self, delay: str | timedelta) -> None:
        self.delay_ms = duration_ms(delay)
        super().__init__(f"snoozed for {delay}")


class SkipRetry(Steer):
    """Failed for good: archive now, whatever retries are left."""


class Drop(Steer):
    """End the job: neither retry nor archive."""


class AlreadyDone(BaseException):
    """Ends the function of a job that another run has done; no ``except Exception`` stops it."""


class Asleep(BaseException):
    """Ends the function of a job that sleeps (``ctx.sleep``), until its next attempt."""

    def __init__(self, delay_ms: int) -> None:
        super().__init__(f"asleep for {delay_ms / 1000:g} s")
        self.delay_ms = delay_ms


# --- how an attempt ended -------------------------------------------------------------------------


class Succeeded(NamedTuple):
    """``masked`` is the result without its secrets, of a run elsewhere: they are known by their type only there.

    ``committed``: by ``ctx.transaction()``, and so whatever followed, of which ``message`` tells.
    """

    result: Any
    masked: Any = None
    message: str | None = None
    committed: bool = False


class Failed(NamedTuple):
    """``delay_ms`` is the task's own wish; ``for_good`` leaves the remaining retries unused.

    One that does not count (the task's ``is_failure`` said so) is retried and uses up nothing. ``in_doubt``: a run of
    the job may have committed; its function is not called again before Postgres has said.
    """

    error_type: str
    message: str
    trace: str | None = None
    delay_ms: int | None = None
    for_good: bool = False
    counts: bool = True
    in_doubt: bool = False


class TimedOut(NamedTuple):
    limit_ms: int
    trace: str | None = None
    for_good: bool = False


class Expired(NamedTuple):
    """It could not start in the time that its caller gave it; nothing ran."""

    message: str


class Snoozed(NamedTuple):
    delay_ms: int


class Dropped(NamedTuple):
    message: str


class Cancelled(NamedTuple):
    """Somebody stopped it for good."""

    message: str


class Interrupted(NamedTuple):
    """The worker shut down before the function ended."""


class UnknownTask(NamedTuple):
    name: str


class NoRoom(NamedTuple):
    """It is to run in a child process, and all of this worker's are taken; nothing ran."""


class Died(NamedTuple):
    """The child process in which it ran has died. It is a loss, not a failure: no retry is used.

    ``peak_bytes`` is the most memory that the process had; ``alone``: no other job ran in it.
    """

    message: str
    peak_bytes: int
    alone: bool = True


class TooEarly(NamedTuple):
    """It may start only in certain hours, and these are not; nothing ran."""

    opens_ms: int


class Untagged(NamedTuple):
    """Its task uses resources that its caller did not name; nothing ran. ``limits`` is what its payload is to say."""

    limits: str


class LeaseLost(NamedTuple):
    """Another worker has the job: whatever this run did changes nothing any more."""


Outcome: TypeAlias = (
    Succeeded
    | Failed
    | TimedOut
    | Expired
    | Snoozed
    | Dropped
    | Cancelled
    | Interrupted
    | Died
    | UnknownTask
    | NoRoom
    | TooEarly
    | Untagged
    | LeaseLost
)

# --- what the job becomes -------------------------------------------------------------------------


class Complete(NamedTuple):
    result: Any


class RetryAt(NamedTuple):
    at_ms: int


class ScheduleAt(NamedTuple):
    at_ms: int


class Archive(NamedTuple):
    cause: str


class Requeue(NamedTuple):
    """Back to pending at its original due time."""


class Postpone(NamedTuple):
    """Back to pending until then, otherwise unchanged."""

    at_ms: int


class Tag(NamedTuple):
    """Back to pending at its original due time, to wait under these limits."""

    limits: str


class Remove(NamedTuple):
    pass


class Park(NamedTuple):
    """Wait for something but time; ``reason`` names it."""

    reason: str


class LetGo(NamedTuple):
    """Nothing to write: the job is somebody else's."""


Transition: TypeAlias = Complete | RetryAt | ScheduleAt | Archive | Requeue | Postpone | Tag | Remove | Park | LetGo
