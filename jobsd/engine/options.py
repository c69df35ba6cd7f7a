"""What can be set of a worker and of its queues, with the defaults and their reasons."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from jobsd.duration import duration_ms, parse_duration
from jobsd.hours import Hours
from jobsd.rate import Rate
from jobsd.size import parse_size
from jobsd.store.limits import RESOURCE, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping


def _rate(value: object) -> Rate:
    return value if isinstance(value, Rate) else Rate.parse(value)


def _hours(text: str) -> str:
    Hours.parse(text)
    return text


def _size(text: str) -> str:
    parse_size(text)
    return text


SizeOption = Annotated[str, AfterValidator(_size)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
RateOption = Annotated[Rate, BeforeValidator(_rate)]
HoursOption = Annotated[str, AfterValidator(_hours)]


class WorkerOptions(BaseModel):
    """How one worker process runs jobs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int = Field(default=100, ge=1, le=10_000)
    """Jobs running at the same time in one process."""
    strict: bool = False
    """Serve a queue only when all of higher weight are empty, instead of by shares."""
    timeout: Duration = timedelta(minutes=5)
    """Longest run of a job whose task and call name none."""
    retries: int = Field(default=5, ge=0, le=1000)
    """Runs after the first that failures may cost."""
    lease: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(hours=1))] = timedelta(seconds=15)
    """How long a silent worker keeps its jobs; it beats three times in that time."""
    grace: Duration = timedelta(seconds=8)
    """At shutdown, how long running jobs may go on; `docker stop` kills after 10 s."""
    cancel_grace: Duration = timedelta(seconds=5)
    """How long a cancelled function may take to end before it is reported as resisting."""
    max_stall: Duration = timedelta(minutes=5)
    """How long an event loop may be blocked past every limit before the process is ended."""
    max_losses: int = Field(default=3, ge=1, le=100)
    """Lost runs after which a job is archived as the likely cause."""
    children: int | None = Field(default=None, ge=1, le=1000)
    """Child processes of one worker, for tasks with executor="process" and jobs whose worker was lost; one a CPU."""
    suspect_memory: SizeOption | None = None
    """What a job whose worker was lost may allocate when it runs again, in a child; a quarter of the machine's."""
    keep_completed: Duration = timedelta(hours=1)
    """How long a completed job and its result are kept in Redis."""
    keep_completed_count: int = Field(default=10_000, ge=0)
    """How many of them a queue keeps; 0 stores no result, and so does ``keep_completed`` of 0 s."""
    keep_archived: Duration = timedelta(days=90)
    keep_archived_count: int = Field(default=10_000, ge=0)
    poll: Duration = timedelta(seconds=5)
    """The net under the wake-ups: an idle worker looks at least this often."""


class PerKeyOptions(BaseModel):
    """What each ``limit_key`` of a queue may have of it; among the keys turns are taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    """Jobs of one key running at the same time, across all workers."""
    rate: RateOption | None = None
    """Starts of one key's jobs, across all workers."""


class Kept(NamedTuple):
    """How much of a queue's finished jobs stays in Redis: how long, ms, and how many."""

    completed_ms: int
    completed_count: int
    archived_ms: int
    archived_count: int

    @property
    def result_ms(self) -> int:
        """How long a result is kept; 0: it is not stored."""
        return self.completed_ms if self.completed_count else 0

    def to_text(self) -> str:
        """Return what keep.lua reads. A result's time is not in it: each ending brings its own.

        >>> Kept(3_600_000, 10, 86_400_000, 5).to_text()
        '10:86400000:5'
        """
        return f"{self.completed_count}:{self.archived_ms}:{self.archived_count}"


class QueueOptions(BaseModel):
    """One queue as a worker serves it.

    What limits it, and what is kept of it, holds for all workers from this one's start on, until it is said otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: int = Field(default=1, ge=0, le=1000)
    """Share of the free slots; 0 is served only when every other queue is empty."""
    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    """Its jobs running at the same time in one process."""
    global_concurrency: int | None = Field(default=None, ge=1, le=10_000)
    """The same across all workers."""
    rate: RateOption | None = None
    """Starts in any window of that length, across all workers."""
    hours: HoursOption | None = None
    """The hours in which its jobs start, in the zone of the settings if none is named."""
    per_key: PerKeyOptions = PerKeyOptions()
    keep_completed: Duration | None = None
    """How long its completed jobs and their results are kept; this and the next three as the worker says, if None."""
    keep_completed_count: int | None = Field(default=None, ge=0)
    keep_archived: Duration | None = None
    keep_archived_count: int | None = Field(default=None, ge=0)

    def limits(self, zone: str = "UTC") -> Limits:
        return Limits(
            concurrency=self.global_concurrency,
            rate=self.rate,
            key_concurrency=self.per_key.concurrency,
            key_rate=self.per_key.rate,
            process_concurrency=self.concurrency,
            hours="" if self.hours is None else str(Hours.parse(self.hours, zone)),
        )

    def kept(self, worker: WorkerOptions) -> Kept:
        """Return what is kept of its finished jobs; what it does not say itself is as ``worker`` says."""
        completed = worker.keep_completed if self.keep_completed is None else self.keep_completed
        completed_count = self.keep_completed_count
        archived = worker.keep_archived if self.keep_archived is None else self.keep_archived
        archived_count = self.keep_archived_count
        return Kept(
            duration_ms(completed),
            worker.keep_completed_count if completed_count is None else completed_count,
            duration_ms(archived),
            worker.keep_archived_count if archived_count is None else archived_count,
        )


class ResourceOptions(BaseModel):
    """Something that jobs of several queues share, such as another service's interface; tasks and calls name it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    """Jobs that use it at the same time, across all workers."""
    rate: RateOption | None = None
    """Starts of jobs that use it, across all workers."""

    def limits(self) -> Limits:
        return Limits(concurrency=self.concurrency, rate=self.rate)


def limit_texts(
    queues: Mapping[str, QueueOptions], resources: Mapping[str, ResourceOptions], timezone: str
) -> dict[str, str]:
    """Return the limits text of each; one that has none must say so, else what it had before would stay."""
    texts = {name: queue.limits(timezone).to_text() for name, queue in queues.items()}
    return texts | {RESOURCE + name: resource.limits().to_text() for name, resource in resources.items()}
