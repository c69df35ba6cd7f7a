"""What can be set of a worker and of its queues, with the defaults and their reasons."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from jobsd.duration import parse_duration

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


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
    keep_completed: Duration = timedelta(hours=1)
    """How long a completed job and its result are kept in Redis."""
    keep_completed_count: int = Field(default=10_000, ge=0)
    """How many of them a queue keeps."""
    keep_archived: Duration = timedelta(days=90)
    keep_archived_count: int = Field(default=10_000, ge=0)
    poll: Duration = timedelta(seconds=5)
    """The net under the wake-ups: an idle worker looks at least this often."""


class QueueOptions(BaseModel):
    """One queue as a worker serves it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: int = Field(default=1, ge=0, le=1000)
    """Share of the free slots; 0 is served only when every other queue is empty."""
